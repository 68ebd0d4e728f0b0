//! The processes of the gateway, as they connect, speak and die.

use std::os::fd::BorrowedFd;

use anyhow::Context as _;
use mainstay_command::Event;
use mainstay_message::{receive, send};
use mainstay_model::{Chain, Process, Timestamp};
use mainstay_os::{Channel, Pidfd, now};
use mainstay_session::Member;
use mainstay_wire::broadcast::{ToBroadcast, ToPeer};
use mainstay_wire::frame::WIRE_VERSION;
use tracing::{info, warn};

use crate::token::Token;
use crate::turn::Broadcast;

/// How long a process may take to say Hello.
const HELLO_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Most connections at `broadcast.sock`: every process twice, and a few that should not be.
const PEERS_MAX: usize = 16;

/// Everyone who is connected.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    all: Vec<Peer>,
    seen: u32,
}

#[derive(Debug)]
struct Peer {
    number: u32,
    channel: Channel,
    pidfd: Pidfd,
    pid: u32,
    standing: Standing,
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not said Hello.
    Guest {
        until: Timestamp,
    },
    Known(Process),
}

impl Peers {
    fn position(&self, number: u32) -> Option<usize> {
        self.all.iter().position(|peer| peer.number == number)
    }

    /// Whether this process is connected.
    pub(crate) fn has(&self, process: Process) -> bool {
        self.known(process).is_some()
    }

    fn known(&self, process: Process) -> Option<&Peer> {
        self.all.iter().find(|peer| peer.standing == Standing::Known(process))
    }

    /// Those who did not say Hello in time.
    fn overdue(&self, now: Timestamp) -> Vec<u32> {
        let is_overdue =
            |peer: &&Peer| matches!(peer.standing, Standing::Guest { until } if until <= now);
        self.all.iter().filter(is_overdue).map(|peer| peer.number).collect()
    }
}

impl Broadcast {
    /// Lets in whoever is at the door of the processes.
    pub(crate) fn let_peers_in(&mut self) -> anyhow::Result<()> {
        while let Some(channel) = self.door.accept().context("cannot accept a process")? {
            if self.peers.all.len() >= PEERS_MAX {
                warn!("too many connections at broadcast.sock, one was closed");
                continue;
            }
            let pid = channel.peer_pid().context("cannot tell who is at broadcast.sock")?;
            // Gone already: another comes.
            let Ok(pidfd) = Pidfd::open(pid) else { continue };
            self.peers.seen = self.peers.seen.wrapping_add(1);
            let number = self.peers.seen;
            self.watch(&channel, Token::Peer(number))?;
            self.watch(&pidfd, Token::PeerEnd(number))?;
            let standing = Standing::Guest { until: now() + HELLO_LIMIT };
            self.peers.all.push(Peer { number, channel, pidfd, pid, standing });
        }
        Ok(())
    }

    /// Reads all that a process has said.
    pub(crate) fn hear_peer(&mut self, number: u32) -> anyhow::Result<()> {
        loop {
            // Each time anew: what it says may be its end.
            let Some(at) = self.peers.position(number) else { return Ok(()) };
            let Some(peer) = self.peers.all.get(at) else { return Ok(()) };
            match receive::<ToBroadcast>(&peer.channel) {
                Ok(None) => return Ok(()),
                Ok(Some((message, _))) => self.on_message(number, message)?,
                Err(error) => {
                    let pid = peer.pid;
                    info!(pid, error = %Chain(&error), "channel of a process ended");
                    return self.lose(number);
                }
            }
        }
    }

    /// Looks whether a process is dead, having heard what it said before.
    pub(crate) fn bury_if_dead(&mut self, number: u32) -> anyhow::Result<()> {
        self.hear_peer(number)?;
        let Some(at) = self.peers.position(number) else { return Ok(()) };
        let Some(peer) = self.peers.all.get(at) else { return Ok(()) };
        if peer.pidfd.has_exited().context("cannot look at a process")? {
            self.lose(number)?;
        }
        Ok(())
    }

    /// Lets go of who did not say Hello in time.
    pub(crate) fn expire_peers(&mut self, now: Timestamp) -> anyhow::Result<()> {
        for number in self.peers.overdue(now) {
            warn!("connection at broadcast.sock said nothing, it is closed");
            self.lose(number)?;
        }
        Ok(())
    }

    fn on_message(&mut self, number: u32, message: ToBroadcast) -> anyhow::Result<()> {
        let Some(at) = self.peers.position(number) else { return Ok(()) };
        let Some(peer) = self.peers.all.get(at) else { return Ok(()) };
        match (peer.standing, message) {
            (Standing::Guest { .. }, ToBroadcast::Hello { wire, process, pid }) => {
                self.greet(number, wire, process, pid)
            }
            (Standing::Guest { .. }, _) | (Standing::Known(_), ToBroadcast::Hello { .. }) => {
                warn!(
                    pid = peer.pid,
                    "process does not keep to the protocol, its channel is closed"
                );
                self.lose(number)
            }
            (Standing::Known(Process::Worker(slot)), ToBroadcast::Serves { generation }) => {
                self.step(Event::Serves(slot, generation))
            }
            (Standing::Known(Process::Master), ToBroadcast::Decided { active, current }) => {
                self.step(Event::Decided { active, current })
            }
            (Standing::Known(process), ToBroadcast::Sessions(said)) => {
                self.hear_replica(Member { process, pid: peer.pid }, said)
            }
            (Standing::Known(process), ToBroadcast::Answered { number, answer }) => {
                self.step(Event::Answered { process, number, answer })
            }
            (Standing::Known(Process::Master), ToBroadcast::Chain { order }) => {
                self.master_wants(order)
            }
            (Standing::Known(Process::Master), ToBroadcast::Settled { ticket, answer }) => {
                self.settle(ticket, &answer);
                Ok(())
            }
            (Standing::Known(process), _) => {
                warn!(%process, "message is not for it to send, it is ignored");
                Ok(())
            }
        }
    }

    fn greet(&mut self, number: u32, wire: u32, process: Process, pid: u32) -> anyhow::Result<()> {
        let Some(at) = self.peers.position(number) else { return Ok(()) };
        let Some(peer) = self.peers.all.get(at) else { return Ok(()) };
        let is_expected = matches!(process, Process::Master | Process::Worker(_));
        if wire != WIRE_VERSION || pid != peer.pid || !is_expected {
            warn!(%process, pid, wire, peer = peer.pid, "process is not what it says, it is let go");
            return self.lose(number);
        }
        // A process that connects anew, or the successor of one whose end was not told yet.
        if let Some(former) = self.peers.known(process).map(|peer| peer.number) {
            self.lose(former)?;
        }
        if let Some(peer) = self.peers.all.iter_mut().find(|peer| peer.number == number) {
            peer.standing = Standing::Known(process);
        }
        info!(%process, pid, "process is there");
        self.step(Event::Came(process))
    }

    fn lose(&mut self, number: u32) -> anyhow::Result<()> {
        let Some(at) = self.peers.position(number) else { return Ok(()) };
        let peer = self.peers.all.remove(at);
        // Its keeper holds the same socket, which would stay in the poller.
        self.poller.remove(&peer.channel).context("cannot stop watching a process")?;
        self.poller.remove(&peer.pidfd).context("cannot stop watching a process")?;
        match peer.standing {
            Standing::Guest { .. } => Ok(()),
            Standing::Known(process) => {
                info!(%process, pid = peer.pid, "process is gone");
                let member = Member { process, pid: peer.pid };
                self.step_sessions(mainstay_session::Event::Left { member })?;
                self.step(Event::Gone(process))
            }
        }
    }

    /// Tells a process. One that does not listen is let go, and comes back if it can.
    pub(crate) fn tell(&mut self, process: Process, message: &ToPeer) -> anyhow::Result<()> {
        let Some(peer) = self.peers.known(process) else { return Ok(()) };
        let member = Member { process, pid: peer.pid };
        self.tell_member(member, message, &[])
    }

    /// The same, if it is still that one and not its successor.
    pub(crate) fn tell_member(
        &mut self,
        to: Member,
        message: &ToPeer,
        descriptors: &[BorrowedFd<'_>],
    ) -> anyhow::Result<()> {
        let Some(peer) = self.peers.known(to.process).filter(|peer| peer.pid == to.pid) else {
            return Ok(());
        };
        match send(&peer.channel, message, descriptors) {
            Ok(()) => Ok(()),
            Err(error) => {
                let number = peer.number;
                warn!(process = %to.process, pid = to.pid, error = %Chain(&error), "cannot tell a process");
                self.lose(number)
            }
        }
    }
}
