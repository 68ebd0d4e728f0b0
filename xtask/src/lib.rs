//! What is done to this repository as a whole: `cargo xtask COMMAND`.
//!
//! A library with one file for each command, so that the tests can call what the commands
//! call. Everything that continuous integration runs is a command here; there is no other
//! place for it.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the output of these commands is for a terminal")]

use std::path::Path;

pub mod administration;
pub mod bench;
pub mod ci;
pub mod crowd;
pub mod exchanges;
pub mod fuzz;
pub mod handshakes;
pub mod latency;
mod need;
pub mod outages;
pub mod pins;
pub mod rollout;
pub mod sessions;
mod shell;
pub mod sim;
pub mod test;
pub mod tidy;
pub mod torture;

/// The root of the repository.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder of the repository")
}
