//! An agent and its managers: the real binary on both sides.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mainstay_e2e::client::Client;
use mainstay_e2e::fleet::{Fleet, Pair, Records};
use mainstay_e2e::gateway::{Accept, DEADLINE};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Process, Slot};
use rustix::process::Signal;

/// What kind of event a sample of a gateway's figures is.
const METRICS: &str = "gateway.metrics";

#[test]
fn an_agent_goes_to_the_next_manager_and_comes_back() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (first, second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], "failback_interval = \"2s\"\n"))?;
    agent.run()?;
    let heard = |status: &serde_json::Value| status["last_exchange_unix"].is_u64();
    let status = agent.wait_for("a first exchange", heard)?;
    assert_eq!(status["current"], pair.url(0));
    let text = agent.command(&["-v"])?;
    for said in ["registered with", "connected to", "1. https://", "2. https://", "pin in use"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let tested = agent.command(&["test"])?;
    assert_eq!(tested.matches("reached in").count(), 2, "{tested}");

    // It is gone: the next one, within a second of noticing.
    first.kill();
    let killed = Instant::now();
    let moved = agent.wait_for("the second manager", |status| {
        status["current"] == pair.url(1) && status["last_error"].is_null()
    })?;
    // A poll is a second, and then a switch is one.
    assert!(killed.elapsed() < Duration::from_secs(4), "{:?}", killed.elapsed());
    assert_eq!(moved["last_switch"]["reason"], "it cannot be reached");
    assert!(moved["next_failback_s"].is_u64(), "{moved}");

    // It is back: so is the agent.
    let first = pair.first.serve()?;
    let back = agent.wait_for("the first manager", |status| status["current"] == pair.url(0));
    assert_eq!(back?["last_switch"]["reason"], "the first of the list is back");

    // Another list: its first, at once.
    agent.configure(&pair.settings(&[1, 0], "failback_interval = \"2s\"\n"))?;
    let other = agent.wait_for("the first of the other list", |status| {
        status["current"] == pair.url(1) && status["queued"] == 0 && status["last_error"].is_null()
    });
    assert_eq!(other?["last_switch"]["reason"], "the list changed");
    agent.stop()?;
    let kinds = pair.numbers()?;
    assert_eq!(kinds.get("agent.started"), Some(&1), "{kinds:?}");
    assert_eq!(kinds.get("agent.manager-switched"), Some(&3), "{kinds:?}");
    drop((first, second));
    Ok(())
}

#[test]
fn an_agent_that_is_killed_and_cut_off_delivers_each_event_once() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (first, second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], "retry_max = \"500ms\"\n"))?;
    let uid = agent.status()?["agent"].clone();
    for _ in 0..4 {
        agent.run()?;
        agent.kill();
    }
    // Nobody is there: events wait on the disk.
    drop((first, second));
    agent.run()?;
    agent.wait_for("a failed exchange", |status| !status["last_error"].is_null())?;
    agent.kill();
    let (_first, second) = pair.serve()?;
    agent.run()?;
    agent.wait_for("an empty queue", |status| status["queued"] == 0)?;
    // A registration that an operator forces keeps the name.
    let said = agent.command(&["-forcereg"])?;
    assert!(said.contains(&pair.url(0)), "{said}");
    second.kill();
    agent.wait_for("an exchange after it", |status| status["last_error"].is_null())?;
    assert_eq!(agent.status()?["agent"], uid);
    agent.stop()?;
    let kinds = pair.numbers()?;
    assert_eq!(kinds.get("agent.started"), Some(&6), "{kinds:?}");
    // And without a process that runs.
    let said = agent.command(&["reregister"])?;
    assert!(said.contains("registered anew"), "{said}");
    assert_eq!(agent.status()?["agent"], uid);
    Ok(())
}

#[test]
fn a_disk_that_was_put_back_registers_anew_by_itself() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (_first, _second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    let state = pair.first.root().join("agent/state.json");
    let backup = fs::read(&state)?;
    agent.run()?;
    let moved = |status: &serde_json::Value| status["sequence"].as_u64() > Some(4);
    agent.wait_for("a few exchanges", moved)?;
    agent.stop()?;
    fs::write(&state, backup)?;
    agent.run()?;
    agent.wait_for("an exchange", |status| status["last_exchange_unix"].is_u64())?;
    agent.wait_for("an empty queue", |status| status["queued"] == 0)?;
    agent.stop()?;
    Ok(())
}

#[test]
fn a_manager_with_another_certificate_hears_nothing() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (first, _second) = pair.serve()?;
    let agent = pair.enroll()?;
    first.stop()?;
    let stranger = Fleet::init(&[])?;
    stranger.listen_at(pair.addresses[0])?;
    let stranger = stranger.serve()?;
    let tested = agent.attempt(&["test"])?;
    assert_eq!(tested.code, Some(1));
    assert!(tested.out.contains("is not a manager of this fleet"), "{tested:?}");
    assert_eq!(tested.out.matches("reached in").count(), 1, "{tested:?}");
    assert!(!stranger.log().contains("exchange"), "{}", stranger.log());
    Ok(())
}

#[test]
fn pins_with_which_nobody_is_found_are_not_taken() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (_first, _second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], ""))?;
    agent.run()?;
    let status = agent.wait_for("a first exchange", |status| status["pin"].is_string())?;
    let (pin, held) = (status["pin"].clone(), status["pins"].clone());
    assert_eq!(held, serde_json::json!([pin]));

    // What no manager shows: it is tried, and left alone.
    let records = Records::of(&pair.first)?;
    let own = fs::read_to_string(pair.first.directory().join("agent-cert.pem"))?;
    let stranger = Fleet::init(&[])?;
    let other = fs::read_to_string(stranger.directory().join("agent-cert.pem"))?;
    records.set_pins(&other)?;
    let told = wait::until("a refusal in the database", DEADLINE, || {
        let kinds = pair.numbers().ok()?;
        kinds.get("agent.pins-refused").copied()
    });
    told?;
    let sequence = agent.status()?["sequence"].as_u64().context("a number")?;
    let later = |status: &serde_json::Value| status["sequence"].as_u64() > Some(sequence + 3);
    let status = agent.wait_for("exchanges after it", later)?;
    assert_eq!((&status["pins"], &status["last_error"]), (&held, &serde_json::Value::Null));
    assert_eq!(pair.numbers()?.get("agent.pins-refused"), Some(&1), "it is told once");
    // Nor after a restart.
    agent.kill();
    agent.run()?;
    agent.wait_for("an exchange after a restart", |status| status["pin"] == pin)?;

    // With the one that is shown among them they are used.
    records.set_pins(&(own + &other))?;
    let both = |status: &serde_json::Value| status["pins"].as_array().map(Vec::len) == Some(2);
    agent.wait_for("both pins", both)?;
    agent.kill();
    agent.run()?;
    let status = agent.wait_for("an exchange with both", |status| status["pin"] == pin)?;
    assert_eq!(status["pins"].as_array().map(Vec::len), Some(2));
    assert_eq!(pair.numbers()?.get("agent.pins-refused"), Some(&1), "it is told once");
    agent.stop()
}

fn with_gateway(pair: &Pair, gateway: &Gateway) -> String {
    let host = gateway.path().join("host.toml");
    pair.settings(&[0, 1], &format!("host = \"{}\"\n", host.display()))
}

/// Lines of the gateway's log.
fn logged(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn a_gateway_gets_its_configuration_and_its_events_get_away() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let pair = Pair::make()?;
    let (_first, _second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    agent.configure(&with_gateway(&pair, &gateway))?;
    agent.run()?;
    agent.wait_for("the gateway", |status| status["generation"] == 1)?;

    // An offer is put into service, and said so.
    let text = fs::read_to_string(gateway.path().join("gateway.toml"))?;
    let records = Records::of(&pair.first)?;
    records.offer("good", &(text + "\n# of the fleet\n"))?;
    let applied = |status: &serde_json::Value| {
        status["offer"]["outcome"] == "applied" && status["generation"] == 2
    };
    agent.wait_for("the offered configuration", applied)?;

    // One that is broken is not, and the other serves on.
    records.offer("bad", "[[listener]]\nname = \n")?;
    let failed = |status: &serde_json::Value| status["offer"]["outcome"] == "failed";
    let failed = agent.wait_for("a refusal", failed)?;
    assert_eq!(failed["generation"], 2, "{failed}");
    let known = wait::until("the refusal in the database", DEADLINE, || {
        let row = records.applied().ok()??;
        row.applied.filter(|applied| !applied.message.is_empty())
    });
    known?;

    // What the gateway logs is in the database once, through deaths of the agent.
    let before = gateway.kill(Process::Worker(Slot::One), Signal::KILL)?;
    agent.kill();
    gateway.wait_ready_without(&[before.pid()])?;
    agent.run()?;
    let log = gateway.path().join("state/events.log");
    let told = || -> usize {
        let kinds = pair.numbers().unwrap_or_default();
        let is_logged = |kind: &str| kind.starts_with("gateway.") && kind != METRICS;
        kinds.iter().filter(|(kind, _)| is_logged(kind)).map(|(_, count)| *count).sum()
    };
    let all = wait::until("every event of the gateway", DEADLINE, || {
        (logged(&log) > 0 && logged(&log) == told()).then_some(())
    });
    all?;
    agent.stop()?;
    Ok(())
}

#[test]
fn a_gateways_figures_are_told_once_through_deaths_and_outages() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let pair = Pair::make()?;
    let (first, second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    let often = "metrics_interval = \"1s\"\nretry_max = \"500ms\"\n";
    agent.configure(&(with_gateway(&pair, &gateway) + often))?;
    agent.run()?;
    agent.wait_for("two samples", |status| status["figures"]["samples"].as_u64() >= Some(2))?;
    agent.kill();
    // Nobody is there: samples wait, through another death.
    drop((first, second));
    agent.run()?;
    let waiting = |status: &serde_json::Value| {
        status["figures"]["samples"].as_u64() >= Some(2)
            && status["figures"]["failures"].as_u64() >= Some(1)
    };
    let waiting = agent.wait_for("samples that wait", waiting)?;
    assert!(waiting["figures"]["queue_bytes"].as_u64() > Some(0), "{waiting}");
    agent.kill();
    let mut client = Client::connect(gateway.address("web"))?;
    for _ in 0..7 {
        assert_eq!(client.get("/small")?.head.status, 200);
    }
    let (_first, _second) = pair.serve()?;
    agent.run()?;
    let records = Records::of(&pair.first)?;
    let samples = || -> anyhow::Result<Vec<(i64, serde_json::Value)>> {
        let events = records.events()?.into_iter().filter(|event| event.kind == METRICS);
        events.map(|event| Ok((event.at, serde_json::from_slice(&event.body)?))).collect()
    };
    let last = wait::until("a sample with the requests", DEADLINE, || {
        samples().ok()?.pop().filter(|(_, body)| body["requests"] == 7)
    })?;
    assert_eq!((&last.1["generation"], &last.1["connections"]), (&1.into(), &1.into()));
    let active = gateway.active()?;
    let worker = &last.1["processes"][format!("worker {active}")];
    assert_eq!((&worker["state"], &worker["requests"]), (&"active".into(), &7.into()));
    // None from now on; what was taken is there once.
    agent.configure(&(with_gateway(&pair, &gateway) + "metrics_interval = \"0s\"\n"))?;
    let told = agent.wait_for("an empty queue", |status| status["queued"] == 0)?;
    assert!(told["figures"]["exchanges"].as_u64() > Some(1), "{told}");
    assert!(told["figures"]["last_exchange_ms"].is_u64(), "{told}");
    agent.stop()?;
    let taken: Vec<i64> = samples()?.into_iter().map(|(at, _)| at).collect();
    assert!(taken.len() >= 5 && taken.is_sorted_by(|a, b| a < b), "{taken:?}");
    pair.numbers()?;
    Ok(())
}
