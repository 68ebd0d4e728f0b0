//! An agent that says exactly what a test wants it to say: one request, one connection, no
//! second try.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use mainstay_model::InstanceUid;
use mainstay_opamp::enrol::{self, Enrolled};
use mainstay_opamp::events::{self, Ack, Batch};
use mainstay_opamp::message::{AgentToServer, ServerToAgent};
use mainstay_opamp::refusal::{self, Refusal};
use mainstay_opamp::token::{EnrolmentToken, PREFIX, TOKEN_BYTES_MAX};
use mainstay_opamp::{CONTENT_TYPE, INSTANCE_UID_HEADER, PATH, capability, wire};
use mainstay_trust::certificate;
use mainstay_trust::digest;
use mainstay_trust::key::AgentKey;
use mainstay_trust::pin::{Pin, PinKind, PinVerifier};
use mainstay_trust::signature::{self, Covered, SIGNATURE, SIGNATURE_INPUT};
use mainstay_trust::token::{from_long_text, from_text, random, to_text};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Manager;

/// An event of an agent.
pub type Event = events::Event;

/// How long an exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a manager answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub message: ServerToAgent,
}

/// What came of an exchange that was carried out.
#[derive(Clone, Debug)]
pub struct Told {
    pub message: ServerToAgent,
    pub ack: Ack,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Why it was not carried out.
    pub fn refusal(&self) -> Option<Refusal> {
        self.header(refusal::HEADER)?.parse().ok()
    }
}

/// An agent, with all that it would keep on its disk. A clone of it is a cloned machine.
#[derive(Clone, Debug)]
pub struct Agent {
    pub uid: InstanceUid,
    pub key: Arc<AgentKey>,
    pub fingerprint: Vec<u8>,
    /// Of the next request.
    pub sequence: u64,
    /// The token of the next request.
    pub chain: Vec<u8>,
    pub stream: [u8; events::STREAM_BYTES],
    /// Number of the next event.
    pub next_event: u64,
    pub managers: Vec<String>,
    /// None: plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Agent {
    /// An agent that has a token and has asked nobody yet.
    pub fn new(token: &str) -> anyhow::Result<(Self, EnrolmentToken)> {
        let text = token.strip_prefix(PREFIX).context("this is no token")?;
        let bytes = from_long_text(text, TOKEN_BYTES_MAX).context("the token is no base64url")?;
        let token = EnrolmentToken::decode(&bytes)?;
        let pins: Vec<Pin> = token
            .certificates
            .iter()
            .map(|der| Pin { kind: PinKind::Current, der: CertificateDer::from(der.clone()) })
            .collect();
        let tls = match pins.as_slice() {
            [] => None,
            _ => Some(PinVerifier::new(pins).client_config()?),
        };
        let agent = Self {
            uid: InstanceUid::new(1, random()),
            key: Arc::new(AgentKey::generate()?),
            fingerprint: random::<16>().to_vec(),
            sequence: 1,
            chain: Vec::new(),
            stream: random(),
            next_event: 1,
            managers: token.managers.clone(),
            tls,
        };
        Ok((agent, token))
    }

    /// An agent that has joined at the first manager of its token.
    pub fn enroll(token: &str) -> anyhow::Result<Self> {
        let (agent, _token) = Self::new(token)?;
        let first = agent.managers.first().context("the token names no manager")?;
        let place = first.rsplit('/').next().unwrap_or_default();
        let address = place.parse().with_context(|| format!("{place} is no address"))?;
        Self::enroll_at(token, address)
    }

    /// An agent that has joined at this address.
    pub fn enroll_at(token: &str, address: SocketAddr) -> anyhow::Result<Self> {
        let (mut agent, token) = Self::new(token)?;
        let answer = agent.join(address, &token.secret)?;
        ensure!(answer.status == 200, "it may not join: {answer:?}");
        agent.take_enrolled(&answer)?;
        Ok(agent)
    }

    /// Holds these certificates from now on.
    pub fn take_pins(&mut self, pem: &str) -> anyhow::Result<()> {
        let pins: Vec<Pin> = certificate::from_pem(pem.as_bytes())?
            .into_iter()
            .map(|der| Pin { kind: PinKind::Current, der })
            .collect();
        self.tls = Some(PinVerifier::new(pins).client_config()?);
        Ok(())
    }

    /// Asks to join with a secret, or to register anew with an empty one.
    pub fn join(&self, address: SocketAddr, secret: &[u8]) -> anyhow::Result<Answer> {
        let mut message = self.message();
        message.custom_message = Some(self.wish(secret).to_message());
        self.send(address, &message, &self.chain)
    }

    fn wish(&self, secret: &[u8]) -> enrol::Request {
        enrol::Request {
            secret: secret.to_vec(),
            public_key: self.key.public().as_bytes().to_vec(),
            host_fingerprint: self.fingerprint.clone(),
            host_name: "test".to_owned(),
            group: String::new(),
        }
    }

    /// Registers anew with another key, and has it from then on.
    pub fn rotate_key(&mut self, address: SocketAddr, new: &Arc<AgentKey>) -> anyhow::Result<()> {
        let challenged = self.join(address, &[])?;
        let challenge = challenged.header("mainstay-challenge").context("no challenge")?;
        let challenge = from_text(challenge).context("the challenge is no base64url")?;
        // Signed with the old key, about the new one.
        let mut other = self.clone();
        other.key = Arc::clone(new);
        let mut message = self.message();
        message.custom_message = Some(other.wish(&[]).to_message());
        let answer = self.send(address, &message, &challenge)?;
        ensure!(answer.status == 200, "it may not change its key: {answer:?}");
        self.key = Arc::clone(new);
        self.take_enrolled(&answer)
    }

    /// Registers anew as an agent does: with the challenge that it is answered at first.
    pub fn reregister(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let answer = self.join(address, &[])?;
        let challenge = answer.header("mainstay-challenge").context("there is no challenge")?;
        self.chain = from_text(challenge).context("the challenge is no base64url")?;
        let answer = self.join(address, &[])?;
        ensure!(answer.status == 200, "it may not register anew: {answer:?}");
        self.take_enrolled(&answer)
    }

    /// Goes on from where an enrolment ended.
    pub fn take_enrolled(&mut self, answer: &Answer) -> anyhow::Result<()> {
        let custom = answer.message.custom_message.as_ref().context("nothing was said")?;
        let enrolled = Enrolled::from_message(custom)?.context("it has not joined")?;
        self.sequence = enrolled.next_sequence;
        self.chain = enrolled.chain;
        Ok(())
    }

    /// A request that says nothing new.
    pub fn message(&self) -> AgentToServer {
        AgentToServer {
            instance_uid: self.uid.into(),
            sequence_num: self.sequence,
            capabilities: capability::agent::OURS,
            ..AgentToServer::default()
        }
    }

    /// A request with these events in it.
    pub fn batch(&self, events: Vec<Event>) -> AgentToServer {
        let batch = Batch {
            stream: self.stream.to_vec(),
            first_seq: self.next_event,
            events,
            host_fingerprint: self.fingerprint.clone(),
            dropped: 0,
        };
        AgentToServer { custom_message: Some(batch.to_message()), ..self.message() }
    }

    /// An exchange without events that must be carried out.
    pub fn exchange(&mut self, manager: &Manager) -> anyhow::Result<Told> {
        let message = self.batch(Vec::new());
        self.carry_out(manager.agents, &message)
    }

    /// An exchange that must be carried out; the agent goes on from its answer.
    pub fn carry_out(
        &mut self,
        address: SocketAddr,
        message: &AgentToServer,
    ) -> anyhow::Result<Told> {
        let answer = self.send(address, message, &self.chain)?;
        self.take(answer)
    }

    /// Goes on from an answer.
    pub fn take(&mut self, answer: Answer) -> anyhow::Result<Told> {
        ensure!(answer.status == 200, "it was not carried out: {answer:?}");
        let custom = answer.message.custom_message.as_ref().context("there is no ack")?;
        let ack = Ack::from_message(custom)?.context("there is no ack")?;
        self.sequence += 1;
        self.chain.clone_from(&ack.chain);
        self.next_event = self.next_event.max(ack.durable_through + 1);
        Ok(Told { message: answer.message, ack })
    }

    /// Signs a request and sends it.
    pub fn send(
        &self,
        address: SocketAddr,
        message: &AgentToServer,
        token: &[u8],
    ) -> anyhow::Result<Answer> {
        let body = wire::encode(message);
        let (content_digest, uid) = (digest::content(&body), self.uid.to_string());
        let covered = Covered {
            method: "POST",
            path: PATH,
            content_digest: &content_digest,
            instance_uid: &uid,
        };
        let nonce = to_text(token);
        let nonce = (!token.is_empty()).then_some(nonce.as_str());
        // Ten years off: nothing may depend on it.
        let signed = signature::sign(&self.key, &covered, nonce, 1_000_000_000)?;
        self.post(
            address,
            &[
                (INSTANCE_UID_HEADER, &uid),
                ("content-digest", &content_digest),
                (SIGNATURE_INPUT, &signed.signature_input),
                (SIGNATURE, &signed.signature),
            ],
            &body,
        )
    }

    /// Sends a body with these headers.
    pub fn post(
        &self,
        address: SocketAddr,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut request = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {CONTENT_TYPE}\r\n\
             content-length: {}\r\nconnection: close\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        read_answer(&self.round_trip(address, &bytes)?)
    }

    /// Sends bytes over a new connection and reads to its end.
    pub fn round_trip(&self, address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut answer = Vec::new();
        match &self.tls {
            None => {
                socket.write_all(bytes)?;
                socket.read_to_end(&mut answer)?;
            }
            Some(tls) => {
                let name = ServerName::from(address.ip());
                let tls = ClientConnection::new(Arc::clone(tls), name)?;
                let mut stream = StreamOwned::new(tls, socket);
                stream.write_all(bytes)?;
                stream.read_to_end(&mut answer)?;
            }
        }
        Ok(answer)
    }
}

fn read_answer(bytes: &[u8]) -> anyhow::Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.context("the answer has no end of its head")?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let is_message =
        headers.iter().any(|(name, value)| name == "content-type" && value == CONTENT_TYPE);
    if headers.iter().any(|(name, _)| name == "transfer-encoding") {
        bail!("the answer has no length");
    }
    let message =
        if is_message { wire::decode_answer(&bytes[end + 4..])? } else { ServerToAgent::default() };
    Ok(Answer { status: status.parse()?, headers, message })
}
