//! What stands before several servers and gives each connection to one of them, byte for byte: a
//! gateway of ours with a TCP service, and HAProxy.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::children::{self, Child};
use crate::gateway::{Accept, DEADLINE, Protocol};
use crate::socket::free_addresses;
use crate::torture::Peer;
use crate::wait;
use crate::{Gateway, Origin, Setup};

/// The gateway's listener.
const LISTENER: &str = "balanced";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mainstay,
    Haproxy,
}

/// A balancer that runs. Ends with its value.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    _running: Running,
}

#[derive(Debug)]
enum Running {
    Mainstay { _gateway: Gateway },
    Haproxy { _haproxy: Haproxy },
}

impl Balancer {
    /// Starts it in front of `servers`, which need not be there yet. It gives one connection to
    /// each in turn, and to the next one if one cannot be reached.
    pub fn start(kind: Kind, origin: &Origin, servers: &[SocketAddr]) -> anyhow::Result<Self> {
        match kind {
            Kind::Mainstay => {
                let setup = Setup::pair(origin, Accept::Active)
                    .with_listener(LISTENER, Accept::Active, Protocol::Tcp)
                    .with_tcp_servers(servers);
                let gateway = Gateway::start(&setup)?;
                let address = gateway.address(LISTENER);
                Ok(Self { address, _running: Running::Mainstay { _gateway: gateway } })
            }
            Kind::Haproxy => {
                let (haproxy, address) = Haproxy::start(servers)?;
                Ok(Self { address, _running: Running::Haproxy { _haproxy: haproxy } })
            }
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Debug)]
struct Haproxy {
    child: Child,
    _dir: TempDir,
}

impl Haproxy {
    fn start(servers: &[SocketAddr]) -> anyhow::Result<(Self, SocketAddr)> {
        let program = Peer::Haproxy.program().context("HAProxy is not installed")?;
        let dir = tempfile::tempdir()?;
        let [address] = free_addresses()?;
        let (conf, log) = (dir.path().join("conf"), dir.path().join("log"));
        fs::write(&conf, configuration(address, servers))?;
        let output = File::create(&log)?;
        let mut command = Command::new(program);
        command.args(["-db", "-f"]).arg(&conf).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let haproxy = Self { child: children::spawn(&mut command)?, _dir: dir };
        let listens = wait::until("HAProxy to listen", DEADLINE, || {
            let is_over = haproxy.child.process().ends_within(std::time::Duration::ZERO);
            (is_over || is_bound(address)).then_some(!is_over)
        });
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(listens.with_context(said)?, "HAProxy ended: {}", said());
        Ok((haproxy, address))
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.child.process().signal(Signal::KILL).ok();
        self.child.wait(DEADLINE);
    }
}

/// Whether somebody listens there.
fn is_bound(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// A server that refuses is left for the next one at once, and is not asked until its check
/// succeeds again.
fn configuration(address: SocketAddr, servers: &[SocketAddr]) -> String {
    let mut text = format!(
        "global\n  maxconn 4096\n\
         defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1m\n  timeout server 1m\n  \
         retries 3\n  option redispatch 1\n\
         listen balanced\n  bind {address}\n  balance roundrobin\n"
    );
    for (number, server) in servers.iter().enumerate() {
        text += &format!("  server s{number} {server} check inter 200ms fall 1 rise 1\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// Servers that say their number and end.
    fn servers(count: u8) -> anyhow::Result<Vec<SocketAddr>> {
        (0..count)
            .map(|number| {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let address = listener.local_addr()?;
                thread::spawn(move || {
                    for stream in listener.incoming().flatten() {
                        // A check says nothing and waits for nothing.
                        std::io::Write::write_all(&mut &stream, &[number]).ok();
                    }
                });
                Ok(address)
            })
            .collect()
    }

    #[test]
    fn connections_go_to_each_server_and_past_one_that_is_away() -> anyhow::Result<()> {
        let origin = Origin::start()?;
        let mut servers = servers(2)?;
        let [away] = free_addresses()?;
        servers.push(away);
        for kind in [Kind::Mainstay, Kind::Haproxy] {
            let balancer = Balancer::start(kind, &origin, &servers)?;
            let mut heard = [0; 2];
            for _ in 0..12 {
                let mut said = Vec::new();
                TcpStream::connect(balancer.address())?.read_to_end(&mut said)?;
                let [number] = said[..] else { panic!("{kind:?}: {said:?}") };
                heard[usize::from(number)] += 1;
            }
            assert!(heard.iter().all(|count| *count >= 3), "{kind:?}: {heard:?}");
        }
        Ok(())
    }
}
