//! Somebody at the admin API of a fleet: logged in, over TLS, by the certificate that agents hold.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use mainstay_trust::certificate;
use mainstay_trust::pin::{Pin, PinKind, PinVerifier};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::api::send;
use crate::fleet::Fleet;
use crate::gateway::DEADLINE;

/// Who it is, and how that is proven.
const NAME: &str = "alice";
const PASSWORD: &str = "correct horse battery";

/// An administrator. What it asks is a connection of its own each time.
#[derive(Clone, Debug)]
pub struct Administrator {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    /// Whole lines; none before it has logged in.
    fields: String,
}

impl Administrator {
    /// Somebody who has not logged in, and holds the certificates that a new agent of this fleet
    /// would hold.
    pub fn stranger(fleet: &Fleet, address: SocketAddr) -> anyhow::Result<Self> {
        let pem = fs::read(fleet.directory().join("agent-cert.pem"))?;
        let pins = certificate::from_pem(&pem)?.into_iter();
        let pins = pins.map(|der| Pin { kind: PinKind::Current, der }).collect();
        Ok(Self { address, tls: PinVerifier::new(pins).client_config()?, fields: String::new() })
    }

    /// Makes an administrator of the fleet, who logs in at this address.
    pub fn log_in(fleet: &Fleet, address: SocketAddr) -> anyhow::Result<Self> {
        let file = fleet.root().join("password");
        fs::write(&file, PASSWORD)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        let file = file.display().to_string();
        let add = ["user", "add", NAME, "--role", "administrator", "--password-file", &file];
        fleet.command(&add)?;
        let mut administrator = Self::stranger(fleet, address)?;
        let login = json!({ "name": NAME, "password": PASSWORD });
        let (head, _body) = administrator.send("POST /v1/session", Some(&login))?;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
        });
        let cookie = cookie.with_context(|| format!("no cookie in {head}"))?.trim();
        administrator.fields = format!("Cookie: {cookie}\r\nMainstay-Request: 1\r\n");
        Ok(administrator)
    }

    /// `GET` or `POST`, a path, and what is sent along; what is answered must not be a refusal.
    pub fn ask(&self, request: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (_head, body) = self.send(request, body)?;
        if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&body)?) }
    }

    /// Every one of a list, however many parts it has.
    pub fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let part = self.ask(&format!("GET {path}?limit=1000{after}"), None)?;
            all.extend(part["items"].as_array().context("a list")?.iter().cloned());
            match part["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(all),
            }
        }
    }

    /// A figure of the manager that answers.
    pub fn figure(&self, name: &str) -> anyhow::Result<u64> {
        let (_head, text) = self.send("GET /metrics", None)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in {text}"))?.parse()?)
    }

    /// Head and body of the answer.
    fn send(&self, request: &str, body: Option<&Value>) -> anyhow::Result<(String, String)> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let name = ServerName::from(self.address.ip());
        let connection = ClientConnection::new(Arc::clone(&self.tls), name)?;
        let mut stream = StreamOwned::new(connection, stream);
        let fields =
            format!("{}Connection: close\r\nContent-Type: application/json\r\n", self.fields);
        let body = body.map_or_else(String::new, Value::to_string);
        send(&mut stream, request, &fields, &body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        ensure!(head.starts_with("HTTP/1.1 2"), "{request}: {answer}");
        Ok((head.to_owned(), body.to_owned()))
    }
}
