//! What a gateway under test is told: its two configuration files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::Origin;

/// How connections reach the active worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accept {
    Active,
    Master,
}

impl Accept {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Active, Self::Master];

    /// As gateway.toml says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Master => "master",
        }
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Tcp,
}

/// Something that can be on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

/// A value of a configuration file.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Section and key, and their value.
type Settings = BTreeMap<(&'static str, &'static str), Value>;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workers {
    Pair,
    /// The process at index 0.
    None,
}

/// A gateway before it is started.
#[derive(Clone, Debug)]
pub struct Setup {
    http_server: SocketAddr,
    tcp_servers: Vec<SocketAddr>,
    listeners: Vec<(String, Accept, Protocol)>,
    pub(super) workers: Workers,
    threads: u32,
    /// Hundredths of the machine's memory for each worker.
    memory: u8,
    /// Whether paths need a session, all but a few.
    sessions: Switch,
    pub(super) core_dumps: Switch,
    host: Settings,
    gateway: Settings,
}

impl Setup {
    /// A pair in front of `origin`, with the listeners `web` and `tunnel` of one way.
    pub fn pair(origin: &Origin, accept: Accept) -> Self {
        Self::bare(origin).with_listener("web", accept, Protocol::Http).with_listener(
            "tunnel",
            accept,
            Protocol::Tcp,
        )
    }

    /// A pair in front of `origin`, with two listeners for each of `accepts`: `web-active`,
    /// `tunnel-active`, `web-master`, `tunnel-master`.
    pub fn pair_with_all(origin: &Origin, accepts: &[Accept]) -> Self {
        accepts.iter().fold(Self::bare(origin), |setup, accept| {
            let name = accept.name();
            setup.with_listener(&format!("web-{name}"), *accept, Protocol::Http).with_listener(
                &format!("tunnel-{name}"),
                *accept,
                Protocol::Tcp,
            )
        })
    }

    fn bare(origin: &Origin) -> Self {
        let setup = Self {
            http_server: origin.http(),
            tcp_servers: vec![origin.tcp()],
            listeners: Vec::new(),
            workers: Workers::Pair,
            threads: 1,
            memory: 25,
            sessions: Switch::Off,
            core_dumps: Switch::Off,
            host: Settings::new(),
            gateway: Settings::new(),
        };
        // Tests kill much more often than life does, and must not wait for the back-off; and
        // what a client sees close must never be a mere timeout.
        setup
            .with_host("restart", "delay_max", "100ms")
            .with_host("pair", "hang_timeout", "500ms")
            // Gateways of several tests run at a time.
            .with_host("broadcast", "command", "unix")
            .with_host("broadcast", "session", "unix")
            .with_gateway("apply", "confirm", "100ms")
            .with_gateway("timeouts", "keepalive", "1h")
            .with_gateway("timeouts", "upstream_idle", "1h")
    }

    /// The same as one process, without a pair.
    #[must_use]
    pub fn as_one_process(mut self) -> Self {
        self.workers = Workers::None;
        self.with_host("ha", "enabled", false)
    }

    /// The same with another share of memory for each worker.
    #[must_use]
    pub const fn with_memory(mut self, percent: u8) -> Self {
        self.memory = percent;
        self
    }

    /// The same with another listener.
    #[must_use]
    pub fn with_listener(mut self, name: &str, accept: Accept, protocol: Protocol) -> Self {
        self.listeners.push((name.to_owned(), accept, protocol));
        self
    }

    /// The same for those who are logged in: only `/status` and `/echo` are open to all.
    #[must_use]
    pub fn with_sessions(mut self) -> Self {
        self.sessions = Switch::On;
        self.with_gateway("session", "cookie", "sid").with_gateway("session", "login", "/status")
    }

    /// The same with another server for HTTP.
    #[must_use]
    pub const fn with_http_server(mut self, server: SocketAddr) -> Self {
        self.http_server = server;
        self
    }

    /// The same with other servers for what is not HTTP.
    #[must_use]
    pub fn with_tcp_servers(mut self, servers: &[SocketAddr]) -> Self {
        servers.clone_into(&mut self.tcp_servers);
        self
    }

    /// The same with so many threads in each worker.
    #[must_use]
    pub const fn with_threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    /// The same with core dumps of workers and master.
    #[must_use]
    pub const fn with_core_dumps(mut self) -> Self {
        self.core_dumps = Switch::On;
        self
    }

    /// The same with a key of a section of host.toml.
    #[must_use]
    pub fn with_host(
        mut self,
        section: &'static str,
        key: &'static str,
        value: impl Into<Value>,
    ) -> Self {
        self.host.insert((section, key), value.into());
        self
    }

    /// The same with a key of a section of gateway.toml.
    #[must_use]
    pub fn with_gateway(
        mut self,
        section: &'static str,
        key: &'static str,
        value: impl Into<Value>,
    ) -> Self {
        self.gateway.insert((section, key), value.into());
        self
    }

    /// Chooses free ports, one for each listener.
    pub(super) fn choose_ports(&self) -> std::io::Result<BTreeMap<String, SocketAddr>> {
        // All are bound before the first is let go, so no two are the same.
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let bound: Vec<TcpListener> = self.listeners.iter().map(bind).collect::<Result<_, _>>()?;
        let names = self.listeners.iter().map(|listener| listener.0.clone());
        names.zip(&bound).map(|(name, bound)| Ok((name, bound.local_addr()?))).collect()
    }

    /// host.toml, for a gateway that lives in `dir`.
    pub(super) fn host_toml(&self, dir: &Path) -> String {
        let (dir, threads) = (dir.display(), self.threads);
        let mut text = format!(
            "state = \"{dir}/state\"\nrun = \"{dir}/run\"\ngateway = \"{dir}/gateway.toml\"\n"
        );
        for _ in 0..2 {
            let memory = self.memory;
            write!(text, "\n[[worker]]\nmemory = \"{memory}%\"\nthreads = {threads}\n").unwrap();
        }
        text + &sections(&self.host)
    }

    /// gateway.toml, with listeners at `addresses`.
    pub(super) fn gateway_toml(&self, addresses: &BTreeMap<String, SocketAddr>) -> String {
        let mut text = String::new();
        let http = self.http_server;
        let tcp: Vec<String> = self.tcp_servers.iter().map(|one| format!("\"{one}\"")).collect();
        let tcp = tcp.join(", ");
        write!(text, "[[upstream]]\nname = \"web\"\nservers = [\"{http}\"]\n").unwrap();
        write!(text, "\n[[upstream]]\nname = \"raw\"\nservers = [{tcp}]\n").unwrap();
        let mut web = Vec::new();
        for (name, accept, protocol) in &self.listeners {
            let (address, accept) = (addresses[name], accept.name());
            write!(
                text,
                "\n[[listener]]\nname = \"{name}\"\naddress = \"{address}\"\naccept = \"{accept}\"\n"
            )
            .unwrap();
            match protocol {
                Protocol::Http => web.push(format!("{name:?}")),
                Protocol::Tcp => write!(
                    text,
                    "\n[[tcp]]\nname = \"{name}\"\nlistener = \"{name}\"\nupstream = \"raw\"\n"
                )
                .unwrap(),
            }
        }
        if !web.is_empty() {
            let listeners = web.join(", ");
            write!(
                text,
                "\n[[service]]\nname = \"web\"\nlisteners = [{listeners}]\nhosts = [\"*\"]\n\
                 \n[[service.route]]\npath = \"/\"\nupstream = \"web\"\n"
            )
            .unwrap();
            if self.sessions == Switch::On {
                text += "access = \"session\"\n";
                for open in ["/status", "/echo"] {
                    write!(text, "\n[[service.route]]\npath = {open:?}\nupstream = \"web\"\n")
                        .unwrap();
                }
            }
        }
        text + &sections(&self.gateway)
    }
}

fn sections(settings: &Settings) -> String {
    let (mut text, mut last) = (String::new(), "");
    for ((section, key), value) in settings {
        if *section != last {
            write!(text, "\n[{section}]\n").unwrap();
            last = section;
        }
        match value {
            Value::Text(value) => writeln!(text, "{key} = {value:?}").unwrap(),
            Value::Flag(value) => writeln!(text, "{key} = {value}").unwrap(),
            Value::Number(value) => writeln!(text, "{key} = {value}").unwrap(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_with_both_ways_is_written_out() {
        let origin = Origin::start().unwrap();
        let setup =
            Setup::pair_with_all(&origin, &Accept::ALL).with_host("pair", "adoption", "off");
        let addresses = setup.choose_ports().unwrap();
        let gateway = setup.gateway_toml(&addresses);
        assert!(gateway.contains("listeners = [\"web-active\", \"web-master\"]"), "{gateway}");
        assert_eq!(gateway.matches("[[tcp]]").count(), 2, "{gateway}");
        let host = setup.host_toml(Path::new("/x"));
        assert!(host.contains("[pair]\nadoption = \"off\"\nhang_timeout = \"500ms\""), "{host}");
    }
}
