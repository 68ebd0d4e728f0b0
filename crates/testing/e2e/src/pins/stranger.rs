//! A manager that is none: it shows a certificate, signs with whatever key it has, and writes down
//! what it can read of who comes.

use std::fmt;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mainstay_trust::certificate::{Identity, RsaKeys};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::managers::Managers;
use crate::fleet::{Agent, AgentProcess};

/// How long it waits for somebody to say something.
const PATIENCE: Duration = Duration::from_secs(5);

/// What it shows, and what it signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A certificate and a key of its own.
    Another,
    /// The managers' certificate, and a key of its own.
    WrongKey,
    /// Both are the managers': it is one. Without this nobody knows that it can hear at all.
    Both,
}

impl Shown {
    const ALL: [Self; 3] = [Self::Another, Self::WrongKey, Self::Both];

    const fn name(self) -> &'static str {
        match self {
            Self::Another => "another certificate",
            Self::WrongKey => "the managers' certificate and another key",
            Self::Both => "the managers' certificate and its key, to compare",
        }
    }
}

/// The one version of TLS that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

impl Version {
    const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    const fn get(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

#[derive(Debug, Default)]
struct Heard {
    connections: AtomicU64,
    /// Inside of TLS.
    bytes: AtomicU64,
    over: AtomicBool,
}

/// It serves until it is dropped.
#[derive(Debug)]
pub struct Stranger {
    pub address: SocketAddr,
    heard: Arc<Heard>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// `managers` is their certificate and key, as PEM.
    pub fn serve(managers: &str, shown: Shown, version: Version) -> anyhow::Result<Self> {
        let config = config(managers, shown, version)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Heard::default());
        let shared = Arc::clone(&heard);
        let thread = thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                hear(&config, socket, &shared.bytes);
            }
        });
        Ok(Self { address, heard, thread: Some(thread) })
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.heard.connections.load(Ordering::SeqCst)
    }

    /// Bytes that it could read so far.
    pub fn bytes(&self) -> u64 {
        self.heard.bytes.load(Ordering::SeqCst)
    }

    /// When everybody who came has been heard to the end: connections, and bytes.
    fn end(mut self) -> (u64, u64) {
        self.finish();
        (self.connections(), self.bytes())
    }

    fn finish(&mut self) {
        self.heard.over.store(true, Ordering::SeqCst);
        // So that it looks; if it cannot be reached it is gone.
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.finish();
    }
}

fn config(managers: &str, shown: Shown, version: Version) -> anyhow::Result<Arc<ServerConfig>> {
    let theirs = Identity::from_pem(managers.as_bytes(), RsaKeys::Refused)?;
    let own = Identity::generate("mainstay", &[], 0)?;
    let (certificate, key) = match shown {
        Shown::Another => (&own, own.to_pem()),
        Shown::WrongKey => (&theirs, own.to_pem()),
        Shown::Both => (&theirs, managers.to_owned()),
    };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let key = aws_lc_rs::sign::any_supported_type(&key)?;
    // Whether the two belong together nobody asks here.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version.get()])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(Arc::new(config))
}

/// Reads what there is to read; answers nothing.
fn hear(config: &Arc<ServerConfig>, socket: TcpStream, bytes: &AtomicU64) {
    let Ok(connection) = ServerConnection::new(Arc::clone(config)) else { return };
    if socket.set_read_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    let mut stream = StreamOwned::new(connection, socket);
    let mut some = [0; 4096];
    // One piece is enough to know. An error is the agent's refusal, or its silence.
    if let Ok(count) = stream.read(&mut some) {
        bytes.fetch_add(count as u64, Ordering::SeqCst);
    }
}

/// What one of them heard.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub shown: Shown,
    pub version: Version,
    pub connections: u64,
    pub bytes: u64,
}

/// What all of them heard.
#[derive(Clone, Debug)]
pub struct Strangers(pub Vec<Row>);

/// Has agents of both kinds come to each kind of stranger, and returns what was heard.
pub fn observe() -> anyhow::Result<Strangers> {
    let managers = Managers::serve()?;
    let [first, _] = managers.both();
    let identity = managers.identity()?;
    let agent = Agent::enroll_at(&managers.token, first)?;
    let mut process = AgentProcess::enroll(&managers.directory("agent"), &managers.token)?;
    let mut rows = Vec::new();
    for shown in Shown::ALL {
        for version in Version::ALL {
            let stranger = Stranger::serve(&identity, shown, version)?;
            // It answers nothing, so it is an error in any case.
            let sent = agent.send(stranger.address, &agent.batch(Vec::new()), &agent.chain);
            ensure!(sent.is_err(), "a stranger answered: {sent:?}");
            visit(&mut process, stranger.address, first)?;
            let (connections, bytes) = stranger.end();
            rows.push(Row { shown, version, connections, bytes });
        }
    }
    Ok(Strangers(rows))
}

/// A process that has the stranger first in its list, until a real manager serves it.
fn visit(
    process: &mut AgentProcess,
    stranger: SocketAddr,
    manager: SocketAddr,
) -> anyhow::Result<()> {
    let list = [stranger, manager].map(|address| format!("\"https://{address}\""));
    process.configure(&format!("managers = [{}]\n", list.join(", ")))?;
    process.run()?;
    let real = format!("https://{manager}");
    let served = |status: &serde_json::Value| {
        status["current"] == real.as_str()
            && status["last_exchange_unix"].is_u64()
            && status["queued"] == 0
    };
    process.wait_for("an exchange with the real manager", served).context("after a stranger")?;
    process.stop()
}

impl Strangers {
    /// An error if one heard what it should not, or could not hear at all.
    pub fn verdict(&self) -> anyhow::Result<()> {
        for Row { shown, version, connections, bytes } in &self.0 {
            ensure!(*connections >= 2, "{connections} came to {shown:?}, {version:?}");
            match shown {
                Shown::Another | Shown::WrongKey => {
                    ensure!(*bytes == 0, "{shown:?}, {version:?} read {bytes} bytes");
                }
                Shown::Both => ensure!(*bytes > 0, "nobody said anything over {version:?}"),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| a manager shows | TLS | connections | bytes of agents that it read |")?;
        writeln!(f, "| --- | --- | ---: | ---: |")?;
        for Row { shown, version, connections, bytes } in &self.0 {
            let version = match version {
                Version::Tls12 => "1.2",
                Version::Tls13 => "1.3",
            };
            writeln!(f, "| {} | {version} | {connections} | {bytes} |", shown.name())?;
        }
        Ok(())
    }
}
