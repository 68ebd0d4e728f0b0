//! Hosts of their own and cables between them, made of the kernel's network namespaces.
//!
//! A [`Host`] is a namespace, a [`Network`] is a bridge in a further one with a cable to each of
//! its hosts. A cable that is pulled makes a black hole: nobody is told that packets go nowhere,
//! because everybody knows everybody's hardware address for good. All of it goes when the values go
//! and the processes in it have ended.
//!
//! # Invariants
//!
//! 1. A thread is in another namespace only inside of [`Host::within`].
//! 2. No name and no address exists outside of these namespaces, so runs do not meet.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{children, wait};

/// How long making a namespace may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A host: processes that are started inside of it have its addresses and no others.
#[derive(Debug)]
pub struct Host {
    namespace: File,
}

impl Host {
    /// A host with nothing but a loopback interface.
    pub fn new() -> anyhow::Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        let maker = children::spawn(&mut command).context("cannot make a network namespace")?;
        let path = format!("/proc/{}/ns/net", maker.process().pid());
        let own = fs::read_link("/proc/self/ns/net")?;
        // Whoever has it open keeps it, so its maker is needed no longer.
        let made = wait::until("a network namespace of its own", DEADLINE, || {
            let other = fs::read_link(&path).ok()?;
            (other != own).then(|| File::open(&path).ok()).flatten()
        });
        maker.process().signal(Signal::KILL)?;
        maker.wait(DEADLINE).context("the maker of a namespace does not end")?;
        let host = Self { namespace: made.context("are you root?")? };
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// Does `work` inside: what it starts and opens belongs to this host.
    pub fn within<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let before = File::open("/proc/thread-self/ns/net")?;
        enter(&self.namespace)?;
        let done = work();
        enter(&before)?;
        done
    }

    fn ip(&self, words: &str) -> anyhow::Result<()> {
        self.within(|| {
            let output = Command::new("ip").args(words.split(' ')).output()?;
            ensure!(
                output.status.success(),
                "ip {words}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(())
        })
    }
}

fn enter(namespace: &File) -> anyhow::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("cannot enter a network namespace")
}

/// Hosts that reach each other.
#[derive(Debug)]
pub struct Network {
    bridge: Host,
    name: &'static str,
    number: u8,
}

/// Whether a cable is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    In,
    Out,
}

impl Network {
    /// A network without hosts. `name` is what its interface is called on each of them; its
    /// addresses are 10.77.`number`.0/24.
    pub fn new(name: &'static str, number: u8) -> anyhow::Result<Self> {
        let bridge = Host::new()?;
        bridge.ip("link add bridge type bridge")?;
        bridge.ip("link set bridge up")?;
        Ok(Self { bridge, name, number })
    }

    /// The address of a host.
    pub const fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, host)
    }

    /// Connects hosts, each with the last number of its address, and tells each of the others.
    pub fn connect(&self, hosts: &[(&Host, u8)]) -> anyhow::Result<()> {
        for (host, number) in hosts {
            let (name, hardware) = (self.name, self.hardware(*number));
            // Of this process: a number of a descriptor is a file there.
            let inside = format!("/proc/{}/fd/{}", std::process::id(), host.namespace.as_raw_fd());
            self.bridge.ip(&format!(
                "link add to{number} type veth peer name {name} address {hardware} netns {inside}"
            ))?;
            self.bridge.ip(&format!("link set to{number} master bridge up"))?;
            host.ip(&format!("address add {}/24 dev {name}", self.address(*number)))?;
            host.ip(&format!("link set {name} up"))?;
            for (_, other) in hosts.iter().filter(|(_, other)| other != number) {
                let (address, hardware) = (self.address(*other), self.hardware(*other));
                host.ip(&format!(
                    "neighbour replace {address} lladdr {hardware} dev {name} nud permanent"
                ))?;
            }
        }
        Ok(())
    }

    /// Pulls the cable of a host, or plugs it in again.
    pub fn set(&self, host: u8, cable: Cable) -> anyhow::Result<()> {
        let state = match cable {
            Cable::In => "up",
            Cable::Out => "down",
        };
        self.bridge.ip(&format!("link set to{host} {state}"))
    }

    fn hardware(&self, host: u8) -> String {
        format!("02:00:00:00:{:02x}:{host:02x}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_pulled_cable_is_a_black_hole() -> anyhow::Result<()> {
        let network = Network::new("wire", 1)?;
        let (one, two) = (Host::new()?, Host::new()?);
        network.connect(&[(&one, 1), (&two, 2)])?;
        let address = (network.address(2), 80).into();
        let listener = two.within(|| Ok(TcpListener::bind(address)?))?;
        let limit = Duration::from_millis(300);
        let reach = || one.within(|| Ok(TcpStream::connect_timeout(&address, limit)?));
        reach()?;
        network.set(2, Cable::Out)?;
        let error = reach().unwrap_err().downcast::<std::io::Error>()?;
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        network.set(2, Cable::In)?;
        wait::until("the cable to be in again", DEADLINE, || reach().ok())?;
        drop(listener);
        assert!(TcpListener::bind(address).is_err(), "it is not this host's");
        Ok(())
    }
}
