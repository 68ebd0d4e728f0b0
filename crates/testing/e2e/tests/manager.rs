//! A manager serves agents: the real binary, real TLS, real signatures, a real database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_e2e::fleet::{Agent, Answer, Event, Fleet, Manager};
use mainstay_e2e::wait;
use mainstay_opamp::capability::{agent as can, server_flag};
use mainstay_opamp::enrol::Invite;
use mainstay_opamp::message::{
    AgentDescription, AgentToServer, ConnectionSettingsStatus, KeyValue,
};
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::wire;
use mainstay_postgres::{Certificate, Server};
use mainstay_trust::certificate::Identity;
use mainstay_trust::key::AgentKey;
use mainstay_trust::token::{Secret, from_text, random};

/// How long anything that takes a beat of a manager may take.
const SOON: Duration = Duration::from_secs(20);

fn event(kind: &str) -> Event {
    Event { unix_us: 1, severity: 0, kind: kind.to_owned(), body: "{}".to_owned() }
}

/// A fleet, its manager, and an agent of it.
fn world(arguments: &[&str]) -> (Fleet, Manager, Agent) {
    let fleet = Fleet::init(arguments).unwrap();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&["--uses", "0"]).unwrap();
    let agent = Agent::enroll_at(&token, manager.agents).unwrap();
    (fleet, manager, agent)
}

/// What an administrator's port answers to a GET.
fn get(manager: &Manager, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(manager.admin).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn figure(manager: &Manager, name: &str) -> u64 {
    let (_, text) = get(manager, "/metrics");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn refusal(answer: &Answer) -> Option<Refusal> {
    answer.refusal()
}

#[test]
fn an_agent_joins_and_exchanges() {
    let fleet = Fleet::init(&[]).unwrap();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&[]).unwrap();
    let mut agent = Agent::enroll_at(&token, manager.agents).unwrap();
    for _ in 0..3 {
        let told = agent.exchange(&manager).unwrap();
        assert_eq!(told.ack.durable_through, 0);
    }
    // The token was good for one host.
    let (other, secret) = Agent::new(&token).unwrap();
    let refused = other.join(manager.agents, &secret.secret).unwrap();
    assert_eq!(refusal(&refused), Some(Refusal::TokenRefused), "{refused:?}");
    // Another process on the same database goes on where this one ended.
    manager.stop().unwrap();
    let manager = fleet.serve().unwrap();
    let message = agent.batch(vec![event("one"), event("two")]);
    let told = agent.carry_out(manager.agents, &message).unwrap();
    assert_eq!(told.ack.durable_through, 2);
    manager.stop().unwrap();
}

#[test]
fn a_lost_answer_is_sent_again_and_nothing_is_done_twice() {
    let (_fleet, manager, mut agent) = world(&["--plain"]);
    let message = agent.batch(vec![event("one"), event("two"), event("three")]);
    let first = agent.send(manager.agents, &message, &agent.chain).unwrap();
    for _ in 0..3 {
        let again = agent.send(manager.agents, &message, &agent.chain).unwrap();
        assert_eq!(again.message, first.message);
    }
    assert_eq!(agent.take(first).unwrap().ack.durable_through, 3);
    assert_eq!(figure(&manager, "mainstay_manager_repeats_total"), 3);
    assert_eq!(figure(&manager, "mainstay_manager_events_total"), 3);
    // A batch that begins before what is stored is taken from there on.
    agent.next_event = 2;
    let message = agent.batch(vec![event("two"), event("three"), event("four")]);
    assert_eq!(agent.carry_out(manager.agents, &message).unwrap().ack.durable_through, 4);
    assert_eq!(figure(&manager, "mainstay_manager_events_total"), 4);
    // One with a gap before it is not taken.
    agent.next_event = 9;
    let message = agent.batch(vec![event("nine")]);
    assert_eq!(agent.carry_out(manager.agents, &message).unwrap().ack.durable_through, 4);
    assert_eq!(figure(&manager, "mainstay_manager_events_total"), 4);
}

#[test]
fn a_recording_is_refused_and_who_has_the_key_registers_anew() {
    let (_fleet, manager, mut agent) = world(&["--plain"]);
    let old = (agent.batch(vec![event("one")]), agent.chain.clone());
    agent.exchange(&manager).unwrap();
    agent.exchange(&manager).unwrap();
    let replayed = agent.send(manager.agents, &old.0, &old.1).unwrap();
    assert_eq!((replayed.status, refusal(&replayed)), (409, Some(Refusal::Replayed)));
    // The true agent is not disturbed.
    agent.exchange(&manager).unwrap();

    // A disk that was restored: the agent asks for another chain, and keeps its name.
    agent.sequence = 2;
    agent.chain = old.1;
    let refused = agent.send(manager.agents, &agent.batch(vec![]), &agent.chain).unwrap();
    assert_eq!(refusal(&refused), Some(Refusal::Replayed));
    agent.reregister(manager.agents).unwrap();
    agent.exchange(&manager).unwrap();

    // A recording of that takes the chain from nobody: its challenge is used up.
    let mut recording = agent.clone();
    let challenged = agent.join(manager.agents, &[]).unwrap();
    let challenge = from_text(challenged.header("mainstay-challenge").unwrap()).unwrap();
    recording.chain = challenge;
    let first = recording.join(manager.agents, &[]).unwrap();
    assert_eq!(first.status, 200);
    let replayed = recording.join(manager.agents, &[]).unwrap();
    assert_eq!(refusal(&replayed), Some(Refusal::Replayed), "{replayed:?}");
    agent.take_enrolled(&first).unwrap();
    agent.exchange(&manager).unwrap();
}

#[test]
fn an_enrolment_whose_answer_got_lost_is_repeated_until_the_first_exchange() {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&["--uses", "1"]).unwrap();
    let (mut agent, token) = Agent::new(&token).unwrap();
    let lost = agent.join(manager.agents, &token.secret).unwrap();
    assert_eq!(lost.status, 200);
    let answer = agent.join(manager.agents, &token.secret).unwrap();
    let recording = agent.clone();
    agent.take_enrolled(&answer).unwrap();
    agent.exchange(&manager).unwrap();
    let refused = recording.join(manager.agents, &token.secret).unwrap();
    assert_eq!(refusal(&refused), Some(Refusal::Replayed), "{refused:?}");
    agent.exchange(&manager).unwrap();
}

#[test]
fn an_agent_changes_its_key() {
    let (_fleet, manager, mut agent) = world(&["--plain"]);
    agent.exchange(&manager).unwrap();
    let new = Arc::new(AgentKey::generate().unwrap());
    agent.rotate_key(manager.agents, &new).unwrap();
    agent.exchange(&manager).unwrap();
    assert_eq!(agent.key.public(), new.public());
    agent.key = Arc::new(AgentKey::generate().unwrap());
    let refused = agent.send(manager.agents, &agent.batch(vec![]), &agent.chain).unwrap();
    assert_eq!((refused.status, refusal(&refused)), (401, Some(Refusal::BadSignature)));
}

#[test]
fn a_cloned_machine_is_told_apart_at_its_first_exchange() {
    let (fleet, manager, mut agent) = world(&["--plain"]);
    agent.exchange(&manager).unwrap();
    // Before its original asks again, and after that.
    for round in 0..2 {
        let mut clone = agent.clone();
        clone.fingerprint = random::<16>().to_vec();
        if round == 1 {
            agent.exchange(&manager).unwrap();
        }
        let message = clone.batch(vec![event("from the clone")]);
        let told = clone.send(manager.agents, &message, &clone.chain).unwrap();
        let again = clone.send(manager.agents, &message, &clone.chain).unwrap();
        let invite = told.message.custom_message.as_ref().unwrap();
        let invite = Invite::from_message(invite).unwrap().unwrap();
        assert_eq!(again.message.custom_message, told.message.custom_message);
        let name = told.message.agent_identification.unwrap().new_instance_uid;
        assert_ne!(name, Vec::from(agent.uid));
        agent.exchange(&manager).unwrap();

        // Under another name and with a key of its own it waits for somebody's approval.
        clone.uid = name.as_slice().try_into().unwrap();
        clone.key = Arc::new(AgentKey::generate().unwrap());
        let joined = clone.join(manager.agents, &invite.secret).unwrap();
        clone.take_enrolled(&joined).unwrap();
        let waits = clone.send(manager.agents, &clone.batch(vec![]), &clone.chain).unwrap();
        assert_eq!(refusal(&waits), Some(Refusal::ApprovalPending));
        assert!(waits.header("retry-after").is_some());
    }
    assert_eq!(figure(&manager, "mainstay_manager_forks_total"), 2);
    let tokens = fleet.command(&["token", "list"]).unwrap();
    assert_eq!(tokens.matches("for a second holder of").count(), 2, "{tokens}");
}

#[test]
fn clones_may_join_at_once_where_that_is_allowed() {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    fleet.edit("agents", "clones = \"enroll\"").unwrap();
    let manager = fleet.serve().unwrap();
    let mut clone = Agent::enroll_at(&fleet.token(&[]).unwrap(), manager.agents).unwrap();
    clone.fingerprint = random::<16>().to_vec();
    let told = clone.send(manager.agents, &clone.batch(vec![]), &clone.chain).unwrap();
    let invite = told.message.custom_message.as_ref().unwrap();
    let invite = Invite::from_message(invite).unwrap().unwrap();
    let name = told.message.agent_identification.unwrap().new_instance_uid;
    clone.uid = name.as_slice().try_into().unwrap();
    clone.key = Arc::new(AgentKey::generate().unwrap());
    let joined = clone.join(manager.agents, &invite.secret).unwrap();
    clone.take_enrolled(&joined).unwrap();
    clone.exchange(&manager).unwrap();
}

#[test]
fn clones_are_sent_away_where_that_is_wanted() {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    fleet.edit("agents", "clones = \"refuse\"").unwrap();
    let manager = fleet.serve().unwrap();
    let mut agent = Agent::enroll_at(&fleet.token(&[]).unwrap(), manager.agents).unwrap();
    let mut clone = agent.clone();
    clone.fingerprint = random::<16>().to_vec();
    let refused = clone.send(manager.agents, &clone.batch(vec![]), &clone.chain).unwrap();
    assert_eq!((refused.status, refusal(&refused)), (409, Some(Refusal::Forked)));
    agent.exchange(&manager).unwrap();
}

#[test]
fn a_crowd_is_told_to_come_back_in_a_row() {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    fleet.edit("agents", "rate_min = 2").unwrap();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&["--uses", "0"]).unwrap();
    let (agent, token) = Agent::new(&token).unwrap();
    let waits: Vec<u64> = (0..12)
        .map(|_| agent.join(manager.agents, &token.secret).unwrap())
        .filter(|answer| answer.status == 429)
        .map(|answer| answer.header("retry-after").unwrap().parse().unwrap())
        .collect();
    assert!(waits.len() >= 8, "two a second are let in: {waits:?}");
    assert!(waits.last() > waits.first(), "{waits:?}");
}

#[test]
fn what_is_not_signed_by_the_agent_is_refused() {
    let (_fleet, manager, agent) = world(&["--plain"]);
    let message = agent.batch(vec![]);
    let mut thief = agent.clone();
    thief.key = Arc::new(AgentKey::generate().unwrap());
    let refused = thief.send(manager.agents, &message, &agent.chain).unwrap();
    assert_eq!((refused.status, refusal(&refused)), (401, Some(Refusal::BadSignature)));
    // Another name in the message than in the header.
    let mut renamed = message.clone();
    renamed.instance_uid = vec![9; 16];
    let refused = agent.send(manager.agents, &renamed, &agent.chain).unwrap();
    assert_eq!(refusal(&refused), Some(Refusal::BadSignature));
    // Nothing at all.
    let refused = agent.post(manager.agents, &[], &wire::encode(&message)).unwrap();
    assert_eq!((refused.status, refusal(&refused)), (401, Some(Refusal::BadSignature)));
    // A name that nobody has.
    let mut stranger = agent.clone();
    stranger.uid = [9; 16].try_into().unwrap();
    let unknown = stranger.send(manager.agents, &stranger.batch(vec![]), &agent.chain).unwrap();
    assert_eq!((unknown.status, refusal(&unknown)), (401, Some(Refusal::UnknownAgent)));
    // No message.
    let refused = agent.post(manager.agents, &[], b"\xff\xff").unwrap();
    assert_eq!((refused.status, refusal(&refused)), (400, Some(Refusal::Malformed)));
}

#[test]
fn an_agent_speaks_to_no_manager_with_another_certificate() {
    let (_fleet, manager, agent) = world(&[]);
    let (_other_fleet, other, _other_agent) = world(&[]);
    let error = agent.send(other.agents, &agent.batch(vec![]), &agent.chain).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("NotPinned { pins: 1"), "{error}");
    drop(manager);
}

#[test]
fn pins_and_interval_are_offered_until_the_agent_has_them() {
    let (_fleet, manager, mut agent) = world(&["--plain"]);
    let status = |hash: &[u8]| ConnectionSettingsStatus {
        last_connection_settings_hash: hash.to_vec(),
        ..ConnectionSettingsStatus::default()
    };
    let mut message = agent.batch(vec![]);
    message.connection_settings_status = Some(status(b""));
    let told = agent.carry_out(manager.agents, &message).unwrap();
    let offer = told.message.connection_settings.unwrap();
    let settings = offer.opamp.unwrap();
    assert_eq!(settings.heartbeat_interval_seconds, 30);
    assert!(settings.tls.unwrap().ca_pem_contents.starts_with("-----BEGIN CERTIFICATE-----"));
    let mut message = agent.batch(vec![]);
    message.connection_settings_status = Some(status(&offer.hash));
    let told = agent.carry_out(manager.agents, &message).unwrap();
    assert_eq!(told.message.connection_settings, None);
}

#[test]
fn the_certificate_of_all_managers_is_exchanged_and_no_agent_is_visited() {
    let (fleet, first, mut agent) = world(&[]);
    let bundle = fleet.root().join("bundle").display().to_string();
    fleet.command(&["bundle", "export", &bundle]).unwrap();
    let other = Fleet::import(Path::new(&bundle)).unwrap();
    let away = agent.clone();

    fleet.command(&["certificate", "next"]).unwrap();
    assert_eq!(fleet.command(&["certificate", "show"]).unwrap().lines().count(), 3);
    let again = fleet.attempt(&["certificate", "next"]).unwrap();
    assert!(again.err.contains("`switch` comes next"), "{}", again.err);
    let pins = wait::until("both pins in the offer", SOON, || {
        let mut message = agent.batch(vec![]);
        message.connection_settings_status = Some(ConnectionSettingsStatus::default());
        let told = agent.carry_out(first.agents, &message).unwrap();
        let offer = told.message.connection_settings?.opamp?.tls?.ca_pem_contents;
        (offer.matches("BEGIN CERTIFICATE").count() == 2).then_some(offer)
    });
    agent.take_pins(&pins.unwrap()).unwrap();
    agent.exchange(&first).unwrap();

    // The agent has not said what it holds, so some manager has to show the former.
    let refused = fleet.attempt(&["certificate", "switch"]).unwrap();
    assert!(refused.err.contains("1 agent (test) would find no manager"), "{}", refused.err);
    let second = other.serve().unwrap();
    let allowed = wait::until("a manager that shows the former", SOON, || {
        let answer = fleet.attempt(&["certificate", "switch"]).unwrap();
        (answer.code == Some(0)).then_some(())
    });
    allowed.unwrap();
    // A manager that runs shows it soon, and no exchange fails meanwhile.
    let switched = wait::until("the next certificate", SOON, || {
        agent.exchange(&first).unwrap();
        first.log().contains("another certificate is shown").then_some(())
    });
    switched.unwrap();
    agent.exchange(&first).unwrap();
    // Who was away meanwhile finds the managers that have not switched, and both pins there.
    let mut away = Agent { tls: away.tls, ..agent.clone() };
    away.send(first.agents, &away.batch(vec![]), &away.chain).unwrap_err();
    away.exchange(&second).unwrap();
    fleet.command(&["bundle", "export", &bundle]).unwrap();
    let replace = ["bundle", "import", &bundle, "--replace"];
    let refused = other.attempt(&replace).unwrap();
    assert!(refused.err.contains("1 agent (test) would find no manager"), "{}", refused.err);
    other.command(&[&replace[..], &["--stragglers", "give-up"]].concat()).unwrap();
    let switched = wait::until("the next certificate", SOON, || {
        second.log().contains("another certificate is shown").then_some(())
    });
    switched.unwrap();
    agent.sequence = away.sequence;
    agent.chain = away.chain;
    agent.exchange(&second).unwrap();
}

fn described(message: AgentToServer) -> AgentToServer {
    let attributes = vec![KeyValue::text("service.name", "collector")];
    let description =
        AgentDescription { identifying_attributes: attributes, ..AgentDescription::default() };
    AgentToServer { agent_description: Some(description), ..message }
}

#[test]
fn a_full_report_is_wanted_once() {
    let (_fleet, manager, mut agent) = world(&["--plain"]);
    let told = agent.exchange(&manager).unwrap();
    assert_eq!(told.message.flags & server_flag::REPORT_FULL_STATE, 1);
    let message = described(agent.batch(vec![]));
    let told = agent.carry_out(manager.agents, &message).unwrap();
    assert_eq!(told.message.flags, 0);
    assert_eq!(agent.exchange(&manager).unwrap().message.flags, 0);
}

#[test]
fn a_client_that_cannot_sign_is_served_on_a_secret() {
    let (fleet, manager, agent) = world(&["--plain"]);
    let secret = fleet.token(&["--show", "secret", "--uses", "1"]).unwrap();
    let bearer = format!("Bearer {secret}");
    let mut client = agent.clone();
    client.uid = [7; 16].try_into().unwrap();
    let ask = |message: &AgentToServer, bearer: &str| {
        let headers = [("authorization", bearer)];
        client.post(manager.agents, &headers, &wire::encode(message)).unwrap()
    };
    let message = |sequence_num| AgentToServer {
        sequence_num,
        capabilities: can::REPORTS_STATUS,
        ..client.message()
    };
    let first = ask(&described(message(1)), &bearer);
    assert_eq!((first.status, first.message.flags), (200, 0), "{first:?}");
    assert_eq!(ask(&message(2), &bearer).message.flags, 0);
    // What was in the request that never came is asked for.
    let gap = ask(&message(5), &bearer);
    assert_eq!(gap.message.flags & server_flag::REPORT_FULL_STATE, 1);
    let refused = ask(&message(6), &format!("Bearer {}", Secret::new().to_text()));
    assert_eq!((refused.status, refusal(&refused)), (401, Some(Refusal::BadSignature)));
    // Who has a key is not believed on a secret.
    let headers = [("authorization", bearer.as_str())];
    let message = wire::encode(&agent.message());
    let refused = agent.post(manager.agents, &headers, &message).unwrap();
    assert_eq!(refusal(&refused), Some(Refusal::BadSignature));
}

#[test]
fn a_further_manager_needs_the_three_files_and_nothing_else() {
    let (fleet, first, mut agent) = world(&[]);
    let bundle = fleet.root().join("bundle");
    fleet.command(&["bundle", "export", &bundle.display().to_string()]).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&bundle)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["agent-cert.pem", "server-cert.pem", "server-settings.toml"]);
    let second = Fleet::import(&bundle).unwrap();
    let second = second.serve().unwrap();
    // The agent knows both by the same certificate, and events go through either.
    for number in 1..=6 {
        let message = agent.batch(vec![event("here"), event("there")]);
        let address = if number % 2 == 0 { first.agents } else { second.agents };
        let told = agent.carry_out(address, &message).unwrap();
        assert_eq!(told.ack.durable_through, number * 2);
    }
    let managers = wait::until("both managers in the list", SOON, || {
        let list = fleet.command(&["list"]).unwrap();
        (list.lines().count() == 3).then_some(list)
    });
    managers.unwrap();
    // The same message to both at once: one commits, both give the same answer.
    let message = agent.batch(vec![event("twice")]);
    let one = agent.send(first.agents, &message, &agent.chain).unwrap();
    let two = agent.send(second.agents, &message, &agent.chain).unwrap();
    assert_eq!(one.message, two.message);
}

#[test]
fn a_drained_manager_sends_agents_away_until_that_is_undone() {
    let (fleet, manager, mut agent) = world(&["--plain"]);
    assert_eq!(get(&manager, "/health").0, 200);
    wait::until("the manager's first beat", SOON, || {
        fleet.command(&["drain"]).is_ok().then_some(())
    })
    .unwrap();
    let refused = wait::until("a manager that sends agents away", SOON, || {
        let answer = agent.send(manager.agents, &agent.batch(vec![]), &agent.chain).unwrap();
        match answer.status {
            200 => {
                agent.take(answer).unwrap();
                None
            }
            _ => Some(answer),
        }
    });
    let refused = refused.unwrap();
    assert_eq!((refused.status, refusal(&refused)), (503, Some(Refusal::Overloaded)));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(get(&manager, "/health").0, 503);
    fleet.command(&["drain", "--undo"]).unwrap();
    wait::until("a manager that takes agents again", SOON, || agent.exchange(&manager).ok())
        .unwrap();
}

#[test]
fn a_connection_beyond_the_limit_is_reset_and_a_silent_one_is_ended() {
    let fleet = Fleet::init(&[]).unwrap();
    fleet.edit("agents", "handshakes = 1\ntimeout = \"1s\"").unwrap();
    let manager = fleet.serve().unwrap();
    let mut silent = TcpStream::connect(manager.agents).unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    let reset = wait::until("a connection that is reset", SOON, || {
        let mut next = TcpStream::connect(manager.agents).unwrap();
        next.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = next.read(&mut [0]).err()?;
        (error.kind() == std::io::ErrorKind::ConnectionReset).then_some(())
    });
    reset.unwrap();
    // The one that says nothing loses its place.
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let agent = fleet.token(&[]).unwrap();
    wait::until("a place", SOON, || Agent::enroll_at(&agent, manager.agents).ok()).unwrap();
}

#[test]
fn a_silent_agent_is_recorded_once() {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    fleet.edit("agents", "poll = \"1s\"\noffline_after = \"2s\"").unwrap();
    let manager = fleet.serve().unwrap();
    let mut agent = Agent::enroll_at(&fleet.token(&[]).unwrap(), manager.agents).unwrap();
    agent.exchange(&manager).unwrap();
    let noticed = |times: usize| {
        let log = manager.log();
        (log.matches("agents are not heard any more").count() == times).then_some(())
    };
    wait::until("silence to be noticed", SOON, || noticed(1)).unwrap();
    agent.exchange(&manager).unwrap();
    wait::until("silence to be noticed again", SOON, || noticed(2)).unwrap();
}

#[test]
fn requests_have_limits() {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    fleet.edit("agents", "body_bytes = \"64KiB\"").unwrap();
    let manager = fleet.serve().unwrap();
    let agent = Agent::enroll_at(&fleet.token(&[]).unwrap(), manager.agents).unwrap();
    let raw = |request: &str| {
        let answer = agent.round_trip(manager.agents, request.as_bytes()).unwrap();
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(raw("GET /v1/opamp HTTP/1.1\r\nhost: m\r\n\r\n"), "405");
    assert_eq!(raw("POST /other HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n"), "404");
    assert_eq!(raw("POST /v1/opamp HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n"), "415");
    let long = agent.post(manager.agents, &[], &vec![0; 64 * 1024 + 1]).unwrap();
    assert_eq!(long.status, 413);
    let wrong = agent.post(manager.agents, &[("content-encoding", "br")], b"x").unwrap();
    assert_eq!(wrong.status, 415);
}

#[test]
fn managers_end_when_they_are_asked_to_whatever_is_open() {
    let (_fleet, manager, _agent) = world(&["--plain"]);
    let mut idle = TcpStream::connect(manager.agents).unwrap();
    idle.set_read_timeout(Some(SOON)).unwrap();
    let request = "POST /v1/opamp HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n";
    idle.write_all(request.as_bytes()).unwrap();
    manager.stop().unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).ok();
    assert!(rest.starts_with(b"HTTP/1.1 415"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn a_fleet_is_made_once() {
    let fleet = Fleet::init(&[]).unwrap();
    let again = fleet.attempt(&["init"]).unwrap();
    assert!(again.err.contains("has a manager already"), "{}", again.err);
    // Another directory on the same database would have another certificate.
    let database = fleet.directory().join("fleet.db").display().to_string();
    let error = Fleet::init(&["--database", &database]).unwrap_err();
    assert!(format!("{error:#}").contains("bundle import"), "{error:#}");
    // And two processes would be one manager.
    let manager = fleet.serve().unwrap();
    let second = fleet.attempt(&["serve"]).unwrap();
    assert_eq!(second.code, Some(1));
    assert!(second.err.contains("another process serves from"), "{}", second.err);
    drop(manager);
}

#[test]
fn users_and_tokens_are_kept_for_every_manager() {
    let fleet = Fleet::init(&[]).unwrap();
    let file = fleet.root().join("password");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    rustix::fs::chmod(&file, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let file = file.display().to_string();
    fleet
        .command(&["user", "add", "alice", "--role", "administrator", "--password-file", &file])
        .unwrap();
    let made = fleet.command(&["user", "add", "bob"]).unwrap();
    assert!(made.len() >= 20, "a password was made: {made}");
    let list = fleet.command(&["user", "list"]).unwrap();
    assert!(list.contains("alice  administrator  enabled"), "{list}");
    assert!(list.contains("bob    viewer         enabled"), "{list}");
    assert_ne!(fleet.command(&["user", "password", "bob"]).unwrap(), made);
    fleet.command(&["user", "remove", "bob"]).unwrap();
    let last = fleet.attempt(&["user", "remove", "alice"]).unwrap();
    assert!(last.err.contains("this is the last administrator"), "{}", last.err);
    let unknown = fleet.attempt(&["user", "remove", "carol"]).unwrap();
    assert!(unknown.err.contains("there is no user \"carol\""), "{}", unknown.err);

    let missing = fleet.attempt(&["token", "create", "--group", "edge"]).unwrap();
    assert!(missing.err.contains("--new-group makes it"), "{}", missing.err);
    let token = fleet.token(&["--group", "edge", "--new-group", "--note", "rack 4"]).unwrap();
    let list = fleet.command(&["token", "list"]).unwrap();
    assert!(list.contains("edge   0/1   counts") && list.contains("rack 4"), "{list}");
    fleet.command(&["token", "revoke", "1"]).unwrap();
    let list = fleet.command(&["token", "list"]).unwrap();
    assert!(list.contains("revoked"), "{list}");
    let manager = fleet.serve().unwrap();
    let (agent, token) = Agent::new(&token).unwrap();
    let refused = agent.join(manager.agents, &token.secret).unwrap();
    assert_eq!(refusal(&refused), Some(Refusal::TokenRefused));
}

#[test]
fn a_further_manager_believes_the_same_database_server() {
    let identity = Identity::generate("a database", &["db.test".to_owned()], 1_790_000_000);
    let identity = identity.unwrap();
    // The server reads the certificate of the one and the key of the other.
    let pem = identity.to_pem();
    let server = Server::on_loopback(Some(Certificate { chain: &pem, key: &pem }));
    let beside = tempfile::tempdir().unwrap();
    let roots = beside.path().join("db.pem");
    std::fs::write(&roots, identity.certificate_pem()).unwrap();
    let location = format!(
        "postgres://postgres@db.test/postgres?hostaddr={}&sslmode=verify-full&sslrootcert={}",
        server.loopback(),
        roots.display()
    );
    let fleet = Fleet::init(&["--database", &location]).unwrap();
    let bundle = fleet.root().join("bundle");
    fleet.command(&["bundle", "export", &bundle.display().to_string()]).unwrap();
    assert_eq!(std::fs::read_dir(&bundle).unwrap().count(), 3);
    drop(beside);
    let further = Fleet::import(&bundle).unwrap();
    let _serves = further.serve().unwrap();
    further.command(&["list"]).unwrap();
    // The first one's file is gone: it says so, and does not go on without.
    let refused = fleet.attempt(&["list"]).unwrap();
    assert!(refused.err.contains("cannot read the certificates in"), "{}", refused.err);
}

#[test]
fn a_database_in_plain_text_is_told_of_unless_that_is_meant() {
    let server = Server::on_loopback(None);
    for (mode, times) in [("", 1), ("&sslmode=disable", 0)] {
        let database = format!("plain{times}");
        server.sql(&format!("CREATE DATABASE {database}"));
        let location =
            format!("postgres://postgres@db.test/{database}?hostaddr={}{mode}", server.loopback());
        let fleet = Fleet::init(&["--database", &location]).unwrap();
        let manager = fleet.serve().unwrap();
        assert_eq!(manager.log().matches("in plain text").count(), times, "{}", manager.log());
    }
}
