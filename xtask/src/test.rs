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

/// Which tests to run.
#[derive(Debug, Default, Args)]
pub struct Options {
    /// Further arguments for `cargo nextest run`, for example a test's name
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// Installs what is missing, builds, and runs the tests.
pub fn run(options: &Options) -> anyhow::Result<()> {
    need::programs(&[&PEERS[..], &[need::POSTGRES, need::OPENSSL]].concat())?;
    need::nextest()?;
    let program = build()?;
    let mut tests = shell::cargo(&["nextest", "run", "--workspace"]);
    tests.env("MAINSTAY_SCHEMATHESIS", need::schemathesis()?);
    tests.env("MAINSTAY_OPAMP_CLIENTS", need::opamp_clients()?);
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
