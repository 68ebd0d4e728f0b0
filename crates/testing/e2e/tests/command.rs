//! The command channel: what a script says, and what comes of it.

use std::net::{SocketAddr, TcpListener};

use mainstay_e2e::caller::Caller;
use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::{Accept, DEADLINE, Look};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::Process;
use rustix::process::Signal;

#[test]
fn a_command_reaches_standby_master_and_active() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let active = gateway.active()?;
    let mut caller = Caller::connect(&gateway)?;
    let (one, two) = (active.other(), active);
    assert_eq!(
        caller.ask(r#"{"command":"status"}"#)?,
        format!(
            r#"{{"outcome":"done","said":[{{"process":{{"worker":"{one}"}},"sentence":"standby, serves generation 1"}},{{"process":"master","sentence":"worker {two} serves generation 1"}},{{"process":{{"worker":"{two}"}},"sentence":"active, serves generation 1"}}]}}"#
        )
    );
    for command in ["esp-status", "policy-refresh", "purge-cache"] {
        let answer = caller.ask(&format!(r#"{{"command":"{command}"}}"#))?;
        assert!(answer.starts_with(r#"{"outcome":"done""#), "{command}: {answer}");
    }
    Ok(())
}

#[test]
fn a_swap_costs_nothing() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut caller = Caller::connect(&gateway)?;
    let mut idle = Client::connect(gateway.address("web"))?;
    for _ in 0..10 {
        let active = gateway.active()?;
        let answer = caller.ask(r#"{"command":"swap"}"#)?;
        assert!(answer.starts_with(r#"{"outcome":"done""#), "{answer}\n{}", gateway.log_tail());
        assert_eq!(gateway.active()?, active.other());
        assert_eq!(idle.get("/small")?.head.status, 200);
    }
    Ok(())
}

#[test]
fn a_kept_generation_is_applied_again() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let directory = gateway.path().join("state/generations");
    let text = std::fs::read_to_string(directory.join("1/gateway.toml"))?;
    std::fs::create_dir(directory.join("2"))?;
    let changed = format!("{text}\n[limits]\ntarget_bytes = 64\n");
    std::fs::write(directory.join("2/gateway.toml"), changed)?;
    let mut caller = Caller::connect(&gateway)?;
    let long = format!("/small?{}", "x".repeat(100));
    for (generation, status) in [(2, 414), (1, 200), (2, 414)] {
        let answer = caller.ask(&format!(r#"{{"command":"apply","generation":{generation}}}"#))?;
        assert_eq!(
            answer,
            format!(
                r#"{{"outcome":"done","said":[{{"process":"master","sentence":"generation {generation} is in service"}}]}}"#
            )
        );
        let mut client = Client::connect(gateway.address("web"))?;
        assert_eq!(client.get(&long)?.head.status, status, "generation {generation}");
    }
    let answer = caller.ask(r#"{"command":"apply","generation":9}"#)?;
    assert!(answer.contains(r#""outcome":"failed","process":"master""#), "{answer}");
    assert!(answer.contains("there is no generation 9"), "{answer}");
    Ok(())
}

#[test]
fn what_is_no_command_is_refused_and_costs_nothing_else() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut caller = Caller::connect(&gateway)?;
    for line in ["", "swap", "{}", r#"{"command":"halt"}"#, r#"{"command":"swap","x":1}"#] {
        let answer = caller.ask(line)?;
        assert!(answer.starts_with(r#"{"outcome":"refused","reason":""#), "{line}: {answer}");
    }
    // Several lines at once are answered in their order.
    caller.say("{\"command\":\"status\"}\nhalt\n{\"command\":\"status\"}")?;
    let answers = [caller.hear()?, caller.hear()?, caller.hear()?];
    let kinds = answers.each_ref().map(|answer| answer.contains("refused"));
    assert_eq!(kinds, [false, true, false], "{answers:?}");
    // A line without an end has a limit, and the next caller is served.
    caller.say(&"x".repeat(70_000))?;
    assert!(caller.hear()?.contains("longer than 65536 bytes"));
    assert_eq!(caller.hear()?, "");
    let answer = Caller::connect(&gateway)?.ask(r#"{"command":"status"}"#)?;
    assert!(answer.starts_with(r#"{"outcome":"done""#), "{answer}");
    Ok(())
}

/// `echo … | socat`: the caller ends its side at once and waits for the answer.
#[test]
fn a_caller_that_has_said_everything_hears_its_answers() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    for lines in [1, 3] {
        let mut caller = Caller::connect(&gateway)?;
        for _ in 0..lines {
            caller.say(r#"{"command":"swap"}"#)?;
        }
        caller.end()?;
        for _ in 0..lines {
            let answer = caller.hear()?;
            assert!(answer.starts_with(r#"{"outcome":"done""#), "{answer}");
        }
        assert_eq!(caller.hear()?, "");
    }
    Ok(())
}

#[test]
fn a_caller_on_tcp_has_to_know_the_token() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let setup = Setup::pair(&origin, Accept::Active).with_host(
        "broadcast",
        "command",
        &*address.to_string(),
    );
    let gateway = Gateway::start(&setup)?;
    let connect = || Caller::connect_to(address);
    for first in [r#"{"command":"status"}"#, r#"{"token":"no"}"#, r#"{"token":""}"#] {
        let mut caller = connect()?;
        let answer = caller.ask(first)?;
        assert!(answer.contains("the first line must be"), "{first}: {answer}");
        assert_eq!(caller.hear()?, "");
    }
    let token = std::fs::read_to_string(gateway.path().join("state/broadcast.token"))?;
    let mut caller = connect()?;
    caller.say(&format!(r#"{{"token":"{}"}}"#, token.trim()))?;
    let answer = caller.ask(r#"{"command":"status"}"#)?;
    assert!(answer.starts_with(r#"{"outcome":"done""#), "{answer}");
    Ok(())
}

/// A death of broadcast is nobody's matter but its callers'.
#[test]
fn broadcast_may_die() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active))?;
    let mut client = Client::connect(gateway.address("web"))?;
    for _ in 0..5 {
        let victim = gateway.kill(Process::Broadcast, Signal::KILL)?;
        assert_eq!(client.get("/small")?.head.status, 200);
        gateway.wait_for("another broadcast", |status| {
            status.is_without(&[victim.pid()])
                && status.process(Process::Broadcast).is_some_and(|p| p.pid != 0)
        })?;
        let is_whole = || {
            let answer = Caller::connect(&gateway).ok()?.ask(r#"{"command":"status"}"#).ok()?;
            (answer.matches("serves").count() >= 3).then_some(())
        };
        wait::until("everyone to be back", DEADLINE, is_whole)?;
    }
    Ok(())
}
