//! `cargo xtask test`: every test of this repository, on a machine that has only Debian, gcc
//! and cargo.
//!
//! The process tests run the program as it is shipped: built once, with `--release`, and named
//! to them by `MAINSTAY_BIN`.

use std::path::PathBuf;

use clap::Args;

use crate::{need, shell};

/// Whom the same clients torture too: program and package.
pub(crate) const PEERS: [(&str, &str); 2] = [("nginx", "nginx-light"), ("haproxy", "haproxy")];

/// What managers keep a fleet in: the tests start servers of their own.
const DATABASE: [(&str, &str); 1] = [("pg_ctlcluster", "postgresql")];

/// Which tests to run.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Further arguments for `cargo nextest run`, for example a test's name
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// Installs what is missing, builds, and runs the tests.
pub fn run(options: &Options) -> anyhow::Result<()> {
    need::programs(&[&PEERS[..], &DATABASE].concat())?;
    need::nextest()?;
    let program = build()?;
    let mut tests = shell::cargo(&["nextest", "run", "--workspace"]);
    if let Some(folder) = need::schemathesis()? {
        tests.env("MAINSTAY_SCHEMATHESIS", folder);
    }
    if let Some(clients) = need::opamp_clients()? {
        tests.env("MAINSTAY_OPAMP_CLIENTS", clients);
    }
    shell::run(tests.args(&options.nextest).env("MAINSTAY_BIN", &program))?;
    if options.nextest.is_empty() {
        shell::run(&mut shell::cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    }
    Ok(())
}

/// Builds the gateway as it is shipped; returns the program.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    shell::run(&mut shell::cargo(&["build", "--release", "--package", "mainstay"]))?;
    let program = shell::target_folder()?.join("release").join("mainstay");
    anyhow::ensure!(program.is_file(), "{} was not built", program.display());
    Ok(program)
}
