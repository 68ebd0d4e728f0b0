//! Which configuration is served, and since when.

use std::fs;

use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::{Accept, DEADLINE};
use mainstay_e2e::{Gateway, Origin, Setup};
use mainstay_model::{Generation, Process, Slot};
use rustix::process::Signal;

/// A file that is being edited is not what is served.
#[test]
fn a_gateway_that_runs_goes_on_with_its_generation() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    fs::write(gateway.path().join("gateway.toml"), "[[listener]]\nname = ")?;
    for process in Slot::ALL.map(Process::Worker).into_iter().chain([Process::Master]) {
        let victim = gateway.kill(process, Signal::KILL)?;
        gateway.wait_ready_without(&[victim.pid()])?;
    }
    let supervisor = gateway.kill(Process::Supervisor, Signal::KILL)?;
    let status = gateway.wait_ready_without(&[supervisor.pid()])?;
    assert_eq!(status.generation, Generation::FIRST);
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    Ok(())
}

#[test]
fn a_gateway_that_starts_anew_serves_the_file_as_another_generation() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let mut gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let path = gateway.path().join("gateway.toml");
    let text = fs::read_to_string(&path)?;
    // The same, then another, then the same again.
    let mut expected = Generation::FIRST;
    for change in ["", "\n# changed\n", ""] {
        if !change.is_empty() {
            expected = expected.next();
        }
        fs::write(&path, fs::read_to_string(&path)? + change)?;
        let supervisor = gateway.terminate(Signal::TERM)?;
        assert!(supervisor.ends_within(DEADLINE), "{}", gateway.log_tail());
        gateway.start_again()?;
        let status = gateway.wait_for("a status", |_| true)?;
        assert_eq!(status.generation, expected, "after {change:?}");
    }
    let kept = gateway.path().join("state/generations/1/gateway.toml");
    assert_eq!(fs::read_to_string(kept)?, text);
    Ok(())
}
