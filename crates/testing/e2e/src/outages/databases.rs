//! A database on two hosts: a primary, and a standby that has every commit that was answered.

use std::time::Duration;

use anyhow::Context as _;
use mainstay_postgres::Server;

use crate::network::{Host, Network};
use crate::wait;

/// The last numbers of their addresses.
pub(super) const NUMBERS: [u8; 2] = [21, 22];

/// How long a standby may take to have everything.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Databases {
    hosts: [Host; 2],
    listen: [String; 2],
    servers: [Option<Server>; 2],
    primary: usize,
}

impl Databases {
    /// A primary and its standby, on hosts that have to be connected already.
    pub(super) fn start(hosts: [Host; 2], network: &Network) -> anyhow::Result<Self> {
        let listen = NUMBERS.map(|number| format!("listen_addresses={}", network.address(number)));
        let mut databases = Self { hosts, listen, servers: [None, None], primary: 0 };
        let [host, _] = &databases.hosts;
        let [listen, _] = &databases.listen;
        let server = host.within(|| Ok(Server::with(&[listen])))?;
        databases.servers = [Some(server), None];
        databases.follow()?;
        Ok(databases)
    }

    /// Where managers find it, whichever takes writes.
    pub(super) fn location(network: &Network) -> String {
        let [one, two] = NUMBERS.map(|number| network.address(number));
        format!("postgres://postgres@{one},{two}/postgres")
    }

    /// The one that takes writes, or took them last.
    pub(super) fn primary(&self) -> anyhow::Result<&Server> {
        self.servers.get(self.primary).and_then(Option::as_ref).context("there is no primary")
    }

    const fn other(&self) -> usize {
        1 - self.primary
    }

    /// The primary is gone, and what it had with it.
    pub(super) fn kill_primary(&mut self) -> anyhow::Result<()> {
        let slot = self.servers.get_mut(self.primary).context("two servers")?;
        let mut server = slot.take().context("there is no primary")?;
        server.kill();
        Ok(())
    }

    /// The standby takes writes from here on, and waits for no other until there is one.
    pub(super) fn promote(&mut self) -> anyhow::Result<()> {
        self.primary = self.other();
        let server = self.primary()?;
        server.promote();
        wait_for(server, &[])
    }

    /// The other host has a standby, and no commit is answered that it does not have.
    pub(super) fn follow(&mut self) -> anyhow::Result<()> {
        let other = self.other();
        let (host, listen) = self.hosts.get(other).zip(self.listen.get(other)).context("two")?;
        let primary = self.primary()?;
        let standby = host.within(|| Ok(Server::standby(primary, &[listen])))?;
        wait_for(primary, &["standby"])?;
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        wait::until("a standby that has everything", DEADLINE, || {
            (primary.ask(synchronous) == "1").then_some(())
        })?;
        *self.servers.get_mut(other).context("two")? = Some(standby);
        Ok(())
    }
}

/// Has commits wait for these standbys.
fn wait_for(server: &Server, standbys: &[&str]) -> anyhow::Result<()> {
    let names = standbys.join(",");
    server.ask(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
    server.ask("SELECT pg_reload_conf()");
    wait::until("the server to have its settings", DEADLINE, || {
        (server.ask("SHOW synchronous_standby_names") == names).then_some(())
    })?;
    Ok(())
}
