//! What an operator asks over HTTP, and what is answered.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use mainstay_e2e::api::{ask, ask_securely, connect, read_chunk, receive, send};
use mainstay_e2e::cli::mainstay;
use mainstay_e2e::client::Client;
use mainstay_e2e::gateway::{Accept, Look};
use mainstay_e2e::{Gateway, Origin, Setup, wait};
use mainstay_model::{Generation, Process};
use rustix::process::Signal;
use serde_json::{Value, json};

fn start(origin: &Origin) -> anyhow::Result<Gateway> {
    Gateway::start(&Setup::pair(origin, Accept::Active))
}

fn first(gateway: &Gateway) -> anyhow::Result<String> {
    Ok(fs::read_to_string(gateway.path().join("state/generations/1/gateway.toml"))?)
}

#[test]
fn what_is_asked_is_answered_as_it_is_described() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = start(&origin)?;
    let description = ask(&gateway, "GET /v1/openapi.json", "")?.json()?;
    let paths = description["paths"].as_object().context("paths")?;
    let mut asked = 0;
    for (path, operations) in paths {
        let path = path.replace("{generation}", "1");
        for (method, operation) in operations.as_object().context("operations")? {
            let request = format!("{} {path}", method.to_uppercase());
            let response = ask(&gateway, &request, "")?;
            let described = operation["responses"].as_object().context("responses")?;
            let expected = match &*path {
                // An empty configuration.
                "/v1/apply" => 422,
                // There is no earlier one.
                "/v1/rollback" => 409,
                _ => 200,
            };
            assert_eq!(response.status, expected, "{request}: {response:?}");
            let (media_type, media) = described[&expected.to_string()]["content"]
                .as_object()
                .and_then(|content| content.iter().next())
                .context("a media type")?;
            let field = format!("content-type: {media_type}\r\n");
            assert!(response.fields.contains(&field), "{request}: {response:?}");
            if media_type.ends_with("json") {
                check(&description, &media["schema"], &response.json()?)
                    .with_context(|| format!("{request}: {response:?}"))?;
            }
            asked += 1;
        }
    }
    assert_eq!(asked, 11);
    Ok(())
}
/// What is told while it happens, too, of a pair and of one process, which takes other steps.
#[test]
fn every_line_of_an_apply_is_as_it_is_described() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let pair = Setup::pair(&origin, Accept::Active);
    for (setup, steps) in [
        (pair.clone(), ["prove", "swap", "follow"]),
        (pair.as_one_process(), ["load", "watch", "keep"]),
    ] {
        let gateway = Gateway::start(&setup)?;
        let description = ask(&gateway, "GET /v1/openapi.json", "")?.json()?;
        let text = first(&gateway)? + "\n[limits]\ntarget_bytes = 64\n";
        let applied = ask(&gateway, "POST /v1/apply?confirm=0s", &text)?;
        let schema = &description["paths"]["/v1/apply"]["post"]["responses"]["200"]["content"]["application/x-ndjson"]
            ["schema"];
        let lines = applied.lines()?;
        for line in &lines {
            check(&description, schema, line).with_context(|| format!("{line}"))?;
        }
        for step in steps {
            let is_told = lines.iter().any(|line| line["step"] == step);
            anyhow::ensure!(is_told, "{step} is not in {lines:?}");
        }
    }
    Ok(())
}

/// Whether a value has the form that a schema describes, as far as ours go.
fn check(description: &Value, schema: &Value, value: &Value) -> anyhow::Result<()> {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = description.pointer(reference.trim_start_matches('#')).context("a schema")?;
        return check(description, found, value);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(description, part, value)?;
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|one| check(description, one, value).is_ok()).count();
        anyhow::ensure!(fitting == 1, "{fitting} of {choices:?} fit {value}");
    }
    if let Some(expected) = schema.get("const") {
        anyhow::ensure!(value == expected, "{value} is not {expected}");
    }
    if let Some(all) = schema["enum"].as_array() {
        anyhow::ensure!(all.contains(value), "{value} is not one of {all:?}");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => return Ok(()),
        one => vec![one.clone()],
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    anyhow::ensure!(types.contains(&json!(found)), "{value} is none of {types:?}");
    for item in value.as_array().into_iter().flatten() {
        check(description, &schema["items"], item)?;
    }
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        anyhow::ensure!(value.get(name).is_some(), "{name} is not in {value}");
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let schema = properties.get(name).with_context(|| format!("{name} is not described"))?;
        check(description, schema, value)?;
    }
    Ok(())
}

#[test]
fn an_apply_is_told_as_it_happens() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = start(&origin)?;
    let text = first(&gateway)? + "\n[limits]\ntarget_bytes = 64\n";

    let compared = ask(&gateway, "POST /v1/apply?dry_run=true", &text)?;
    let difference = json!({
        "reply": "difference", "from": 1, "lines": ["~ limits: target_bytes 8KiB → 64B"],
    });
    assert_eq!(compared.lines()?, [difference.clone(), json!({ "reply": "compared" })]);

    let mut stream = connect(&gateway)?;
    send(&mut stream, "POST /v1/apply?confirm=20s", "", &text)?;
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head)?;
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let mut said = Vec::new();
    // What is told while clients are still watched came as it happened.
    while !matches!(said.last(), Some(Value::Object(line)) if line.get("step") == Some(&json!("watch")))
    {
        let chunk = read_chunk(&mut stream)?.context("it goes on")?;
        said.push(serde_json::from_slice::<Value>(&chunk)?);
    }
    assert_eq!(said[0], difference);
    let again = ask(&gateway, "POST /v1/apply", &text)?;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(again.json()?["detail"], "another apply is under way");
    // Who leaves stops nothing; what is hurt goes back, which the death of the first does.
    drop(stream);
    let victim = gateway.kill(Process::Worker(gateway.active()?), Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;

    let applied = ask(&gateway, "POST /v1/apply?confirm=0s", &text)?;
    let description = ask(&gateway, "GET /v1/openapi.json", "")?.json()?;
    for line in applied.lines()?.iter().chain(&said) {
        check(&description, &json!({ "$ref": "#/components/schemas/Reply" }), line)?;
    }
    let last = applied.lines()?.pop().context("an outcome")?;
    assert_eq!(last["reply"], "applied", "{applied:?}");
    let generation = last["generation"].to_string();
    let kept = ask(&gateway, &format!("GET /v1/generations/{generation}"), "")?;
    assert_eq!((kept.status, kept.body), (200, text));
    let back = ask(&gateway, "POST /v1/rollback?generation=1", "")?;
    assert_eq!(back.lines()?.pop().context("an outcome")?["generation"], 1, "{back:?}");
    let status = gateway.wait_for("a status", |_| true)?;
    assert_eq!(status.generation, Generation::FIRST);
    Ok(())
}

#[test]
fn what_is_wrong_is_told_with_its_place() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active)
        .with_host("admin", "body_bytes", "16KiB")
        .with_host("admin", "timeout", "500ms");
    let gateway = Gateway::start(&setup)?;
    let text = first(&gateway)? + "\n[limits]\nfields = 500\n";
    let response = ask(&gateway, "POST /v1/apply", &text)?;
    assert_eq!(response.status, 422, "{response:?}");
    assert!(response.fields.contains("content-type: application/problem+json\r\n"), "{response:?}");
    let problem = response.json()?;
    assert_eq!(problem["type"], "urn:mainstay:problem:invalid-configuration");
    let expected = json!([{
        "file": "gateway.toml",
        "line": text.lines().count(),
        "column": 10,
        "sentence": "\"fields\" must be from 1 to 128, not 500",
    }]);
    assert_eq!(problem["problems"], expected);

    for (request, body, status) in [
        ("GET /", String::new(), 404),
        ("GET /v1/generations/99", String::new(), 404),
        ("DELETE /v1/status", String::new(), 405),
        ("POST /v1/apply?dry_run=perhaps", String::new(), 400),
        ("POST /v1/rollback?generation=99", String::new(), 409),
        ("POST /v1/apply", "#".repeat(17_000), 413),
    ] {
        let response = ask(&gateway, request, &body)?;
        assert_eq!(response.status, status, "{request}: {response:?}");
        assert_eq!(response.json()?["status"], status, "{request}: {response:?}");
    }
    // A body that does not come.
    let mut stream = connect(&gateway)?;
    std::io::Write::write_all(
        &mut stream,
        b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    )?;
    assert_eq!(receive(stream)?.status, 408);
    let status = gateway.wait_for("a status", |_| true)?;
    assert_eq!(status.generation, Generation::FIRST);
    Ok(())
}

/// The health is what a client would find: who is killed is noticed, who takes over is named.
#[test]
fn the_health_goes_the_way_of_a_client() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = start(&origin)?;
    let active = gateway.active()?;
    let response = ask(&gateway, "GET /v1/health", "")?;
    assert_eq!(response.status, 200, "{response:?}");
    let health = response.json()?;
    assert_eq!(health["worker"], json!(active));
    assert_eq!(health["generation"], 1);
    assert_eq!(health["pid"], gateway.process(Process::Worker(active))?.pid());
    assert!(health["latency_us"].as_u64().is_some_and(|latency| latency > 0), "{health}");
    // The request path says so itself.
    let served = || fs::read_to_string(gateway.path().join("state/access.log")).ok();
    wait::until("a line in the access log", mainstay_e2e::gateway::DEADLINE, || {
        served().filter(|log| log.contains("\"status\":200"))
    })?;
    // Nobody else gets that answer.
    let mut client = Client::connect(gateway.address("web"))?;
    assert!(!client.get("/health")?.text().contains("\"generation\""));

    let victim = gateway.kill(Process::Worker(active), Signal::KILL)?;
    wait::until("the other worker to be well", mainstay_e2e::gateway::DEADLINE, || {
        let health = ask(&gateway, "GET /v1/health", "").ok()?.json().ok()?;
        (health["worker"] == json!(active.other())).then_some(())
    })?;
    gateway.wait_ready_without(&[victim.pid()])?;
    Ok(())
}

/// A worker that stands still serves nobody, whatever is known of it.
#[test]
fn a_worker_that_stands_still_is_not_well() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    // Nobody puts that right while this test asks.
    let setup = Setup::pair(&origin, Accept::Active).with_host("pair", "hang_timeout", "1m");
    let gateway = Gateway::start(&setup)?;
    let worker = Process::Worker(gateway.active()?);
    gateway.kill(worker, Signal::STOP)?;
    let response = ask(&gateway, "GET /v1/health", "")?;
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.json()?["detail"], "the worker did not answer within 2s");
    gateway.kill(worker, Signal::CONT)?;
    assert_eq!(ask(&gateway, "GET /v1/health", "")?.status, 200);
    Ok(())
}

#[test]
fn the_api_is_there_again_after_the_death_of_its_master() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let gateway = start(&origin)?;
    let mode = fs::metadata(gateway.path().join("run"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "only its owner comes to the socket");
    // One that is open when the master dies ends, and is not taken for a client.
    let waiting = connect(&gateway)?;
    let master = gateway.kill(Process::Master, Signal::KILL)?;
    gateway.wait_ready_without(&[master.pid()])?;
    assert!(receive(waiting).is_err());
    let response = wait::until("an answer", mainstay_e2e::gateway::DEADLINE, || {
        ask(&gateway, "GET /v1/status", "").ok()
    })?;
    assert_eq!((response.status, &response.json()?["generation"]), (200, &json!(1)));
    Ok(())
}

/// The address needs TLS and a token; what is renewed is used at once.
#[test]
fn from_elsewhere_a_token_is_needed() -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let certify = || -> anyhow::Result<()> {
        let made =
            rcgen::generate_simple_self_signed(["gateway.test", "127.0.0.1"].map(str::to_owned))?;
        fs::write(path("certificate.pem"), made.cert.pem())?;
        Ok(fs::write(path("key.pem"), made.signing_key.serialize_pem())?)
    };
    certify()?;
    // printf test | sha256sum
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    fs::write(path("tokens"), format!("# for tests\nagent {hash}\n"))?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut setup =
        Setup::pair(&origin, Accept::Active).with_host("admin", "address", &*address.to_string());
    for (key, name) in
        [("certificate", "certificate.pem"), ("key", "key.pem"), ("tokens", "tokens")]
    {
        setup = setup.with_host("admin", key, path(name).to_str().context("a path that is text")?);
    }
    let gateway = Gateway::start(&setup)?;
    let certificate = path("certificate.pem");
    let asked = |token| ask_securely(address, &certificate, "GET /v1/status", token);
    assert_eq!(asked(Some("test"))?.status, 200);
    for token in [None, Some("tesT")] {
        let response = asked(token)?;
        assert_eq!(response.status, 401, "{response:?}");
        assert!(response.fields.contains("www-authenticate: bearer\r\n"), "{response:?}");
        assert!(!response.body.contains("processes"), "{response:?}");
    }
    command_from_elsewhere(&gateway, address, directory.path())?;
    certify()?;
    assert_eq!(asked(Some("test"))?.status, 200, "the new certificate is used");
    fs::write(path("tokens"), "")?;
    assert_eq!(asked(Some("test"))?.status, 401, "the token was taken back");
    let status = gateway.wait_for("the pair to be ready", Look::is_ready)?;
    assert_eq!(status.generation, Generation::FIRST);
    Ok(())
}

/// What an operator does here, an operator does from elsewhere.
fn command_from_elsewhere(
    gateway: &Gateway,
    address: SocketAddr,
    directory: &Path,
) -> anyhow::Result<()> {
    let path = |name: &str| directory.join(name).display().to_string();
    let (url, certificate, token) =
        (format!("https://{address}"), path("certificate.pem"), path("token"));
    let command = |words: &[&str]| {
        let place = ["--url", &url, "--certificate", &certificate, "--token-file", &token];
        mainstay(&[words, &place].concat())
    };
    fs::write(&token, "test\n")?;
    let file = path("next.toml");
    fs::write(&file, first(gateway)? + "\n[limits]\nfields = 99\n")?;
    let compared = command(&["apply", &file, "--dry-run"])?;
    assert_eq!(
        (compared.code, &*compared.out),
        (Some(0), "~ limits: fields 100 → 99\nvalid, and not applied\n"),
        "{compared:?}"
    );
    let generations = command(&["generations"])?;
    assert_eq!(generations.out, "1  in service\n", "{generations:?}");
    let swapped = command(&["swap"])?;
    assert_eq!(swapped.code, Some(0), "{swapped:?}");
    fs::write(&token, "no\n")?;
    let refused = command(&["generations"])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("A token is needed"), "{refused:?}");
    Ok(())
}
