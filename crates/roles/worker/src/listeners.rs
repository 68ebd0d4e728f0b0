//! The listening sockets of a worker, and which of them its configuration knows.
//!
//! The master gives whatever is open. While an apply is under way that is more than a
//! configuration has; a socket is found in it by the address it is bound to. Nobody accepts from
//! one that its configuration does not know.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use anyhow::Context as _;
use mainstay_model::Generation;
use mainstay_os::{Endpoint, cookie, local_endpoint};
use mainstay_proxy::{Command, Lease, Listening};
use mainstay_wire::pair::{Listener, Standing, ToMaster};
use tracing::info;

use crate::control::{Control, Course, Ending, Leaving, Rest};
use crate::settings::Leases;

/// A listening socket, as this process holds it.
#[derive(Debug)]
pub(crate) struct Held {
    name: String,
    socket: Arc<OwnedFd>,
    /// The kernel's number of the socket, which every copy has.
    id: u64,
    endpoint: Option<Endpoint>,
    standing: Standing,
}

impl Held {
    fn new(listener: Listener, socket: OwnedFd) -> anyhow::Result<Self> {
        let Listener { name, standing, .. } = listener;
        let id = cookie(&socket).context("cannot examine a listener")?;
        let endpoint = local_endpoint(&socket).context("cannot examine a listener")?;
        Ok(Self { name, socket: Arc::new(socket), id, endpoint, standing })
    }
}

/// The names of listeners, and their sockets, for a supervisor that may have lost them.
pub(crate) fn for_supervisor(held: &[Held]) -> (Vec<String>, Vec<std::os::fd::BorrowedFd<'_>>) {
    held.iter().map(|held| (held.name.clone(), held.socket.as_fd())).unzip()
}

impl Rest {
    /// Those that its configuration knows. Who serves what is current knows nothing of what only
    /// the next generation has, though an address may be among those that it had once.
    pub(crate) fn known_listeners(&self) -> Vec<Listening> {
        let serves_current = self.current == Some(self.settings.generation);
        let held = self.listeners.iter().filter(|held| match held.standing {
            Standing::Current => true,
            Standing::Next => !serves_current,
        });
        let known = held.filter_map(|held| {
            let endpoint = held.endpoint.clone()?;
            let (id, lease) = self.settings.proxy.place_of(&held.name, &endpoint)?;
            let lease = match self.settings.leases {
                Leases::AsConfigured => lease,
                Leases::All => Lease::Ours,
            };
            Some(Listening { id, socket: Arc::clone(&held.socket), endpoint, lease })
        });
        known.collect()
    }
}

impl Control {
    /// Holds these and no others from here on.
    pub(crate) fn hold(
        &mut self,
        listeners: Vec<Listener>,
        sockets: Vec<OwnedFd>,
        current: Generation,
    ) -> anyhow::Result<()> {
        let rest = &mut self.rest;
        let mut before = std::mem::take(&mut rest.listeners);
        for (listener, socket) in listeners.into_iter().zip(sockets) {
            let held = Held::new(listener, socket)?;
            // The copy that is here is the one that lanes have.
            let same = before.iter().position(|one| one.id == held.id);
            let socket = same.map(|at| before.swap_remove(at).socket);
            rest.listeners.push(Held { socket: socket.unwrap_or(held.socket), ..held });
        }
        for gone in &before {
            info!(listener = gone.name, "listener closed");
        }
        let ended: Vec<_> = before.into_iter().map(|gone| gone.socket).collect();
        rest.current = Some(current);
        let listeners = rest.known_listeners();
        rest.lanes
            .tell_all(|| Command::Listeners { listeners: listeners.clone(), ended: ended.clone() })
    }

    /// A process that has room for fewer connections than what is current allows is replaced: at
    /// once, if it does not serve, and else when the other one is there to serve.
    pub(crate) fn make_way_if_outgrown(&mut self) -> anyhow::Result<Option<Ending>> {
        let rest = &self.rest;
        let serves_current = rest.current == Some(rest.settings.generation);
        if !serves_current || !rest.settings.is_outgrown() || rest.leaving != Leaving::No {
            return Ok(None);
        }
        match rest.course {
            Course::Standby => {
                info!("made for fewer connections than may be, asking to be replaced");
                self.leave()
            }
            Course::Active => {
                self.tell_master(&ToMaster::Outgrown);
                Ok(None)
            }
            Course::Revoking(_) | Course::Draining(_) => Ok(None),
        }
    }
}
