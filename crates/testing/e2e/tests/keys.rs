//! An agent's key is replaced: when managers want it, when its operator does, and when the answer
//! that settles it is lost.

use std::fs;

use anyhow::Context as _;
use mainstay_database::Credential;
use mainstay_e2e::fleet::{AgentProcess, Pair, Records};
use mainstay_e2e::gateway::DEADLINE;
use mainstay_e2e::wait;
use mainstay_trust::key::AgentKey;
use serde_json::Value;

fn heard(status: &Value) -> bool {
    status["last_exchange_unix"].is_u64() && status["queued"] == 0
}

/// The key on its disk, which is to be the only one, and the one that managers know.
fn keys(agent: &AgentProcess, records: &Records) -> anyhow::Result<(Credential, Credential)> {
    let mut held = Vec::new();
    for entry in fs::read_dir(agent.directory())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "key") {
            held.push(Credential::Key(*AgentKey::read(&path)?.public().as_bytes()));
        }
    }
    assert_eq!(held.len(), 1, "{held:?}");
    Ok((held.pop().context("a key")?, records.agents()?.pop().context("an agent")?.credential))
}

#[test]
fn an_agent_replaces_its_key_when_managers_want_it_and_copies_of_it_are_worth_nothing()
-> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (_first, _second) = pair.serve()?;
    let records = Records::of(&pair.first)?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], ""))?;
    agent.run()?;
    agent.wait_for("an exchange", heard)?;
    let (former, known) = keys(&agent, &records)?;
    assert_eq!(former, known);
    let stolen = agent.duplicate_to(&pair.first.root().join("stolen"))?;

    assert_eq!(records.retire_keys()?, 1);
    let is_told = || pair.numbers().unwrap_or_default().get("agent.key-replaced").copied();
    wait::until("word of another key", DEADLINE, is_told)?;
    let status = agent.wait_for("nothing to be left", heard)?;
    let sequence = status["sequence"].as_u64().context("a number")?;
    let later = |status: &Value| status["sequence"].as_u64() > Some(sequence + 2);
    let status = agent.wait_for("exchanges after it", later)?;
    assert_eq!(status["last_error"], Value::Null, "{}", agent.log());
    let (held, known) = keys(&agent, &records)?;
    assert_eq!(held, known);
    assert_ne!(held, former);
    assert_eq!(is_told(), Some(1), "it is asked for once");

    let refused = stolen.attempt(&["reregister"])?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.err.contains("refused (401)"), "{refused:?}");
    agent.stop()
}

#[test]
fn an_operator_has_an_agent_replace_its_key_whether_it_runs_or_not() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let (_first, _second) = pair.serve()?;
    let records = Records::of(&pair.first)?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], ""))?;
    let (first, _) = keys(&agent, &records)?;
    agent.command(&["reregister", "--new-key"])?;
    let (second, known) = keys(&agent, &records)?;
    assert_eq!(second, known);
    assert_ne!(second, first);

    agent.run()?;
    agent.wait_for("an exchange", heard)?;
    agent.command(&["reregister", "--new-key"])?;
    let (third, known) = keys(&agent, &records)?;
    assert_eq!(third, known);
    assert_ne!(third, second);
    agent.wait_for("an exchange with it", heard)?;
    agent.stop()
}

#[test]
fn an_agent_finishes_what_it_was_not_answered_about_its_key() -> anyhow::Result<()> {
    let pair = Pair::make()?;
    let managers = pair.serve()?;
    let records = Records::of(&pair.first)?;
    let mut agent = pair.enroll()?;
    agent.configure(&pair.settings(&[0, 1], ""))?;
    agent.run()?;
    agent.wait_for("an exchange", heard)?;
    agent.stop()?;
    drop(managers);
    // Nobody hears of the key that it has made.
    let unheard = agent.attempt(&["reregister", "--new-key"])?;
    assert_ne!(unheard.code, Some(0), "{unheard:?}");
    // What managers do for a copy of it, they have done for an agent that they could not answer.
    let answered = agent.duplicate_to(&pair.first.root().join("answered"))?;
    let _managers = pair.serve()?;
    answered.command(&["reregister"])?;

    agent.run()?;
    let status = agent.wait_for("exchanges with the other key", heard)?;
    assert_eq!(status["last_error"], Value::Null, "{}", agent.log());
    let (held, known) = keys(&agent, &records)?;
    assert_eq!(held, known);
    assert_eq!(keys(&answered, &records)?.0, held);
    agent.stop()
}
