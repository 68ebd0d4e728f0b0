//! From a listener's queue to a worker's lane, or to the page that says try again.
//!
//! # Invariants
//!
//! 1. At most [`HANDOFF_MAX`] connections are held here; the others wait in the kernel. Only what
//!    waited at a listener that ends is held whole: its backlog is the limit.
//! 2. A connection leaves this table when a worker's lane has it, or when it was refused.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mainstay_model::{Chain, ListenerId, Timestamp};
use mainstay_os::{accept, now};
use mainstay_pair::{Event, Route};
use mainstay_wire::command::Reply;
use mainstay_wire::lane::HANDOFF_MAX;
use tracing::warn;

use crate::listeners::Accepting;
use crate::turn::{Master, Phase};
use crate::workers::Handoff;

/// How long nothing is accepted when every lane is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// How long nothing is accepted when the system does not let us.
const FAILED_PAUSE: Duration = Duration::from_millis(100);

/// What was accepted and not handed over.
#[derive(Debug, Default)]
pub(crate) struct Dispatch {
    held: VecDeque<(ListenerId, OwnedFd)>,
    paused_until: Timestamp,
}

impl Dispatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When a pause ends, if there is one.
    pub(crate) fn resumes_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.paused_until > now).then_some(self.paused_until)
    }

    /// Takes one that waited at a listener that ends.
    pub(crate) fn hold(&mut self, id: ListenerId, socket: OwnedFd) {
        self.held.push_back((id, socket));
    }

    fn room(&self) -> usize {
        HANDOFF_MAX.saturating_sub(self.held.len())
    }
}

impl Master {
    /// From which listeners to accept now.
    pub(crate) fn accepting(&self, now: Timestamp) -> Accepting {
        let is_part = self.standing.slot().is_some();
        if is_part || self.phase != Phase::Serving || self.dispatch.resumes_at(now).is_some() {
            return Accepting::Nothing;
        }
        match self.route() {
            Route::To(_) if self.dispatch.room() > 0 => Accepting::Own,
            Route::Refuse if self.refusing.room() > 0 => Accepting::All,
            Route::To(_) | Route::Refuse | Route::Wait => Accepting::Nothing,
        }
    }

    /// Accepts what waits at a listener, as much as there is room for.
    pub(crate) fn accept_at(&mut self, index: u32) {
        let now = now();
        // The route may have changed since the event was taken.
        if self.accepting(now) == Accepting::Nothing {
            return;
        }
        let Some(listener) =
            u16::try_from(index).ok().and_then(|id| self.listeners.get(ListenerId(id)))
        else {
            return;
        };
        for _ in 0..self.dispatch.room() {
            match accept(&listener.socket) {
                Ok(Some((socket, _))) => self.dispatch.held.push_back((listener.id, socket)),
                Ok(None) => return,
                Err(error) => {
                    warn!(error = %Chain(&error), "cannot accept a connection");
                    self.dispatch.paused_until = now + FAILED_PAUSE;
                    return;
                }
            }
        }
    }

    /// Takes in a connection of the gateway to itself, if it would be served now: it must take
    /// no client's place in the queue.
    pub(crate) fn hand_over_own(&mut self, connection: Option<OwnedFd>) -> Reply {
        let refused = |reason: &str| Reply::Refused { reason: reason.to_owned() };
        match (self.route(), connection) {
            (Route::To(_), Some(connection)) if self.dispatch.room() > 0 => {
                self.dispatch.held.push_back((ListenerId::OWN, connection));
                Reply::HandedOver
            }
            (Route::To(_), _) => refused("the worker that serves takes no connection now"),
            (Route::Wait | Route::Refuse, _) => refused("no worker serves"),
        }
    }

    /// Hands over what was accepted.
    ///
    /// Ends after a few turns: each hands a batch over, or returns, or tells the lease of a
    /// worker that failed, which then routes to it no more.
    pub(crate) fn hand_over(&mut self, now: Timestamp) -> anyhow::Result<()> {
        while !self.dispatch.held.is_empty() && self.dispatch.resumes_at(now).is_none() {
            let slot = match self.route() {
                Route::To(slot) => slot,
                Route::Wait => return Ok(()),
                Route::Refuse => {
                    self.refuse_held(now);
                    return Ok(());
                }
            };
            let Some(worker) = self.workers.get_mut(slot) else { return Ok(()) };
            let held = self.dispatch.held.make_contiguous();
            // Spread over the lanes, so that a burst does not fall upon one thread.
            let count = held.len().div_ceil(worker.lanes()).min(HANDOFF_MAX);
            let Some(batch) = held.get(..count) else { return Ok(()) };
            match worker.hand_over(batch) {
                Handoff::Taken => {
                    self.tally.handed_over = self.tally.handed_over.saturating_add(count as u64);
                    self.dispatch.held.drain(..count);
                }
                Handoff::Full => self.dispatch.paused_until = now + FULL_PAUSE,
                Handoff::Failed(error) => {
                    warn!(%slot, error = %Chain(&error), "handoff failed");
                    self.step(Event::HandoffFailed(slot))?;
                }
            }
        }
        Ok(())
    }

    /// Answers what was accepted, as much as there is room for.
    pub(crate) fn refuse_held(&mut self, now: Timestamp) {
        for _ in 0..self.refusing.room() {
            let Some((id, socket)) = self.dispatch.held.pop_front() else { return };
            let Some(listener) = self.listeners.get(id) else { continue };
            let refusal = listener.refusal();
            self.refusing.refuse(&self.poller, socket, refusal, now);
        }
    }

    fn route(&self) -> Route {
        self.lease.as_ref().map_or(Route::Wait, mainstay_pair::Lease::route)
    }
}
