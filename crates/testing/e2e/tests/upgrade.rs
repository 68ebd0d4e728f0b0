//! Another program for every process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use mainstay_e2e::cli::{Answer, run};
use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::{Accept, DEADLINE, Look, binary};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::Process;
use mainstay_wire::command::Status;
use rustix::process::Signal;

/// A copy of the program under another name, which is another file to everybody.
fn copy(gateway: &Gateway, name: &str) -> anyhow::Result<PathBuf> {
    let path = gateway.path().join(name);
    fs::copy(binary()?, &path)?;
    Ok(path)
}

fn upgrade(gateway: &Gateway, program: &Path) -> anyhow::Result<Answer> {
    let run_directory = gateway.path().join("run");
    let arguments =
        ["upgrade".as_ref(), program.as_os_str(), "--run".as_ref(), run_directory.as_os_str()];
    run(&binary()?, &arguments)
}

/// The files that the processes run, in the order of [`Process::SUPERVISED`], after the
/// supervisor's.
fn programs(gateway: &Gateway) -> anyhow::Result<Vec<PathBuf>> {
    let everyone = [Process::Supervisor].into_iter().chain(Process::SUPERVISED);
    everyone
        .map(|process| {
            let pid = gateway.process(process)?.pid();
            Ok(fs::read_link(format!("/proc/{pid}/exe"))?)
        })
        .collect()
}

#[test]
fn an_upgrade_replaces_every_process_and_closes_nothing() -> anyhow::Result<()> {
    const UPGRADES: usize = 3;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let supervisor = gateway.process(Process::Supervisor)?.pid();
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    for number in 1..=UPGRADES {
        traffic.wait_answered(100)?;
        let next = copy(&gateway, &format!("next-{number}"))?;
        let answer = upgrade(&gateway, &next)?;
        assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
        assert!(answer.out.ends_with("every process runs mainstay 0.1.0\n"), "{answer:?}");
        assert_eq!(programs(&gateway)?, vec![next; 5]);
        assert_eq!(gateway.process(Process::Supervisor)?.pid(), supervisor);
    }
    traffic.wait_answered(100)?;
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

/// What is installed over the program that runs, under the same name, is another file.
#[test]
fn a_program_that_is_gone_from_the_disk_is_upgraded_too() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let first = copy(&gateway, "mainstay")?;
    assert_eq!(upgrade(&gateway, &first)?.code, Some(0));
    fs::remove_file(&first)?;
    let second = copy(&gateway, "mainstay")?;
    let answer = upgrade(&gateway, &second)?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    assert_eq!(programs(&gateway)?, vec![second; 5]);
    Ok(())
}

#[test]
fn a_program_that_does_not_come_up_is_given_up() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair_with_all(&origin, &Accept::ALL).with_host("trial", "upgrade", "fails");
    let gateway = Gateway::start(&setup)?;
    let before = programs(&gateway)?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    traffic.wait_answered(100)?;
    let answer = upgrade(&gateway, &copy(&gateway, "next")?)?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(
        answer.err.contains("not upgraded: [trial] of host.toml has every upgrade fail"),
        "{answer:?}"
    );
    assert_eq!(programs(&gateway)?, before);
    gateway.wait_for("the pair to be ready", Look::is_ready)?;
    traffic.wait_answered(100)?;
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

#[test]
fn what_is_no_program_of_ours_changes_nothing() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let before = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    let pids = |status: &Status| -> Vec<u32> {
        status.processes.iter().map(|process| process.pid).collect()
    };
    let text = gateway.path().join("text");
    fs::write(&text, "no program")?;
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755))?;
    for (program, reason) in [
        (Path::new("/bin/true"), "the program does not fit (exit code 0): "),
        (Path::new("/bin/false"), "the program does not fit (exit code 1): "),
        (&text, "cannot run the program: Exec format error"),
        (gateway.path(), "cannot run the program: Permission denied"),
    ] {
        let answer = upgrade(&gateway, program)?;
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains(reason), "{answer:?}");
    }
    let after = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    assert_eq!(pids(&after), pids(&before));
    assert_eq!(Client::connect(gateway.address("web"))?.get("/small")?.head.status, 200);
    Ok(())
}

/// Whoever dies in the middle of it, clients see nothing; and asked again, it is done.
#[test]
fn a_death_during_an_upgrade_costs_no_client_anything() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair_with_all(&origin, &Accept::ALL))?;
    let targets = Accept::ALL.map(|accept| gateway.target(accept));
    let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
    let next = [copy(&gateway, "even")?, copy(&gateway, "odd")?];
    let everyone = [Process::Supervisor].into_iter().chain(Process::SUPERVISED);
    for (number, victim) in everyone.enumerate() {
        traffic.wait_answered(50)?;
        let program = &next[number % 2];
        let start = gateway.log_bytes();
        let (answer, killed) = thread::scope(|scope| {
            let upgrading = scope.spawn(|| upgrade(&gateway, program));
            let killed = kill_in_the_middle(&gateway, victim, start);
            (upgrading.join().expect("an operator does not panic"), killed)
        });
        let (answer, killed) = (answer?, killed?);
        gateway.wait_ready_without(&[killed])?;
        if answer.code != Some(0) {
            assert!(answer.err.contains("supervisor ended") || answer.err.contains("not upgraded"));
            wait::until("a supervisor that does it", DEADLINE, || {
                upgrade(&gateway, program).ok().filter(|again| again.code == Some(0))
            })
            .with_context(|| format!("{victim}: {answer:?}\n{}", gateway.log_tail()))?;
        }
        assert_eq!(programs(&gateway)?, vec![program.clone(); 5], "{victim}");
    }
    let report = traffic.stop(&origin);
    anyhow::ensure!(report.is_clean(), "{report}\n{}", gateway.log_tail());
    Ok(())
}

/// When the first process is asked to make way.
fn kill_in_the_middle(gateway: &Gateway, victim: Process, start: usize) -> anyhow::Result<u32> {
    let line = "process is asked to make way";
    wait::until(line, DEADLINE, || gateway.log_from(start).contains(line).then_some(()))?;
    Ok(wait::until("the victim to be there", DEADLINE, || {
        let process = gateway.process(victim).ok()?;
        process.signal(Signal::KILL).ok()?;
        Some(process.pid())
    })?)
}
