//! One process that does everything, and the way from a pair to it and back.

use mainstay_e2e::cli::{Answer, mainstay};
use mainstay_e2e::gateway::{Accept, Look};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::{Gateway, Origin, Setup};
use mainstay_model::Process;
use rustix::process::Signal;

/// Has a gateway become one process, or a pair.
fn ha(gateway: &Gateway, command: &str) -> anyhow::Result<Answer> {
    let host = gateway.path().join("host.toml");
    mainstay(&[
        "ha".as_ref(),
        command.as_ref(),
        "--yes".as_ref(),
        "--host".as_ref(),
        host.as_os_str(),
    ])
}

#[test]
fn a_pair_becomes_one_process_and_a_pair_again_with_nothing_closed() -> anyhow::Result<()> {
    const ROUNDS: usize = 3;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    for _ in 0..ROUNDS {
        traffic.wait_answered(100)?;
        let answer = ha(&gateway, "disable")?;
        assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
        gateway.wait_for("one process", Look::is_one_process)?;
        traffic.wait_answered(100)?;
        let answer = ha(&gateway, "enable")?;
        assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
        gateway.wait_for("a pair", Look::is_ready)?;
    }
    traffic.wait_answered(100)?;
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

#[test]
fn the_death_of_the_one_process_is_a_pause_and_nothing_else() -> anyhow::Result<()> {
    const DEATHS: usize = 5;
    let origin = Origin::start()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).as_one_process();
    let gateway = Gateway::start(&setup)?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    for _ in 0..DEATHS {
        traffic.wait_answered(200)?;
        let killed = gateway.kill(Process::Master, Signal::KILL)?.pid();
        gateway.wait_for("the next one to serve", |status| {
            status.is_one_process() && status.is_without(&[killed])
        })?;
    }
    traffic.wait_answered(200)?;
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}
