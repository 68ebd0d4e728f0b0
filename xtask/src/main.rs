//! `cargo xtask`: the commands of this repository by name.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "an error of a command is for a terminal")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What is done to this repository as a whole.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing, build once, pass every test
    Test(xtask::test::Options),
    /// Everything that continuous integration runs, tests first
    Ci(xtask::ci::Options),
    /// The rules that neither rustc nor clippy can check
    Tidy,
    /// Play made-up lives of a gateway
    Sim(xtask::sim::Options),
    /// Kill real processes under load, and count what clients see
    Torture(mainstay_e2e::torture::Options),
    /// Administer a gateway under load, with kills in each step of an apply
    Administration(mainstay_e2e::administration::Options),
    /// Log in, log out and try again, with kills, and of everything at once
    Sessions(mainstay_e2e::sessions::Options),
    /// Measure how many exchanges of agents a manager finishes, and what each costs
    Exchanges(mainstay_e2e::exchanges::Options),
    /// Kill and cut off managers, agents and databases of a fleet, and count what it kept
    Outages(mainstay_e2e::outages::Options),
    /// Exchange the certificate of a fleet's managers, with agents away; show agents false managers
    Pins(mainstay_e2e::pins::Options),
    /// Compare what a handshake costs a manager and nginx
    Handshakes(mainstay_e2e::handshakes::Options),
    /// End a manager for a minute, and see how a large fleet comes back
    Crowd(mainstay_e2e::crowd::Options),
    /// Roll a bad configuration out to a fleet with one real gateway, and see who gets it
    Rollout(mainstay_e2e::rollout::Options),
    /// Measure how long clients wait for an heir, and what connections cost
    Latency(mainstay_e2e::latency::Options),
    /// Run every fuzz target, one after the other
    Fuzz(xtask::fuzz::Options),
    /// Compare processor time and latency with nginx and HAProxy
    Bench(xtask::bench::Options),
    /// The server behind the proxies of `bench`
    #[command(hide = true)]
    BenchBackend(xtask::bench::backend::Options),
    /// The load of `bench` that keeps to a schedule
    #[command(hide = true)]
    BenchClient(xtask::bench::client::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test(options) => xtask::test::run(&options),
        Command::Ci(options) => xtask::ci::run(&options),
        Command::Tidy => xtask::tidy::run(xtask::root()),
        Command::Sim(options) => xtask::sim::run(&options),
        Command::Torture(options) => xtask::torture::run(&options),
        Command::Administration(options) => xtask::administration::run(&options),
        Command::Sessions(options) => xtask::sessions::run(&options),
        Command::Exchanges(options) => xtask::exchanges::run(&options),
        Command::Outages(options) => xtask::outages::run(&options),
        Command::Pins(options) => xtask::pins::run(&options),
        Command::Handshakes(options) => xtask::handshakes::run(&options),
        Command::Crowd(options) => xtask::crowd::run(&options),
        Command::Rollout(options) => xtask::rollout::run(&options),
        Command::Latency(options) => xtask::latency::run(&options),
        Command::Fuzz(options) => xtask::fuzz::run(&options),
        Command::Bench(options) => xtask::bench::run(&options),
        Command::BenchBackend(options) => xtask::bench::backend::run(&options),
        Command::BenchClient(options) => xtask::bench::client::run(&options),
    }
}
