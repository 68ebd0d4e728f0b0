//! What becomes of an agent in trouble: a copied disk, a gateway that somebody else configures, a
//! queue that is full.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use mainstay_database::Presence;
use mainstay_e2e::cli;
use mainstay_e2e::fleet::{Pair, Records};
use mainstay_e2e::gateway::{Accept, DEADLINE};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use serde_json::Value;

/// Whether it has spoken to a manager, and has nothing more to deliver.
fn heard(status: &Value) -> bool {
    status["last_exchange_unix"].is_u64() && status["queued"] == 0
}

#[test]
fn a_copied_machine_joins_under_another_name_and_the_original_keeps_its_own() -> anyhow::Result<()>
{
    let pair = Pair::make()?;
    pair.edit("agents", "clones = \"enroll\"")?;
    let (_first, _second) = pair.serve()?;
    let mut original = pair.enroll()?;
    original.configure(&pair.settings(&[0, 1], ""))?;
    original.run()?;
    original.wait_for("an exchange", heard)?;
    original.stop()?;
    let name = original.status()?["agent"].clone();
    let mut copy = original.copy_to(&pair.first.root().join("copy"))?;
    assert_eq!(copy.status()?["agent"], name);

    // Whichever asks first.
    copy.run()?;
    let status = copy.wait_for("another name", |status| status["agent"] != name)?;
    assert!(status["agent"].is_string(), "{status}");
    copy.wait_for("an exchange under it", heard)?;
    original.run()?;
    let status = original.wait_for("an exchange of the original", heard)?;
    assert_eq!((&status["agent"], &status["last_error"]), (&name, &Value::Null));
    copy.stop()?;
    original.stop()?;
    let records = Records::of(&pair.first)?;
    let agents = records.agents()?;
    let forks: u32 = agents.iter().map(|agent| agent.forks).sum();
    assert_eq!((agents.len(), forks), (2, 1), "{agents:?}");
    // Each event is the one's or the other's.
    for agent in &agents {
        let events = records.events()?.into_iter().filter(|row| row.agent == Some(agent.agent));
        let numbers: Vec<u64> = events.filter_map(|row| Some(row.origin?.1)).collect();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
        assert!(!numbers.is_empty(), "{agent:?}");
    }
    Ok(())
}

/// `mainstay apply` on the host of the gateway.
fn apply(gateway: &Gateway, text: &str) -> anyhow::Result<()> {
    let (file, run) = (gateway.path().join("by-hand.toml"), gateway.path().join("run"));
    fs::write(&file, text)?;
    let arguments = ["apply".as_ref(), file.as_os_str(), "--run".as_ref(), run.as_os_str()];
    let answer = cli::mainstay(&arguments)?;
    anyhow::ensure!(answer.code == Some(0), "{answer:?}");
    Ok(())
}

#[test]
fn a_gateway_that_somebody_else_configures_has_drifted_and_nothing_is_undone() -> anyhow::Result<()>
{
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let pair = Pair::make()?;
    let (_first, _second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    let host = format!("host = \"{}\"\n", gateway.path().join("host.toml").display());
    agent.configure(&pair.settings(&[0, 1], &host))?;
    agent.run()?;
    agent.wait_for("the gateway", |status| status["generation"] == 1)?;
    let text = fs::read_to_string(gateway.path().join("gateway.toml"))?;
    let of_fleet = format!("{text}\n# of the fleet\n");
    Records::of(&pair.first)?.offer("good", &of_fleet)?;
    let applied =
        |status: &Value| status["offer"]["outcome"] == "applied" && status["generation"] == 2;
    let status = agent.wait_for("the offered configuration", applied)?;
    assert_eq!(status["drifted"], false);

    let told = |kind: &str| pair.numbers().unwrap_or_default().get(kind).copied();
    apply(&gateway, &format!("{text}\n# by hand\n"))?;
    let status = agent.wait_for("the drift", |status| status["drifted"] == true)?;
    let sequence = status["sequence"].as_u64().context("a number")?;
    let later = |status: &Value| status["sequence"].as_u64() > Some(sequence + 3);
    let status = agent.wait_for("exchanges after it", later)?;
    assert_eq!((&status["generation"], &status["drifted"]), (&3.into(), &true.into()));
    wait::until("the drift in the database", DEADLINE, || told("agent.config-drifted"))?;

    apply(&gateway, &of_fleet)?;
    let status = agent.wait_for("its end", |status| status["drifted"] == false)?;
    assert_eq!(status["generation"], 4);
    wait::until("the end in the database", DEADLINE, || told("agent.config-drift-ended"))?;
    assert_eq!(told("agent.config-drifted"), Some(1), "it is told once");
    agent.stop()
}

/// Lines of a gateway's log.
const LINES: u64 = 6_000;

/// The log of a gateway that had much to say, and its `host.toml`.
fn eventful(directory: &Path) -> anyhow::Result<String> {
    let place = directory.display();
    fs::create_dir_all(directory.join("state"))?;
    let host = directory.join("host.toml");
    fs::write(
        &host,
        format!(
            "state = \"{place}/state\"\nrun = \"{place}/run\"\n\
             gateway = \"{place}/gateway.toml\"\n"
        ),
    )?;
    let text = "x".repeat(200);
    let line = |number| {
        format!(
            "{{\"event\":\"said\",\"severity\":\"info\",\"number\":{number},\"text\":\"{text}\"}}\n"
        )
    };
    fs::write(directory.join("state/events.log"), (1..=LINES).map(line).collect::<String>())?;
    Ok(format!("host = \"{}\"\nqueue_bytes = \"1MiB\"\n", host.display()))
}

#[test]
fn a_full_queue_drops_the_oldest_that_were_not_sent_and_says_how_many() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (first, second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    drop((first, second));
    let settings = eventful(&pair.first.root().join("gateway"))?;
    // One manager, so that no switch is an event: the agent's own is its start.
    agent.configure(&pair.settings(&[0], &format!("{settings}retry_max = \"500ms\"\n")))?;
    agent.run()?;
    let number = |status: &Value, key: &str| status[key].as_u64().unwrap_or_default();
    let all = |status: &Value| number(status, "queued") + number(status, "dropped") == LINES + 1;
    let status = agent.wait_for("the whole log in the queue, or dropped", all)?;
    let dropped = number(&status, "dropped");
    assert!(dropped > 0, "{status}");

    let (_first, _second) = pair.serve()?;
    let done = |status: &Value| status["queued"] == 0 && status["dropped"] == 0;
    agent.wait_for("an empty queue, and managers that know of the rest", done)?;
    agent.stop()?;
    // What was delivered has numbers without a gap, and comes in order.
    let said = pair.numbers()?.get("gateway.said").copied().unwrap_or_default() as u64;
    assert_eq!(said + dropped, LINES);
    let records = Records::of(&pair.first)?;
    let lines = records.events()?.into_iter().filter(|row| row.kind == "gateway.said");
    let lines: Vec<u64> = lines
        .filter_map(|row| serde_json::from_slice::<Value>(&row.body).ok()?["number"].as_u64())
        .collect();
    // The first may have been sent, so they stay; then the oldest are gone, and the newest are there.
    let gap = lines.windows(2).position(|two| two[1] != two[0] + 1).context("there is no gap")?;
    assert!(lines[..=gap].iter().copied().eq(1..=lines[gap]), "{gap}");
    assert!(lines[gap + 1..].iter().copied().eq(LINES - (said - lines[gap]) + 1..=LINES), "{gap}");
    assert!(lines[gap] >= 500, "the first that may have been sent: {}", lines[gap]);
    let told: u64 = records
        .all_events()?
        .iter()
        .filter(|row| row.kind == "agent.dropped-events")
        .filter_map(|row| serde_json::from_slice::<Value>(&row.body).ok()?["dropped"].as_u64())
        .sum();
    assert_eq!(told, dropped);
    Ok(())
}

/// What managers told of the presence of agents, in its order.
fn told_of_presence(records: &Records) -> anyhow::Result<Vec<String>> {
    let kinds = records.all_events()?.into_iter().map(|event| event.kind);
    let of_presence = ["agent.disconnected", "agent.online", "agent.offline"];
    Ok(kinds.filter(|kind| of_presence.contains(&&**kind)).collect())
}

#[test]
fn an_agent_that_is_stopped_takes_its_leave_and_is_not_missed() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (first, second) = pair.serve()?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], ""))?;
    let records = Records::of(&pair.first)?;
    for _ in 0..2 {
        agent.run()?;
        agent.wait_for("an exchange", heard)?;
        agent.stop()?;
        assert_eq!(records.agents()?[0].presence, Presence::Offline);
    }
    let told = told_of_presence(&records)?;
    assert_eq!(told, ["agent.disconnected", "agent.online", "agent.disconnected"]);

    // One that cannot say so ends all the same, and goes on where it stood.
    agent.run()?;
    agent.wait_for("an exchange", heard)?;
    first.kill();
    second.kill();
    agent.stop()?;
    assert_eq!(records.agents()?[0].presence, Presence::Online);
    let (_first, _second) = pair.serve()?;
    agent.run()?;
    let status = agent.wait_for("an exchange", heard)?;
    assert_eq!(status["last_error"], Value::Null, "{status}");
    agent.stop()?;
    assert_eq!(records.agents()?[0].presence, Presence::Offline);
    Ok(())
}
