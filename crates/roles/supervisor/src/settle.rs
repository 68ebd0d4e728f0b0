//! What an apply needs of the supervisor: sockets for what is not current yet, and, when it is
//! over, no others than those of what is current.
//!
//! The master asks, but what is listened on is read from the disk: a generation that passed its
//! check. Which one is current the disk says too, so a master that died in the middle of an apply
//! leaves nothing open.

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use mainstay_message::send;
use mainstay_model::{Chain, Generation, Process};
use mainstay_wire::control::ToProcess;
use tracing::{info, warn};

use crate::children::Child;
use crate::settings::{Current, read_again, read_listeners};
use crate::token::place;
use crate::turn::{Phase, Supervisor};

impl Supervisor {
    /// Binds what a generation needs beside what is there, and gives all of it to the master.
    pub(crate) fn listen_for(&mut self, generation: Generation) {
        let is_running = self.phase == Phase::Running;
        let opened = read_listeners(&self.settings.host, generation).and_then(|wanted| {
            anyhow::ensure!(is_running, "the gateway starts or stops");
            Ok(self.listeners.open_beside(&wanted)?)
        });
        let (message, sockets) = match opened {
            Ok((listeners, sockets)) => (ToProcess::Listening { generation, listeners }, sockets),
            Err(error) => {
                let reason = Chain(error.as_ref()).to_string();
                warn!(%generation, reason, "cannot listen for a generation");
                (ToProcess::NotListening { generation, reason }, Vec::new())
            }
        };
        let at = usize::try_from(place(Process::Master)).ok();
        let master = at.and_then(|at| self.children.get(at)).and_then(Child::life);
        let Some(channel) = master.and_then(|life| life.channel.as_ref()) else { return };
        // A master that does not hear it gives the apply up.
        if let Err(error) = send(channel, &message, &sockets) {
            warn!(error = %Chain(&error), "cannot tell the master what is listened on");
        }
    }

    /// Holds the sockets of what is current, and of what is next, and no others. `offered` are the
    /// master's, for those that this process has not.
    pub(crate) fn settle_listeners(
        &mut self,
        next: Option<Generation>,
        offered: impl Iterator<Item = (String, OwnedFd)>,
    ) {
        let Current { generation, listeners } = match read_again(&self.settings.host) {
            Ok(current) => current,
            Err(error) => {
                warn!(error = %Chain(error.as_ref()), "cannot tell what is current");
                return;
            }
        };
        if self.generation != generation {
            info!(from = %self.generation, to = %generation, "another generation is current");
        }
        self.generation = generation;
        let next = next.map(|next| read_listeners(&self.settings.host, next));
        let beside = next.transpose().unwrap_or_else(|error| {
            warn!(error = %Chain(error.as_ref()), "cannot tell what is next");
            None
        });
        self.listeners.settle(&listeners, &beside.unwrap_or_default());
        for (name, socket) in offered {
            self.listeners.offer(&name, socket);
        }
        let bound = self.listeners.bind_missing().context("a listener of what is current");
        if let Err(error) = bound {
            warn!(error = %Chain(error.as_ref()), "cannot open every listener");
        }
    }
}
