//! What a client sees when processes die. Real binary, real signals, real sockets; every port
//! is chosen by the kernel and every wait has a deadline and a name.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mainstay_e2e::client::{Client, request};
use mainstay_e2e::gateway::{Accept, DEADLINE, Look};
use mainstay_e2e::luck::Luck;
use mainstay_e2e::pattern::Check;
use mainstay_e2e::report::Report;
use mainstay_e2e::socket::Socket;
use mainstay_e2e::torture::{self, Adoption, Options, Sort, Ways};
use mainstay_e2e::traffic::{Plan, Traffic};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Process, Slot};
use rustix::process::Signal;

/// What a test works with: both ways of accepting, under traffic.
struct Scene {
    origin: Origin,
    gateway: Gateway,
    traffic: Traffic,
}

impl Scene {
    fn start() -> anyhow::Result<Self> {
        Self::with(Setup::with_core_dumps)
    }

    fn with(change: fn(Setup) -> Setup) -> anyhow::Result<Self> {
        let origin = Origin::start()?;
        let gateway = Gateway::start(&change(Setup::pair_with_all(&origin, &Accept::ALL)))?;
        let targets = Accept::ALL.map(|accept| gateway.target(accept));
        let traffic = Traffic::start(Plan::SMALL, &targets, &Luck::new(1));
        let scene = Self { origin, gateway, traffic };
        scene.traffic.wait_answered(200)?;
        Ok(scene)
    }

    fn worker(&self, role: Role) -> anyhow::Result<Process> {
        let active = self.gateway.active()?;
        Ok(Process::Worker(match role {
            Role::Active => active,
            Role::Standby => active.other(),
        }))
    }

    fn finish(self) -> anyhow::Result<Report> {
        self.traffic.wait_answered(200)?;
        let report = self.traffic.stop(&self.origin);
        anyhow::ensure!(report.is_clean(), "{report}\n{}", self.gateway.log_tail());
        Ok(report)
    }
}

#[derive(Clone, Copy)]
enum Role {
    Active,
    Standby,
}

#[test]
fn a_killed_worker_costs_nothing() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for _ in 0..5 {
        let killed = scene.gateway.active()?;
        let victim = scene.gateway.kill(Process::Worker(killed), Signal::KILL)?;
        scene
            .gateway
            .wait_for("the standby to take over", |status| status.active == Some(killed.other()))?;
        scene.gateway.wait_for("the killed worker to return as standby", |status| {
            status.standby() == Some(killed)
                && status.is_ready()
                && status.is_without(&[victim.pid()])
        })?;
        scene.traffic.wait_answered(50)?;
    }
    scene.finish()?;
    Ok(())
}

#[test]
fn a_killed_standby_costs_nothing() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let active = scene.gateway.active()?;
    let victim = scene.gateway.kill(scene.worker(Role::Standby)?, Signal::KILL)?;
    let status = scene.gateway.wait_ready_without(&[victim.pid()])?;
    assert_eq!(status.active, Some(active), "a standby's death is no failover");
    scene.finish()?;
    Ok(())
}

#[test]
fn both_workers_may_die_at_once() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for _ in 0..3 {
        let [one, two] = Slot::ALL.map(|slot| scene.gateway.process(Process::Worker(slot)));
        let (one, two) = (one?, two?);
        one.signal(Signal::KILL)?;
        two.signal(Signal::KILL)?;
        scene.gateway.wait_ready_without(&[one.pid(), two.pid()])?;
        scene.traffic.wait_answered(50)?;
    }
    scene.finish()?;
    Ok(())
}

#[test]
fn the_heir_may_die_while_it_adopts() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let mut luck = Luck::new(3);
    for _ in 0..5 {
        let first = scene.gateway.process(scene.worker(Role::Active)?)?;
        let heir = scene.gateway.process(scene.worker(Role::Standby)?)?;
        first.signal(Signal::KILL)?;
        // The instant is the point: an adoption takes a few milliseconds at most.
        first.ends_within(luck.duration(Duration::ZERO..Duration::from_millis(2)));
        heir.signal(Signal::KILL)?;
        scene.gateway.wait_ready_without(&[first.pid(), heir.pid()])?;
    }
    scene.finish()?;
    Ok(())
}

#[test]
fn a_killed_master_costs_nothing() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for _ in 0..3 {
        let active = scene.gateway.active()?;
        let victim = scene.gateway.kill(Process::Master, Signal::KILL)?;
        let status = scene.gateway.wait_ready_without(&[victim.pid()])?;
        assert_eq!(status.active, Some(active), "the new master learns who serves");
        scene.traffic.wait_answered(50)?;
    }
    scene.finish()?;
    Ok(())
}

#[test]
fn a_new_supervisor_takes_over_the_orphans_of_a_killed_one() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let before = Process::SUPERVISED.map(|process| scene.gateway.process(process));
    scene.gateway.kill(Process::Supervisor, Signal::KILL)?;
    wait::until("a second supervisor", DEADLINE, || {
        (scene.gateway.supervisor_ends().len() == 1
            && scene.gateway.process(Process::Supervisor).is_ok())
        .then_some(())
    })?;
    for (process, before) in Process::SUPERVISED.into_iter().zip(before) {
        assert_eq!(scene.gateway.process(process)?.pid(), before?.pid(), "{process} lives on");
    }
    // Only a supervisor starts a worker again: so they are its children now.
    let victim = scene.gateway.kill(scene.worker(Role::Active)?, Signal::KILL)?;
    scene.gateway.wait_ready_without(&[victim.pid()])?;
    scene.finish()?;
    Ok(())
}

#[test]
fn a_process_that_stands_still_is_replaced() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let processes = [scene.worker(Role::Active)?, scene.worker(Role::Standby)?, Process::Master];
    for process in processes {
        let victim = scene.gateway.kill(process, Signal::STOP)?;
        assert!(victim.ends_within(DEADLINE), "{process} was stopped and nobody noticed");
        scene.gateway.wait_ready_without(&[victim.pid()])?;
    }
    scene.finish()?;
    Ok(())
}

/// Its supervisor has welcomed it and its master has not heard of it: somebody waits for it.
#[test]
fn a_worker_that_stands_still_before_its_first_word_is_replaced() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let standby = scene.worker(Role::Standby)?;
    let door = scene.gateway.path().join("run/master.sock");
    let aside = door.with_extension("aside");
    fs::rename(&door, &aside).context("the door is moved out of reach")?;
    let log = scene.gateway.log_bytes();
    let dead = scene.gateway.kill(standby, Signal::KILL)?;
    wait::until("another standby that is welcome", DEADLINE, || {
        scene.gateway.log_from(log).contains("process is up").then_some(())
    })?;
    let victim = scene.gateway.kill(standby, Signal::STOP)?;
    fs::rename(&aside, &door).context("the door is moved back")?;
    assert_ne!(victim.pid(), dead.pid());
    assert!(victim.ends_within(DEADLINE), "{standby} was stopped and nobody noticed");
    scene.gateway.wait_ready_without(&[dead.pid(), victim.pid()])?;
    scene.finish()?;
    Ok(())
}

#[test]
fn a_crash_that_dumps_core_costs_nothing() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    let victim = scene.gateway.kill(scene.worker(Role::Active)?, Signal::SEGV)?;
    scene.gateway.wait_ready_without(&[victim.pid()])?;
    scene.finish()?;
    Ok(())
}

#[test]
fn a_poison_request_costs_one_worker_once_and_only_its_own_client() -> anyhow::Result<()> {
    let scene = Scene::with(|setup| setup.with_host("trial", "abort_path", "/poison"))?;
    let before = scene.gateway.status().context("the gateway has a status")?;
    let active = scene.gateway.active()?;
    let victim = scene.gateway.process(Process::Worker(active))?;
    let mut client = Client::connect(scene.gateway.address("web-active"))?;
    client.send(&request("GET", "/poison", &[]))?;
    let answer = client.response("GET")?;
    assert_eq!(answer.head.status, 502, "its own client is told");
    let status = scene.gateway.wait_ready_without(&[victim.pid()])?;
    assert_eq!(status.failovers, before.failovers + 1, "one worker, once");
    scene.finish()?;
    Ok(())
}

/// Without the switches nobody dumps core, whatever the machine allows.
#[test]
fn core_dumps_are_off_unless_a_switch_is_there() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let soft = |pid: u32| -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let line = text.lines().find(|line| line.starts_with("Max core file size"));
        let line = line.context("a limit")?;
        Ok(line.split_whitespace().nth(4).context("a soft limit")?.to_owned())
    };
    for process in gateway.processes() {
        assert!(["0", "1"].contains(&&*soft(process.pid())?), "{process:?}");
    }
    fs::write(gateway.path().join("state/.slavedumpcore"), "")?;
    let victim = gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
    let status = gateway.wait_ready_without(&[victim.pid()])?;
    let standby = status.standby().and_then(|slot| status.process(Process::Worker(slot)));
    let standby = standby.context("a standby")?.pid;
    let text = fs::read_to_string(format!("/proc/{standby}/limits"))?;
    let line = text.lines().find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.context("a limit")?.split_whitespace().collect();
    assert_eq!(words[4], words[5], "as much as the machine allows");
    Ok(())
}

/// A worker that takes more memory than its share dies of it, and hurts nobody else.
#[test]
fn a_share_of_memory_is_a_limit_and_costs_only_who_exceeds_it() -> anyhow::Result<()> {
    let scene =
        Scene::with(|setup| setup.with_memory(1).with_host("trial", "hoard_path", "/hoard"))?;
    let status = scene.gateway.status().context("the gateway has a status")?;
    let active = scene.gateway.active()?;
    let worker = status.process(Process::Worker(active)).context("a worker has a status")?;
    let share = worker.memory_max_bytes.context("a worker has a share")?;
    assert!(worker.memory_bytes < share, "{worker:?}");
    let text = fs::read_to_string(format!("/proc/{}/limits", worker.pid))?;
    let limit = text.lines().find(|line| line.starts_with("Max data size")).context("a limit")?;
    assert!(limit.contains(&format!(" {share} ")), "{limit}");
    let keeper = fs::read_to_string(format!("/proc/{}/limits", worker.keeper_pid.unwrap()))?;
    assert!(!keeper.contains(&format!(" {share} ")), "a keeper is not limited");

    let victim = scene.gateway.process(Process::Worker(active))?;
    let mut client = Client::connect(scene.gateway.address("web-active"))?;
    client.send(&request("GET", "/hoard", &[]))?;
    assert_eq!(client.response("GET")?.head.status, 502, "its own client is told");
    scene.gateway.wait_ready_without(&[victim.pid()])?;
    scene.finish()?;
    Ok(())
}

#[test]
fn a_process_whose_keeper_died_is_replaced() -> anyhow::Result<()> {
    let scene = Scene::start()?;
    for process in Process::KEPT {
        let keeper = scene.gateway.keeper(process)?;
        keeper.signal(Signal::KILL)?;
        scene.gateway.wait_ready_without(&[keeper.pid()])?;
        scene.traffic.wait_answered(50)?;
    }
    scene.finish()?;
    Ok(())
}

#[test]
fn idle_connections_move_from_worker_to_worker() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut clients = Vec::new();
    for _ in 0..500 {
        let mut client = Client::connect(gateway.address("web"))?;
        client.get("/small")?;
        clients.push(client);
    }
    for _ in 0..4 {
        let victim = gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
        gateway.wait_ready_without(&[victim.pid()])?;
    }
    for client in &mut clients {
        assert_eq!(client.get("/small")?.head.status, 200);
    }
    Ok(())
}

/// While the client reads nothing, a part of the answer lies in a pipe; each heir gets it, and
/// one more part of its own making after it.
#[test]
fn a_long_answer_to_a_slow_client_passes_from_heir_to_heir() -> anyhow::Result<()> {
    const BYTES: u64 = 64_000_000;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut client = Client::connect(gateway.address("web"))?;
    client.send(&request("GET", &format!("/bytes?n={BYTES}&seed=3"), &[]))?;
    let head = client.final_head()?;
    let (mut check, mut kills, mut next_kill) = (Check::new(3), 0, 0);
    client.body(&head, &mut |piece| {
        check.feed(piece)?;
        if check.sum().bytes() > next_kill {
            next_kill += BYTES / 8;
            kills += 1;
            let victim = gateway.kill(Process::Worker(gateway.active().unwrap()), Signal::KILL);
            gateway.wait_ready_without(&[victim.unwrap().pid()]).unwrap();
        }
        Ok(())
    })?;
    check.complete(BYTES)?;
    assert_eq!(kills, 8);
    // What was read for it is no other's: the next answer begins where this one ended.
    assert_eq!(client.get("/small")?.head.status, 200);
    Ok(())
}

/// There is a new generation, and only the worker that was started since has it: what the others
/// have under way must not be taken for what has the same place in the new one.
#[test]
fn an_heir_with_another_configuration_confuses_nothing() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut client = Client::connect(gateway.address("web"))?;
    client.send(&request("GET", "/hold?key=k", &[]))?;
    origin.wait_held("k", 1)?;

    // The one route leads to the tunnels' server from now on.
    gateway.make_second(|first| {
        let changed = first.replace("upstream = \"web\"", "upstream = \"raw\"");
        assert_ne!(changed, first);
        changed
    })?;
    let old = gateway.active()?;
    let standby = gateway.kill(Process::Worker(old.other()), Signal::KILL)?;
    gateway.wait_ready_without(&[standby.pid()])?;
    let active = gateway.kill(Process::Worker(old), Signal::KILL)?;
    gateway.wait_ready_without(&[active.pid()])?;

    origin.release("k");
    assert_eq!(client.response("GET")?.text(), "released\n");
    // The server's connection that carried it, kept for where that route leads now, would be
    // the next tunnel's.
    let mut tunnel = Socket::connect(gateway.address("tunnel"))?;
    tunnel.send(b"through")?;
    let mut echoed = [0; 7];
    tunnel.take_exact(&mut echoed)?;
    assert_eq!(&echoed, b"through");
    Ok(())
}

#[test]
fn a_connection_that_waits_for_nobody_gets_503() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    for accept in Accept::ALL {
        let setup = Setup::pair(&origin, accept)
            .with_host("pair", "hold_timeout", "300ms")
            .with_host("restart", "delay_min", "4s")
            .with_host("restart", "delay_max", "4s");
        let gateway = Gateway::start(&setup)?;
        for slot in Slot::ALL {
            gateway.kill(Process::Worker(slot), Signal::KILL)?;
        }
        gateway.wait_for("nobody to be ready", |status| status.active.is_none())?;
        let response = Client::connect(gateway.address("web"))?.get("/small")?;
        assert_eq!(response.head.status, 503, "accept = {}", accept.name());
    }
    Ok(())
}

#[test]
fn sigterm_drains() -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let origin = Origin::start()?;
        let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
        let mut client = Client::connect(gateway.address("web"))?;
        client.send(&request("GET", "/hold?key=last", &[]))?;
        origin.wait_held("last", 1)?;

        let supervisor = gateway.terminate(signal)?;
        wait::until("new connections to be refused", DEADLINE, || {
            TcpStream::connect(gateway.address("web")).is_err().then_some(())
        })?;
        assert!(!supervisor.ends_within(Duration::ZERO), "{}", gateway.log_tail());
        origin.release("last");
        assert_eq!(client.response("GET")?.text(), "released\n");
        drop(client);
        expect_end(&gateway, 0)?;
    }
    Ok(())
}

/// They came before the end, so they are served before it.
#[test]
fn a_gateway_that_ends_serves_everything_in_its_queues() -> anyhow::Result<()> {
    const QUEUED: usize = 300;
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active).with_host("pair", "hang_timeout", "10s");
    let gateway = Gateway::start(&setup)?;
    let worker = gateway.process(Process::Worker(gateway.active()?))?;
    worker.signal(Signal::STOP)?;
    let mut clients = Vec::new();
    for _ in 0..QUEUED {
        let mut client = Client::connect(gateway.address("web"))?;
        client.send(&request("GET", "/small", &[]))?;
        clients.push(client);
    }
    gateway.terminate(Signal::TERM)?;
    wait::until("the master to be told", DEADLINE, || {
        gateway.log().contains("master stopping").then_some(())
    })?;
    worker.signal(Signal::CONT)?;
    for client in &mut clients {
        assert_eq!(client.response("GET")?.head.status, 200);
    }
    drop(clients);
    expect_end(&gateway, 0)
}

#[test]
fn a_second_sigterm_ends_at_once() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut client = Client::connect(gateway.address("web"))?;
    client.send(&request("GET", "/hold?key=never", &[]))?;
    origin.wait_held("never", 1)?;

    let supervisor = gateway.terminate(Signal::TERM)?;
    wait::until("new connections to be refused", DEADLINE, || {
        TcpStream::connect(gateway.address("web")).is_err().then_some(())
    })?;
    let start = Instant::now();
    supervisor.signal(Signal::TERM)?;
    // What was open was cut off, and whoever started it is told so.
    expect_end(&gateway, 1)?;
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
    Ok(())
}

/// Waits for the end of a gateway that was told to end, and expects nothing to be left of it,
/// and this exit code.
fn expect_end(gateway: &Gateway, code: i32) -> anyhow::Result<()> {
    let ended = wait::until("the supervisor to end", Duration::from_secs(10), || {
        gateway.supervisor_ends().last().copied()
    });
    let Ok(status) = ended else { anyhow::bail!("it does not end\n{}", gateway.log_tail()) };
    anyhow::ensure!(status.exit_status() == Some(code), "{status:?}\n{}", gateway.log_tail());
    wait::until("every process to be gone", Duration::from_secs(5), || {
        gateway.processes().is_empty().then_some(())
    })?;
    let left: Vec<_> = fs::read_dir(gateway.path().join("run"))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<_>>()?;
    anyhow::ensure!(
        left.iter().all(|name| name == "supervisor.lock" || name == "keepers"),
        "{left:?}"
    );
    Ok(())
}

/// A torture short enough for a test.
fn short(accept: Ways) -> Options {
    Options {
        seconds: 15,
        accept,
        transfer_mb: 8,
        transfer_seconds: 5,
        threads: 1,
        idle: 16,
        interval_ms: 200,
        ..Options::default()
    }
}

#[test]
fn a_short_torture_costs_nothing_when_workers_accept() -> anyhow::Result<()> {
    torture::run(&short(Ways::Active))?;
    Ok(())
}

#[test]
fn a_worker_that_had_no_connections_leaves_none_and_nobody_says_that_it_did() -> anyhow::Result<()>
{
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    for _ in 0..5 {
        gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
    }
    assert!(!gateway.log().contains("connections adopted"), "{}", gateway.log_tail());
    // The same of one that had a connection, so that it is seen that it is said.
    let mut client = Client::connect(gateway.address("web"))?;
    assert_eq!(client.get("/small")?.head.status, 200);
    gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
    assert_eq!(client.get("/small")?.head.status, 200);
    let is_said = || gateway.log().contains("connections adopted").then_some(());
    Ok(wait::until("word of the adoption", DEADLINE, is_said)?)
}

#[test]
fn a_short_torture_costs_nothing_when_the_master_accepts() -> anyhow::Result<()> {
    // What a dead master had handed to one thread must not begin anew in the other.
    torture::run(&Options { worker_threads: 2, ..short(Ways::Master) })?;
    Ok(())
}

#[test]
fn a_short_torture_of_one_process_costs_nothing() -> anyhow::Result<()> {
    torture::run(&Options { one_process: true, worker_threads: 2, ..short(Ways::Both) })?;
    Ok(())
}

#[test]
fn without_adoption_the_torture_fails() -> anyhow::Result<()> {
    let options = Options {
        seconds: 3,
        adoption: Adoption::Off,
        only: vec![Sort::Active],
        ..short(Ways::Both)
    };
    let report = torture::observe(&options)?;
    assert!(report.kills_of_active() > 0, "{report}");
    assert!(report.verdict().is_err(), "{report}");
    assert!(report.traffic.total().closed > 0, "{report}");
    Ok(())
}
