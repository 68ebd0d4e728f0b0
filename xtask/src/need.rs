//! What a fresh Debian machine lacks, and how it comes by it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::shell;

/// The test runner, at the version that is known to build with the pinned compiler.
const NEXTEST_VERSION: &str = "0.9.143";

/// What checks the crates of others, likewise.
const DENY_VERSION: &str = "0.20.2";

/// What managers may keep a fleet in; tests start servers of their own.
pub(crate) const POSTGRES: (&str, &str) = ("pg_ctlcluster", "postgresql");

/// A client that makes one TLS connection after the other.
pub(crate) const OPENSSL: (&str, &str) = ("openssl", "openssl");

/// Debian asks this program whether it may start what it installs.
const START_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages whose program is missing. Each pair is a program and its package.
pub(crate) fn programs(wanted: &[(&str, &str)]) -> anyhow::Result<()> {
    let packages: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| shell::find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "missing programs; as root, run: apt-get install -y {list}"
    );
    let _quiet = NothingStarts::new()?;
    let install = ["install", "-y", "-q", "--no-install-recommends"];
    shell::run(&mut apt_get(&["update", "-q"]))
        .and_then(|()| shell::run(apt_get(&install).args(&packages)))
        .with_context(|| format!("cannot install {list}"))
}

/// Installs `cargo nextest` if it is missing.
pub(crate) fn nextest() -> anyhow::Result<()> {
    cargo_command("nextest", NEXTEST_VERSION)
}

/// Installs `cargo deny` if it is missing.
pub(crate) fn deny() -> anyhow::Result<()> {
    cargo_command("deny", DENY_VERSION)
}

/// Python and Node, by program and package.
const PYTHON: [(&str, &str); 2] = [("python3", "python3"), ("pip3", "python3-pip")];
const NODE: [(&str, &str); 2] = [("node", "nodejs"), ("npm", "npm")];

/// OpAMP clients that others wrote, at the versions that are known to work.
const PYTHON_CLIENT: &str = "opentelemetry-opamp-client==0.5b0";
const NODE_CLIENT: &str = "@elastic/opamp-client-node@0.5.0";

/// Installs them beside what is built, and says where.
pub(crate) fn opamp_clients() -> anyhow::Result<PathBuf> {
    let folder = shell::target_folder()?.join("opamp-clients");
    let (python, node) = (folder.join("python"), folder.join("node"));
    if !python.join("opentelemetry").is_dir() {
        python_package(&python, PYTHON_CLIENT)?;
    }
    if !node.join("node_modules/@elastic").is_dir() {
        programs(&NODE)?;
        fs::create_dir_all(&node).context("cannot make a folder for OpAMP clients")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(&node);
        shell::run(npm.arg(NODE_CLIENT))?;
    }
    Ok(folder)
}

/// What asks an API for everything that its description allows, at the version that is known to
/// work.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Installs it beside what is built, and says where.
pub(crate) fn schemathesis() -> anyhow::Result<PathBuf> {
    let folder = shell::target_folder()?.join("schemathesis");
    if !folder.join("schemathesis").is_dir() {
        python_package(&folder, SCHEMATHESIS)?;
    }
    Ok(folder)
}

/// Installs a package of Python and what it needs into a folder of their own.
fn python_package(folder: &Path, package: &str) -> anyhow::Result<()> {
    programs(&PYTHON)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(folder);
    shell::run(pip.arg(package))
}

fn cargo_command(name: &str, version: &str) -> anyhow::Result<()> {
    if shell::succeeds(&mut shell::cargo(&[name, "--version"])) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    shell::run(&mut shell::cargo(&["install", &package, "--locked", "--version", version]))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    command
}

/// While this lives, installing a server does not start it.
struct NothingStarts;

impl NothingStarts {
    fn new() -> anyhow::Result<Option<Self>> {
        let path = Path::new(START_POLICY);
        // Somebody else's policy stands.
        if path.exists() {
            return Ok(None);
        }
        fs::write(path, "#!/bin/sh\nexit 101\n").context("cannot write the start policy")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .context("cannot make the start policy executable")?;
        Ok(Some(Self))
    }
}

impl Drop for NothingStarts {
    fn drop(&mut self) {
        // Left behind, it would only keep later installations from starting their servers.
        if let Err(error) = fs::remove_file(START_POLICY) {
            println!("cannot remove {START_POLICY}: {error}");
        }
    }
}
