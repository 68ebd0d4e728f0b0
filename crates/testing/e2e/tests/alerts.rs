//! Who hears of what happens to a gateway, and how often.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context as _;
use mainstay_e2e::cli::mainstay;
use mainstay_e2e::client::{Client, request};
use mainstay_e2e::gateway::{Accept, DEADLINE, Look};
use mainstay_e2e::receivers::{self, Heard};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Process, Slot};
use mainstay_wire::command::ProcessStatus;
use rustix::process::Signal;
use serde_json::Value;

/// A gateway whose events a local syslog server hears.
struct Scene {
    gateway: Gateway,
    syslog: Heard<String>,
    _origin: Origin,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn start(change: impl FnOnce(Setup) -> Setup) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("log");
        let syslog = receivers::syslog_unix(&path)?;
        let origin = Origin::start()?;
        let setup = change(Setup::pair(&origin, Accept::Active));
        let target = format!("unix:{}", path.display());
        let gateway = Gateway::start(&setup.with_host("alerts", "syslog", &*target))?;
        Ok(Self { gateway, syslog, _origin: origin, _directory: directory })
    }

    /// Waits for a syslog message of this event that says all of these.
    fn wait(&self, event: &str, pieces: &[&str]) -> anyhow::Result<String> {
        let name = format!("{event} with {pieces:?}");
        let says = |message: &String| {
            message.contains(&format!(" {event} ["))
                && pieces.iter().all(|piece| message.contains(piece))
        };
        self.syslog.wait(&name, says).with_context(|| self.gateway.log_tail())
    }

    /// How many syslog messages of this event are such a change. One that comes again after the
    /// death of the supervisor has the same number.
    fn count(&self, event: &str, change: &str) -> usize {
        let (change, event) = (format!("change=\"{change}\""), format!(" {event} ["));
        let number = |message: String| {
            let is_one = message.contains(&event) && message.contains(&change);
            let (_, rest) = message.split_once("sequenceId=\"").filter(|_| is_one)?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        self.syslog.all().into_iter().filter_map(number).collect::<BTreeSet<_>>().len()
    }

    fn log(&self) -> Vec<Value> {
        log(&self.gateway)
    }
}

/// What is in events.log.
fn log(gateway: &Gateway) -> Vec<Value> {
    let text = fs::read_to_string(gateway.path().join("state/events.log")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What `mainstay alerts --json` says.
fn alerts(gateway: &Gateway) -> anyhow::Result<Value> {
    let run = gateway.path().join("run");
    let answer =
        mainstay(&["alerts".as_ref(), "--json".as_ref(), "--run".as_ref(), run.as_os_str()])?;
    anyhow::ensure!(answer.code == Some(0), "{answer:?}");
    Ok(serde_json::from_str(&answer.out)?)
}

fn wait_standing(gateway: &Gateway, names: &[&str]) -> anyhow::Result<()> {
    let mut last = Value::Null;
    wait::until(&format!("{names:?} to stand"), DEADLINE, || {
        last = alerts(gateway).ok()?.get("standing")?.clone();
        let standing = last.as_array()?.iter().map(|alert| alert["alert"].as_str());
        standing.eq(names.iter().map(|&name| Some(name))).then_some(())
    })
    .with_context(|| format!("{last:#}"))
}

/// Kills the worker that stands by, as soon as it does.
fn kill_standby(gateway: &Gateway) -> anyhow::Result<u32> {
    let standby = gateway.active()?.other();
    let victim = gateway.kill(Process::Worker(standby), Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;
    Ok(victim.pid())
}

#[test]
fn the_death_of_the_active_worker_is_told_every_way() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let (udp, by_udp) = receivers::syslog_udp()?;
    let (tcp, by_tcp) = receivers::syslog_tcp()?;
    let by_unix = receivers::syslog_unix(&path)?;
    let ways = [
        (format!("udp:{udp}"), by_udp),
        (format!("tcp:localhost:{}", tcp.port()), by_tcp),
        (format!("unix:{}", path.display()), by_unix),
    ];
    for (target, syslog) in ways {
        let hook = receivers::nobody()?;
        let webhook = receivers::webhook(hook, 0)?;
        let origin = Origin::start()?;
        let setup = Setup::pair(&origin, Accept::Active)
            .with_host("alerts", "syslog", &*target)
            .with_host("alerts", "facility", "local0")
            .with_host("alerts", "webhook", &*format!("http://{hook}"));
        let gateway = Gateway::start(&setup)?;
        let active = gateway.active()?;
        let victim = gateway.kill(Process::Worker(active), Signal::KILL)?;
        gateway.wait_ready_without(&[victim.pid()])?;

        let died = syslog.wait("a death", |message| message.contains(" process_died ["))?;
        let pid = format!("pid=\"{}\"", victim.pid());
        let process = format!("process=\"worker {active}\"");
        for piece in [&*pid, &process, "change=\"raised\"", "SIGKILL", "<132>1 "] {
            assert!(died.contains(piece), "no {piece} in {died}");
        }
        syslog.wait("a failover", |message| message.contains(" failed_over ["))?;
        let up = syslog.wait("its end", |message| message.contains(" process_up ["))?;
        assert!(up.contains("change=\"cleared\"") && up.contains(&process), "{up}");

        let is = |alert: &Value, name: &str| alert["labels"]["alertname"] == name;
        let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().to_owned();
        let raised = webhook.wait("the alert", |alert| is(alert, "MainstayProcessDied"))?;
        let cleared = webhook.wait("its end", |alert| {
            is(alert, "MainstayProcessDied") && ends(alert) < ends(&raised)
        })?;
        assert_eq!(raised["labels"], cleared["labels"]);
        assert_eq!(raised["startsAt"], cleared["startsAt"]);
        webhook.wait("the failover", |alert| is(alert, "MainstayFailedOver"))?;

        let logged = wait::until("the log", DEADLINE, || {
            let logged = log(&gateway);
            let is_there = |event: &str| logged.iter().any(|line| line["event"] == event);
            (is_there("process_up") && is_there("failed_over")).then_some(logged)
        })?;
        let numbers: Vec<u64> =
            logged.iter().map(|line| line["number"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        wait_standing(&gateway, &[])?;
        let said = alerts(&gateway)?;
        let latest = said["latest"].as_array().unwrap();
        assert!(latest.iter().any(|record| record["event"] == "process_died"), "{said:#}");
    }
    Ok(())
}

#[test]
fn a_webhook_that_is_away_is_told_when_it_is_back() -> anyhow::Result<()> {
    let hook = receivers::nobody()?;
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active)
        .with_host("alerts", "webhook", &*format!("http://{hook}"))
        .with_host("alerts", "retry_min", "20ms")
        .with_host("alerts", "retry_max", "100ms");
    let gateway = Gateway::start(&setup)?;
    let victim = gateway.kill(Process::Worker(Slot::One), Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;
    wait::until("trouble", DEADLINE, || {
        gateway.log().contains("events cannot be delivered, they are tried again").then_some(())
    })?;

    // What waits outlives who has it waiting.
    let supervisor = gateway.kill(Process::Supervisor, Signal::KILL)?;
    gateway.wait_ready_without(&[supervisor.pid()])?;

    // It is back, and not well yet.
    let webhook = receivers::webhook(hook, 3)?;
    let is_death = |alert: &Value| {
        alert["labels"]["alertname"] == "MainstayProcessDied"
            && alert["labels"]["process"] == "worker one"
    };
    let raised = webhook.wait("the alert", is_death)?;
    webhook.wait("its end", |alert| is_death(alert) && alert["endsAt"] != raised["endsAt"])?;
    assert_eq!(webhook.all()[0]["labels"]["alertname"], "MainstaySystemUp", "in order");
    wait::until("the end of the trouble", DEADLINE, || {
        gateway.log().contains("events are delivered again").then_some(())
    })?;
    Ok(())
}

#[test]
fn what_was_told_a_short_while_ago_is_counted_and_told_with_its_count() -> anyhow::Result<()> {
    let scene = Scene::start(|setup| setup.with_host("alerts", "repeat", "2s"))?;
    let run = scene.gateway.path().join("run");
    for _ in 0..3 {
        let arguments = ["rollback".as_ref(), "99".as_ref(), "--run".as_ref(), run.as_os_str()];
        assert_eq!(mainstay(&arguments)?.code, Some(1));
    }
    let told = scene.wait("apply_refused", &["change=\"happened\""])?;
    assert!(told.contains("there is no generation 99"), "{told}");
    let again = scene.wait("apply_refused", &["change=\"repeated\""])?;
    assert!(again.contains("suppressed=\"2\""), "{again}");
    assert_eq!(scene.count("apply_refused", "suppressed"), 0, "nobody is called for it");
    let changes: Vec<Value> = scene
        .log()
        .into_iter()
        .filter(|line| line["event"] == "apply_refused")
        .map(|line| line["change"].clone())
        .collect();
    assert_eq!(changes, ["happened", "suppressed", "suppressed", "repeated"]);
    Ok(())
}

/// A worker that dies whenever it comes up is one alert, and costs nobody anything else.
#[test]
fn a_crash_loop_is_one_alert_that_ends_when_the_process_stays_up() -> anyhow::Result<()> {
    let scene = Scene::start(|setup| {
        setup.with_host("restart", "stable_after", "5s").with_host("restart", "delay_max", "50ms")
    })?;
    let gateway = &scene.gateway;
    let web = gateway.address("web");
    let active = gateway.active()?;
    let mut victims = Vec::new();
    for _ in 0..8 {
        victims.push(kill_standby(gateway)?);
    }
    scene.wait("crash_looped", &["change=\"raised\"", "severity=\"critical\"", "SIGKILL"])?;
    wait_standing(gateway, &["crash_looped"])?;
    assert_eq!(gateway.active()?, active, "the other one goes on");
    assert_eq!(Client::connect(web)?.get("/small")?.head.status, 200);

    scene.wait("crash_loop_ended", &["change=\"cleared\"", "suppressed=\"3\""])?;
    wait_standing(gateway, &[])?;
    gateway.wait_ready_without(&victims)?;
    assert_eq!(scene.count("crash_looped", "raised"), 1);
    assert_eq!(scene.count("crash_loop_ended", "cleared"), 1);
    // Each death before it was one is told.
    assert_eq!(scene.count("process_died", "raised"), 4);
    Ok(())
}

#[test]
fn a_master_that_dies_is_the_system_down_and_up() -> anyhow::Result<()> {
    let scene = Scene::start(|setup| setup)?;
    scene.wait("system_up", &["change=\"happened\""])?;
    let victim = scene.gateway.kill(Process::Master, Signal::KILL)?;
    scene.gateway.wait_ready_without(&[victim.pid()])?;
    scene.wait("system_down", &["change=\"raised\"", "severity=\"critical\"", "SIGKILL"])?;
    scene.wait("system_up", &["change=\"cleared\"", "alert=\"system_down\""])?;

    let supervisor = scene.gateway.terminate(Signal::TERM)?;
    assert!(supervisor.ends_within(DEADLINE), "{}", scene.gateway.log_tail());
    scene.wait("system_stopped", &["asked to stop"])?;
    Ok(())
}

/// Nobody sees a death while there is no supervisor; the next one does.
#[test]
fn what_happens_without_a_supervisor_is_told_by_the_next() -> anyhow::Result<()> {
    let scene = Scene::start(|setup| setup)?;
    let gateway = &scene.gateway;
    let active = gateway.active()?;
    let worker = gateway.process(Process::Worker(active))?;
    let supervisor = gateway.kill(Process::Supervisor, Signal::KILL)?;
    worker.signal(Signal::KILL)?;
    gateway.wait_ready_without(&[supervisor.pid(), worker.pid()])?;
    let pid = |pid: u32| format!("pid=\"{pid}\"");
    scene.wait("process_died", &["process=\"supervisor\"", &pid(supervisor.pid())])?;
    scene.wait("process_up", &["process=\"supervisor\"", "change=\"cleared\""])?;
    scene.wait("process_died", &[&pid(worker.pid())])?;
    scene.wait("process_up", &[&format!("process=\"worker {active}\""), "change=\"cleared\""])?;
    // The master told of it when there was somebody to tell.
    scene.wait("failed_over", &[&format!("from=\"{active}\"")])?;
    wait_standing(gateway, &[])?;
    assert_eq!(scene.count("system_up", "happened"), 1, "the master was up all the time");

    // What stands is known to the next one too.
    let scene = Scene::start(|setup| {
        setup.with_host("restart", "stable_after", "5s").with_host("restart", "delay_max", "50ms")
    })?;
    for _ in 0..5 {
        kill_standby(&scene.gateway)?;
    }
    wait_standing(&scene.gateway, &["crash_looped"])?;
    let supervisor = scene.gateway.kill(Process::Supervisor, Signal::KILL)?;
    scene.gateway.wait_ready_without(&[supervisor.pid()])?;
    wait_standing(&scene.gateway, &["crash_looped"])?;
    scene.wait("crash_loop_ended", &["change=\"cleared\""])?;
    assert_eq!(scene.count("crash_looped", "raised"), 1);
    Ok(())
}

#[test]
fn a_hang_a_poison_request_and_a_pair_that_is_gone_are_told() -> anyhow::Result<()> {
    let scene = Scene::start(|setup| setup.with_host("trial", "abort_path", "/poison"))?;
    let gateway = &scene.gateway;
    let hung = gateway.kill(Process::Worker(gateway.active()?), Signal::STOP)?;
    gateway.wait_ready_without(&[hung.pid()])?;
    scene.wait("process_hung", &[&format!("pid=\"{}\"", hung.pid()), "stood still"])?;

    let victim = gateway.process(Process::Worker(gateway.active()?))?;
    let mut client = Client::connect(gateway.address("web"))?;
    client.send(&request("GET", "/poison", &[]))?;
    assert_eq!(client.response("GET")?.head.status, 502);
    gateway.wait_ready_without(&[victim.pid()])?;
    scene.wait("connection_suspected", &["client=\"127.0.0.1"])?;

    let [one, two] = Slot::ALL.map(|slot| gateway.process(Process::Worker(slot)));
    let (one, two) = (one?, two?);
    one.signal(Signal::KILL)?;
    two.signal(Signal::KILL)?;
    gateway.wait_ready_without(&[one.pid(), two.pid()])?;
    scene.wait("no_worker_ready", &["change=\"raised\""])?;
    scene.wait("worker_serves", &["change=\"cleared\"", "alert=\"no_worker_ready\""])?;
    wait_standing(gateway, &[])?;
    Ok(())
}

/// Of one process, the part that serves tells by way of the part that is a master; and what
/// becomes of the other processes is told too.
#[test]
fn one_process_tells_as_a_pair_does() -> anyhow::Result<()> {
    let scene = Scene::start(|setup| setup.with_host("trial", "abort_path", "/poison"))?;
    let host = scene.gateway.path().join("host.toml");
    let host = host.to_str().context("a path that is text")?;
    let answer = mainstay(&["ha", "disable", "--yes", "--host", host])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    scene.wait("rearranged", &["the gateway is one process now"])?;
    // Whoever is no part of it any more is missed by nobody.
    let supervisor = scene.gateway.kill(Process::Supervisor, Signal::KILL)?.pid();
    scene.wait("process_died", &[&format!("pid=\"{supervisor}\"")])?;
    let is_of_worker =
        |message: &String| message.contains(" process_died [") && message.contains("worker");
    scene.gateway.wait_for("the next supervisor", |status| {
        let is_known = |it: &ProcessStatus| it.pid != 0 && it.pid != supervisor;
        status.is_one_process() && status.process(Process::Supervisor).is_some_and(is_known)
    })?;
    assert!(!scene.syslog.all().iter().any(is_of_worker), "{}", scene.gateway.log_tail());
    let victim = scene.gateway.process(Process::Master)?;
    let mut client = Client::connect(scene.gateway.address("web"))?;
    client.send(&request("GET", "/poison", &[]))?;
    assert_eq!(client.response("GET")?.head.status, 502);
    scene.gateway.wait_for("the next one", |status| {
        status.is_one_process() && status.is_without(&[victim.pid()])
    })?;
    scene.wait("connection_suspected", &["a worker died of connection"])?;
    scene.wait("system_down", &["system down: the master died"])?;
    wait_standing(&scene.gateway, &[])?;
    let answer = mainstay(&["ha", "enable", "--yes", "--host", host])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    scene.wait("rearranged", &["the gateway is a pair now"])?;
    wait_standing(&scene.gateway, &[])
}

#[test]
fn swaps_applies_and_rollbacks_are_told_and_counted() -> anyhow::Result<()> {
    let metrics = receivers::nobody()?;
    let scene = Scene::start(|setup| setup.with_host("metrics", "address", &*metrics.to_string()))?;
    let run = scene.gateway.path().join("run");
    let ask = |words: &[&std::ffi::OsStr]| -> anyhow::Result<()> {
        let arguments: Vec<_> =
            words.iter().copied().chain(["--run".as_ref(), run.as_os_str()]).collect();
        let answer = mainstay(&arguments)?;
        anyhow::ensure!(answer.code == Some(0), "{answer:?}\n{}", scene.gateway.log_tail());
        Ok(())
    };
    ask(&["swap".as_ref()])?;
    scene.wait("swapped", &["change=\"happened\""])?;
    scene.gateway.wait_for("the pair to be ready", Look::is_ready)?;

    let file = scene.gateway.path().join("gateway.toml");
    fs::write(&file, fs::read_to_string(&file)? + "\n# another\n")?;
    ask(&["apply".as_ref(), file.as_os_str()])?;
    scene.wait("applied", &["generation=\"2\""])?;
    scene.gateway.wait_for("the pair to be ready", Look::is_ready)?;
    ask(&["rollback".as_ref()])?;
    scene.wait("rolled_back", &["generation=\"1\""])?;

    let mut page = String::new();
    let lines = [
        "event=\"swapped\"} 3",
        "event=\"applied\"} 1",
        "event=\"rolled_back\"} 1",
        "outlet=\"syslog\",result=\"failed\"} 0",
    ];
    wait::until("the metrics", DEADLINE, || {
        page = Client::connect(metrics).ok()?.get("/metrics").ok()?.text();
        lines.iter().all(|line| page.contains(line)).then_some(())
    })
    .with_context(|| page.clone())?;
    Ok(())
}

/// The supervisor becomes its own program again, and reads what was written in the meantime.
#[test]
fn an_upgrade_is_told_to_whoever_is_to_be_told_from_then_on() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let syslog = receivers::syslog_unix(&path)?;
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let supervisor = gateway.process(Process::Supervisor)?.pid();
    let host = gateway.path().join("host.toml");
    let target = format!("\n[alerts]\nsyslog = \"unix:{}\"\n", path.display());
    fs::write(&host, fs::read_to_string(&host)? + &target)?;
    let run = gateway.path().join("run");
    let answer = mainstay(&["upgrade".as_ref(), "--run".as_ref(), run.as_os_str()])?;
    assert_eq!(answer.code, Some(0), "{answer:?}\n{}", gateway.log_tail());
    assert_eq!(gateway.process(Process::Supervisor)?.pid(), supervisor);
    syslog.wait("the upgrade", |message| message.contains(" upgraded ["))?;

    let victim = gateway.kill(Process::Worker(Slot::One), Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;
    syslog.wait("a death", |message| message.contains(" process_died ["))?;
    let said = syslog.all();
    assert!(!said.iter().any(|message| message.contains("supervisor died")), "{said:#?}");
    assert!(!said.iter().any(|message| message.contains(" system_down [")), "{said:#?}");
    Ok(())
}
