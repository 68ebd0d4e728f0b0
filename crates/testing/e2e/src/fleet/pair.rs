//! Two managers on one database, at addresses that they keep.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

use super::{AgentProcess, Fleet, Manager, Records};

/// Two managers on one database, at addresses that they keep, and a token for agents of both.
#[derive(Debug)]
pub struct Pair {
    pub first: Fleet,
    pub second: Fleet,
    pub addresses: [SocketAddr; 2],
    pub token: String,
}

/// An address at which nobody listens, and that nobody is given meanwhile: connections come from
/// 127.0.0.1, and every process of a test has a loopback address of its own.
fn free() -> anyhow::Result<SocketAddr> {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 + high % 64, middle, low);
    Ok(TcpListener::bind((own, 0))?.local_addr()?)
}

impl Pair {
    /// Makes both; agents ask every second. None serves yet.
    pub fn make() -> anyhow::Result<Self> {
        let addresses = [free()?, free()?];
        let [one, two] = addresses.map(|address| address.to_string());
        let first = Fleet::init(&["--manager", &one, "--manager", &two])?;
        first.edit("agents", "poll = \"1s\"")?;
        let bundle = first.root().join("bundle");
        first.command(&["bundle", "export", &bundle.display().to_string()])?;
        let second = Fleet::import(&bundle)?;
        for (fleet, address) in [&first, &second].into_iter().zip(addresses) {
            fleet.listen_at(address)?;
        }
        let token = first.token(&["--uses", "0"])?;
        Ok(Self { first, second, addresses, token })
    }

    /// Puts lines into a section of the settings of both.
    pub fn edit(&self, section: &str, lines: &str) -> anyhow::Result<()> {
        self.first.edit(section, lines)?;
        self.second.edit(section, lines)
    }

    /// Starts both.
    pub fn serve(&self) -> anyhow::Result<(Manager, Manager)> {
        Ok((self.first.serve()?, self.second.serve()?))
    }

    /// An agent that has joined and does not run.
    pub fn enroll(&self) -> anyhow::Result<AgentProcess> {
        AgentProcess::enroll(&self.first.root().join("agent"), &self.token)
    }

    /// Settings of an agent with the managers in this order.
    pub fn settings(&self, order: &[usize], more: &str) -> String {
        let list: Vec<String> =
            order.iter().map(|place| format!("\"{}\"", self.url(*place))).collect();
        format!("managers = [{}]\n{more}", list.join(", "))
    }

    /// Where agents find one of them.
    pub fn url(&self, place: usize) -> String {
        self.addresses.get(place).map(|at| format!("https://{at}")).unwrap_or_default()
    }

    /// How many events of each kind the one agent has sent: each once, in order, without a gap.
    pub fn numbers(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let events = Records::of(&self.first)?.events()?;
        for (index, event) in events.iter().enumerate() {
            let (_, number) = event.origin.context("a number")?;
            assert_eq!(number, index as u64 + 1, "{events:?}");
        }
        let mut kinds = BTreeMap::new();
        for event in events {
            *kinds.entry(event.kind).or_default() += 1;
        }
        Ok(kinds)
    }
}
