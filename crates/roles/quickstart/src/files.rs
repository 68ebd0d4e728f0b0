//! The directory of a gateway to be tried: its two files, and where it keeps the rest.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where the gateway's sockets are.
pub(crate) fn run_directory(directory: &Path) -> PathBuf {
    directory.join("run")
}

/// Writes both files; returns where `host.toml` is.
pub(crate) fn write(
    directory: &Path,
    address: SocketAddr,
    server: SocketAddr,
) -> anyhow::Result<PathBuf> {
    let host_file = directory.join("host.toml");
    let gateway_file = directory.join("gateway.toml");
    let files =
        [(&host_file, host(directory, &gateway_file)), (&gateway_file, gateway(address, server))];
    for (path, text) in files {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(host_file)
}

/// A short drain: whoever ends a demonstration does not wait for its slow downloads.
fn host(directory: &Path, gateway_file: &Path) -> String {
    let (state, run) = (directory.join("state"), run_directory(directory));
    format!(
        "state = {:?}\nrun = {:?}\ngateway = {:?}\n\n[broadcast]\ncommand = \"unix\"\nsession = \"unix\"\n\n\
         [pair]\ndrain_timeout = \"2s\"\n",
        state.display().to_string(),
        run.display().to_string(),
        gateway_file.display().to_string(),
    )
}

fn gateway(address: SocketAddr, server: SocketAddr) -> String {
    format!(
        r#"[[listener]]
name = "web"
address = "{address}"

[[upstream]]
name = "demo"
servers = ["{server}"]

[[service]]
name = "demo"
listeners = ["web"]
hosts = ["*"]

[[service.route]]
path = "/"
upstream = "demo"
"#
    )
}
