//! The managers' admin API, with the real binary: logging in, a rollout, and any manager.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use mainstay_e2e::api::{Response, receive, send};
use mainstay_e2e::children;
use mainstay_e2e::fleet::{Agent, Event, Fleet, Manager};
use mainstay_e2e::wait;
use mainstay_opamp::message::{RemoteConfigStatus, RemoteConfigStatuses};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// How long anything that takes a beat of a manager may take.
const SOON: Duration = Duration::from_secs(20);

/// How long schemathesis may take.
const PATIENCE: Duration = Duration::from_mins(3);

const TEXT: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\n\
                    [[upstream]]\nname = \"shop\"\nservers = [\"10.0.0.11:8080\"]\n\n\
                    [[service]]\nname = \"shop\"\nlisteners = [\"web\"]\n\
                    hosts = [\"shop.example.com\"]\n\n\
                    [[service.route]]\npath = \"/\"\nupstream = \"shop\"\n";

/// A fleet without TLS whose administrator is alice.
fn fleet() -> Fleet {
    let fleet = Fleet::init(&["--plain"]).unwrap();
    let file = fleet.root().join("password");
    fs::write(&file, PASSWORD).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.display().to_string();
    let arguments = ["user", "add", "alice", "--role", "administrator", "--password-file", &file];
    fleet.command(&arguments).unwrap();
    fleet
}

fn call(manager: &Manager, fields: &str, request: &str, body: Option<&Value>) -> Response {
    let mut stream = TcpStream::connect(manager.admin).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let body = body.map_or_else(String::new, Value::to_string);
    let fields = format!("{fields}Connection: close\r\nContent-Type: application/json\r\n");
    send(&mut stream, request, &fields, &body).unwrap();
    receive(stream).unwrap()
}

/// The fields with which alice asks, once she has logged in.
fn log_in(manager: &Manager) -> String {
    let login = json!({ "name": "alice", "password": PASSWORD }).to_string();
    let mut stream = TcpStream::connect(manager.admin).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let fields = "Connection: close\r\nContent-Type: application/json\r\n";
    send(&mut stream, "POST /v1/session", fields, &login).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let cookie = head.iter().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
    let (_, cookie) = cookie.unwrap_or_else(|| panic!("{head:?}")).split_once(':').unwrap();
    let cookie = cookie.split(';').next().unwrap().trim();
    format!("Cookie: {cookie}\r\nMainstay-Request: 1\r\n")
}

/// An agent's word on a configuration.
fn say(agent: &mut Agent, manager: &Manager, hash: &[u8], status: RemoteConfigStatuses) {
    let mut message = agent.batch(Vec::new());
    message.remote_config_status = Some(RemoteConfigStatus {
        last_remote_config_hash: hash.to_vec(),
        status: status.into(),
        error_message: "no such upstream".to_owned(),
    });
    agent.carry_out(manager.agents, &message).unwrap();
}

#[test]
fn a_rollout_of_a_bad_version_halts_within_its_first_wave() {
    let fleet = fleet();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&["--uses", "0"]).unwrap();
    let mut agents: Vec<Agent> =
        (0..3).map(|_| Agent::enroll_at(&token, manager.agents).unwrap()).collect();
    for agent in &mut agents {
        agent.exchange(&manager).unwrap();
    }
    let alice = log_in(&manager);
    let ask = |request: &str, body: Option<Value>| {
        let answer = call(&manager, &alice, request, body.as_ref());
        assert!(answer.status < 300, "{request}: {answer:?}");
        answer.json().unwrap_or_default()
    };
    let made = ask("POST /v1/configurations", Some(json!({ "name": "shop" })));
    let path = format!("POST /v1/configurations/{}/versions", made["id"]);
    let version = ask(&path, Some(json!({ "after": 0, "text": TEXT })));
    let groups = ask("GET /v1/groups", None);
    let wanted = json!({
        "group": groups["items"][0]["id"],
        "version": version["id"],
        "plan": { "waves": ["1"], "watch_seconds": 0 },
        "start": true,
    });
    let rollout = ask("POST /v1/rollouts", Some(wanted));
    let path = format!("GET /v1/rollouts/{}", rollout["id"]);
    // Whoever is offered the version says that it is bad.
    let mut offered = 0;
    for agent in &mut agents {
        let answer = agent.send(manager.agents, &agent.batch(Vec::new()), &agent.chain).unwrap();
        let remote = answer.message.remote_config.clone();
        agent.take(answer).unwrap();
        if let Some(remote) = remote {
            offered += 1;
            say(agent, &manager, &remote.config_hash, RemoteConfigStatuses::Failed);
        }
    }
    assert_eq!(offered, 1, "the first wave is one gateway");
    let halted = wait::until("a rollout that halts", SOON, || {
        Some(ask(&path, None)).filter(|rollout| rollout["state"] == "halted")
    });
    assert_eq!(halted.unwrap()["reason"], "wave 1: 1 failed, 0 are allowed");
    let members = ask(&format!("{path}/members"), None);
    let failed = members["items"].as_array().unwrap().iter().find(|one| one["state"] == "failed");
    assert_eq!(failed.unwrap()["message"], "no such upstream");
    for agent in &mut agents {
        agent.exchange(&manager).unwrap();
    }
    manager.stop().unwrap();
}

/// Where `cargo xtask test` installed schemathesis. A test does not reach for the network.
const INSTALLED: &str = "MAINSTAY_SCHEMATHESIS";

/// What it looks at. That everything which the description allows is also taken is left out: a
/// schema cannot say what a gateway's configuration is.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,\
                      negative_data_rejection,missing_required_header,unsupported_method,\
                      ignored_auth";

/// Streams do not end; the others would end what it asks with.
const LEFT_OUT: &str = "(events/stream|/v1/session|/v1/users/\\{|/v1/api-tokens/\\{)";

#[test]
fn whoever_asks_for_everything_that_is_described_gets_what_is_described() {
    let folder = std::env::var_os(INSTALLED).expect("`cargo xtask test` installs it");
    let fleet = fleet();
    let manager = fleet.serve().unwrap();
    let wanted = json!({ "user": 1, "role": "administrator" });
    let alice = log_in(&manager);
    let token = call(&manager, &alice, "POST /v1/api-tokens", Some(&wanted)).json().unwrap();
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().unwrap());
    let description = format!("http://{}/v1/openapi.json", manager.admin);
    let report = fleet.root().join("report");
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli", "run", &description, "--header", &bearer]);
    command.args(["--max-examples", "10", "--seed", "7", "--request-timeout", "10"]);
    command.args(["--exclude-path-regex", LEFT_OUT, "--checks", CHECKS, "--no-color"]);
    command.args(["--suppress-health-check", "all"]).current_dir(fleet.root());
    command.env("PYTHONPATH", folder).stdout(File::create(&report).unwrap());
    let ended = children::spawn(&mut command).unwrap().wait(PATIENCE).expect("it ends");
    let report = fs::read_to_string(&report).unwrap();
    assert_eq!(ended.exit_status(), Some(0), "{report}{}", manager.log());
    manager.stop().unwrap();
}

#[test]
fn a_login_is_known_at_every_manager_and_a_logout_too() {
    let fleet = fleet();
    let one = fleet.serve().unwrap();
    let bundle = fleet.root().join("bundle");
    fleet.command(&["bundle", "export", &bundle.display().to_string()]).unwrap();
    let other = Fleet::import(&bundle).unwrap();
    let two = other.serve().unwrap();
    let alice = log_in(&one);
    let who = call(&two, &alice, "GET /v1/session", None);
    assert_eq!((who.status, &who.json().unwrap()["name"]), (200, &json!("alice")));
    let managers = call(&two, &alice, "GET /v1/managers", None).json().unwrap();
    assert_eq!(managers["items"].as_array().unwrap().len(), 2, "{managers}");
    // A page of another site has the cookie sent, and nothing comes of it.
    let foreign = alice.replace("Mainstay-Request: 1\r\n", "Origin: https://evil.example\r\n");
    let body = json!({ "name": "x" });
    assert_eq!(call(&two, &foreign, "POST /v1/groups", Some(&body)).status, 403);
    assert_eq!(call(&two, "", "GET /v1/agents", None).status, 401);
    assert_eq!(call(&two, &alice, "DELETE /v1/session", None).status, 204);
    assert_eq!(call(&one, &alice, "GET /v1/session", None).status, 401);
    let described = call(&one, "", "GET /v1/openapi.json", None).json().unwrap();
    assert_eq!(described["openapi"], "3.1.0");
}

#[test]
fn the_figures_of_an_agents_gateway_are_with_it() {
    let fleet = fleet();
    let manager = fleet.serve().unwrap();
    let token = fleet.token(&[]).unwrap();
    let mut agent = Agent::enroll_at(&token, manager.agents).unwrap();
    let alice = log_in(&manager);
    let ask = |request: &str| {
        let answer = call(&manager, &alice, request, None);
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        answer.json().unwrap()
    };
    let agents = ask("GET /v1/agents");
    let path = format!("GET /v1/agents/{}", agents["items"][0]["agent"].as_str().unwrap());
    assert_eq!(ask(&path)["metrics"], Value::Null);
    for requests in [1, 2] {
        let body = json!({ "requests": requests }).to_string();
        let kind = "gateway.metrics".to_owned();
        let sample = Event { unix_us: requests, severity: 0, kind, body };
        let batch = agent.batch(vec![sample]);
        agent.carry_out(manager.agents, &batch).unwrap();
    }
    let metrics = ask(&path)["metrics"].clone();
    assert_eq!(metrics["figures"], json!({ "requests": 2 }), "{metrics}");
    let events = ask("GET /v1/events?kind=gateway.metrics");
    assert_eq!(events["items"].as_array().unwrap().len(), 2, "{events}");
}
