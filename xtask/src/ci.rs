//! `cargo xtask ci`: what continuous integration runs, and in its order.

use clap::Args;

use crate::{fuzz, shell, sim, test, tidy};

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

/// Licences, sources and known holes of the dependencies. Said when it could not be checked.
fn deny() -> anyhow::Result<()> {
    if shell::succeeds(&mut shell::cargo(&["deny", "--version"])) {
        return shell::run(&mut shell::cargo(&["deny", "check"]));
    }
    println!("\nskipped: `cargo deny check`, for cargo-deny is not installed");
    Ok(())
}
