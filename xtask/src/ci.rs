//! `cargo xtask ci`: what continuous integration runs, and in its order.

use clap::Args;

use crate::{fuzz, need, shell, sim, test, tidy};

/// Which parts to run.
#[derive(Debug, Args)]
pub struct Options {
    /// The tests have just been run: go on with the rest
    #[arg(long)]
    after_test: bool,

    /// Run every fuzz target for a minute too; needs cargo-fuzz and a nightly toolchain
    #[arg(long)]
    fuzz: bool,
}

/// Runs everything; ends at the first failure.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if !options.after_test {
        test::run(&test::Options::default())?;
    }
    shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    shell::run(&mut shell::cargo(&clippy))?;
    tidy::run(crate::root())?;
    sim::run(&sim::Options::fresh())?;
    let doc = ["doc", "--workspace", "--no-deps", "--quiet"];
    shell::run(shell::cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    deny()?;
    fuzz::check()?;
    if options.fuzz {
        fuzz::run(&fuzz::Options::smoke())?;
    }
    println!("\nci: all passed");
    Ok(())
}

/// Licences, sources, bans and known holes of the dependencies. Only the last need a list from
/// the network; that it was not to be had is said.
fn deny() -> anyhow::Result<()> {
    need::deny()?;
    shell::run(&mut shell::cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    if shell::succeeds(&mut shell::cargo(&["deny", "fetch", "db"])) {
        return shell::run(&mut shell::cargo(&["deny", "check", "advisories"]));
    }
    println!("\nnot checked: advisories, for their list cannot be fetched");
    Ok(())
}
