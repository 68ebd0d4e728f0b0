//! Mainstay as it is shipped: supervisor, master, two workers of one thread, keepers, ledger
//! and adoption on, the access log at its default.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use super::Setup;
use crate::bench::write;

pub(super) fn configure(setup: &Setup<'_>, address: &str) -> anyhow::Result<Vec<String>> {
    let folder = setup.folder.display();
    let (backend, cpu) = (setup.backend, setup.cpu);
    let gateway = format!(
        r#"
[[listener]]
name = "web"
address = "{address}"

[[upstream]]
name = "backend"
servers = ["{backend}"]

[[service]]
name = "bench"
listeners = ["web"]
hosts = ["*"]

[[service.route]]
path = "/"
upstream = "backend"
"#
    );
    let gateway = write(setup.folder, "gateway.toml", &gateway)?;
    let worker = format!("[[worker]]\nthreads = 1\ncpus = [{cpu}]\n");
    let host = format!(
        "state = \"{folder}/state\"\nrun = \"{folder}/run\"\ngateway = \"{}\"\n\n{worker}\n{worker}",
        gateway.display()
    );
    for name in ["state", "run"] {
        // What the gateway asks of its folders: nobody else may enter.
        DirBuilder::new().mode(0o700).create(setup.folder.join(name))?;
    }
    let host = write(setup.folder, "host.toml", &host)?;
    Ok(vec!["run".to_owned(), "--host".to_owned(), host.display().to_string()])
}
