//! The listeners of an apply: opened before it is proven, and closed when it is over, either
//! those that it brought or those that it removes.
//!
//! The supervisor binds, and holds what is current; the workers are given whatever is open, and
//! accept from what their own configuration has. Whatever dies in between, the disk says what is
//! current: the supervisor holds no other sockets for a new master, and a worker that is told of
//! fewer closes the rest.

use std::os::fd::OwnedFd;

use mainstay_message::{MessageError, send};
use mainstay_model::{Chain, Generation, Slot};
use mainstay_os::{ChannelError, close_listener, end_listener, remove_if_there};
use mainstay_pair::{ApplyEvent, ApplyPart, Event};
use mainstay_wire::control::ToSupervisor;
use mainstay_wire::pair::ToWorker;
use tracing::{info, warn};

use crate::listeners::Listener;
use crate::turn::Master;

impl Master {
    /// Has the supervisor open what the next generation needs, if it needs anything.
    pub(crate) fn open_listeners(&mut self) -> anyhow::Result<()> {
        let Some(applying) = &self.applying else { return Ok(()) };
        if !self.listeners.lack(&applying.planned) {
            self.listeners.plan(&applying.planned, Vec::new());
            return self.step_apply(ApplyEvent::Opened);
        }
        // A supervisor that is away is asked when it is back.
        self.ask_to_listen();
        Ok(())
    }

    /// Asks for the sockets that an apply waits for.
    fn ask_to_listen(&mut self) {
        let Some(applying) = &self.applying else { return };
        if applying.apply.part() == ApplyPart::Opening && self.listeners.lack(&applying.planned) {
            let generation = applying.apply.generation();
            self.link.tell(&ToSupervisor::Listen { generation }, &[]);
        }
    }

    /// The supervisor has opened what a generation needs.
    pub(crate) fn have_opened(
        &mut self,
        generation: Generation,
        sockets: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        match &self.applying {
            Some(applying)
                if applying.apply.generation() == generation
                    && applying.apply.part() == ApplyPart::Opening =>
            {
                self.listeners.plan(&applying.planned, sockets);
                let are_all_there = !self.listeners.lack(&applying.planned);
                self.tell_workers_listeners()?;
                self.step_apply(if are_all_there {
                    ApplyEvent::Opened
                } else {
                    ApplyEvent::NotOpened
                })
            }
            // It came too late: the supervisor was told what is current since.
            Some(_) | None => Ok(()),
        }
    }

    /// The supervisor cannot open what a generation needs.
    pub(crate) fn have_not_opened(
        &mut self,
        generation: Generation,
        reason: String,
    ) -> anyhow::Result<()> {
        if self.applied_generation() != Some(generation) {
            return Ok(());
        }
        self.note_reason(reason);
        self.step_apply(ApplyEvent::NotOpened)
    }

    /// Closes what was opened for an apply that comes to nothing.
    pub(crate) fn close_opened(&mut self) -> anyhow::Result<()> {
        for mut listener in self.listeners.abandon() {
            listener.unwatch(&self.poller)?;
            if let Err(error) = close_listener(&listener.socket) {
                warn!(listener = listener.name(), %error, "cannot close a listener");
            }
            self.have_closed(&listener);
        }
        self.tell_of_listeners()
    }

    /// The next generation is current: closes what it does not have. Who waits there is served.
    pub(crate) fn settle_listeners(&mut self) -> anyhow::Result<()> {
        for mut listener in self.listeners.settle() {
            listener.unwatch(&self.poller)?;
            let (id, mut waiting) = (listener.id, 0_usize);
            let ended = end_listener(&listener.socket, |socket, _| {
                waiting += 1;
                self.dispatch.hold(id, socket);
            });
            if let Err(error) = ended {
                warn!(listener = listener.name(), %error, "connections may have been lost");
                close_listener(&listener.socket)?;
            }
            info!(listener = listener.name(), waiting, "listener closed");
            self.have_closed(&listener);
        }
        self.tell_of_listeners()
    }

    /// Removes the name of a Unix socket that is closed.
    fn have_closed(&self, listener: &Listener) {
        let Some(path) = listener.path() else { return };
        if let Err(error) = remove_if_there(path) {
            warn!(listener = listener.name(), %error, "cannot remove a socket");
        }
    }

    /// Everyone holds what we hold from here on.
    fn tell_of_listeners(&mut self) -> anyhow::Result<()> {
        self.tell_supervisor_listeners();
        self.tell_workers_listeners()
    }

    /// The supervisor holds what is current, and what an apply waits for is asked for again.
    pub(crate) fn tell_supervisor_listeners(&mut self) {
        let (listeners, sockets) = self.listeners.all();
        let next = self.applied_generation().filter(|_| self.listeners.are_of_two());
        self.link.tell(&ToSupervisor::Settled { listeners, next }, &sockets);
        self.ask_to_listen();
    }

    fn tell_workers_listeners(&mut self) -> anyhow::Result<()> {
        for slot in Slot::ALL {
            self.tell_worker_listeners(slot)?;
        }
        Ok(())
    }

    fn tell_worker_listeners(&mut self, slot: Slot) -> anyhow::Result<()> {
        let Some(spoken) = self.workers.get(slot).and_then(|worker| worker.spoken.as_ref()) else {
            return Ok(());
        };
        let listeners = self.listeners.for_worker();
        let message = ToWorker::Listeners { listeners, current: self.generation };
        match send(&spoken.channel, &message, &self.listeners.all().1) {
            Ok(()) => Ok(()),
            // It does not read what it is told.
            Err(MessageError::Channel { source: ChannelError::Full }) => {
                warn!(%slot, "worker does not listen");
                self.step(Event::Hung(slot))
            }
            // It died, or connects anew and is told then.
            Err(error) => {
                info!(%slot, error = %Chain(&error), "cannot tell a worker");
                Ok(())
            }
        }
    }
}
