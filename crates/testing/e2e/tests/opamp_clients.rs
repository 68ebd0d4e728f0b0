//! OpAMP clients that others wrote exchange with a manager, over TLS and with a secret.
//!
//! They are not of this repository, and a test does not reach for the network: `cargo xtask test`
//! installs them and says where in `MAINSTAY_OPAMP_CLIENTS`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mainstay_e2e::children;
use mainstay_e2e::fleet::Fleet;

/// Where `cargo xtask test` installed them.
const INSTALLED: &str = "MAINSTAY_OPAMP_CLIENTS";

/// How many exchanges are enough, the full report among them.
const EXCHANGES: &str = "5";

/// A client gives up by itself before this.
const PATIENCE: Duration = Duration::from_secs(60);

fn installed() -> PathBuf {
    std::env::var_os(INSTALLED).expect("`cargo xtask test` installs them").into()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Has a client exchange with a new manager.
fn exchange(mut client: Command) {
    let fleet = Fleet::init(&[]).unwrap();
    let manager = fleet.serve().unwrap();
    let secret = fleet.token(&["--show", "secret"]).unwrap();
    let endpoint = format!("https://localhost:{}/v1/opamp", manager.agents.port());
    client.args([&endpoint, &secret]).arg(fleet.directory().join("agent-cert.pem"));
    client.arg(EXCHANGES);
    let ended = children::spawn(&mut client).unwrap().wait(PATIENCE).expect("the client ends");
    assert_eq!(ended.exit_status(), Some(0), "{}", manager.log());
    let tokens = fleet.command(&["token", "list"]).unwrap();
    assert!(tokens.contains("1/1"), "it joined once: {tokens}");
    manager.stop().unwrap();
}

#[test]
fn a_client_in_python_is_served() {
    let installed = installed();
    let mut client = Command::new("python3");
    client.arg(script("opamp.py")).env("PYTHONPATH", installed.join("python"));
    exchange(client);
}

#[test]
fn a_client_in_javascript_is_served() {
    let installed = installed();
    let mut client = Command::new("node");
    client.arg(script("opamp.mjs")).current_dir(installed.join("node"));
    exchange(client);
}
