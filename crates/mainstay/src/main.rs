//! The `mainstay` binary. The first argument names the role this process plays.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use mainstay_model::Chain;
use tracing::error;

mod log;
mod one_process;
mod role;
mod spelling;

use role::{CommandLine, EspCommand, PolicyCommand, Role};

fn main() -> ExitCode {
    let role = CommandLine::parse_from(spelling::own(std::env::args_os())).role;
    name_process();
    log::start(role.origin());

    let result = match role {
        // The gateway, outermost process first.
        Role::Run(options) => mainstay_supervisor::run(&options).map(|()| ExitCode::SUCCESS),
        Role::Master(options) => mainstay_master::run(&options).map(|()| ExitCode::SUCCESS),
        Role::Broadcast(options) => mainstay_broadcast::run(&options).map(|()| ExitCode::SUCCESS),
        Role::Worker(options) => mainstay_worker::run(&options.into()).map(|()| ExitCode::SUCCESS),
        Role::Gateway(options) => one_process::run(options).map(|()| ExitCode::SUCCESS),
        Role::Fits(options) => mainstay_supervisor::fits(&options),
        // The operator.
        Role::Upgrade(options) => mainstay_ctl::upgrade(&options),
        Role::Check(options) => mainstay_ctl::check(&options),
        Role::Apply(options) => mainstay_ctl::apply(&options),
        Role::Rollback(options) => mainstay_ctl::rollback(&options),
        Role::Generations(options) => mainstay_ctl::generations(&options),
        Role::Swap(options) => mainstay_ctl::swap(&options),
        Role::Purge(options) => mainstay_ctl::purge(&options),
        Role::Policy(PolicyCommand::Refresh(options)) => mainstay_ctl::policy_refresh(&options),
        Role::Esp(EspCommand::Status(options)) => mainstay_ctl::esp_status(&options),
        Role::Ha(command) => mainstay_ctl::ha(&command),
        Role::Alerts(options) => mainstay_ctl::alerts(&options),
        Role::Session(command) => mainstay_ctl::session(&command),
        Role::Status(options) => mainstay_ctl::status(&options),
        // The fleet.
        Role::Manager(command) => mainstay_manager::run(&command),
        Role::Agent(command) => mainstay_agent::run(&command),
        // Whoever looks around.
        Role::Quickstart(options) => mainstay_quickstart::run(&options).map(|()| ExitCode::SUCCESS),
    };

    result.unwrap_or_else(|error| {
        error!(error = %Chain(error.as_ref()), "stopped");
        ExitCode::FAILURE
    })
}

/// A process that was started through `/proc/self/exe` would be `exe` in every list.
fn name_process() {
    let named = rustix::thread::set_name(c"mainstay");
    debug_assert!(named.is_ok(), "eight bytes are a valid name");
}
