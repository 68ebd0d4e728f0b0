//! What the lease asks for, done in order.

use anyhow::Context as _;
use mainstay_message::{MessageError, send};
use mainstay_model::{Chain, Process, Slot};
use mainstay_os::{ChannelError, now};
use mainstay_pair::{ApplyEvent, Effect, Event, Health, Lease, Report};
use mainstay_wire::event;
use mainstay_wire::pair::ToWorker;
use tracing::{error, info, warn};

use crate::turn::Master;

impl Master {
    /// Tells the lease what happened, and does what it asks for.
    pub(crate) fn step(&mut self, event: Event) -> anyhow::Result<()> {
        let Some(lease) = self.lease else { return Ok(()) };
        let (lease, effects) = lease.step(now(), event);
        self.lease = Some(lease);
        self.perform(effects)?;
        match self.lease.as_ref().and_then(Lease::holder) {
            Some(holder) => self.step_apply(ApplyEvent::Active(holder)),
            None => Ok(()),
        }
    }

    pub(crate) fn perform(&mut self, effects: Vec<Effect>) -> anyhow::Result<()> {
        for effect in effects {
            match effect {
                Effect::Serve(slot) => {
                    self.tell(slot, &ToWorker::Serve)?;
                    self.have_handed_over(slot.other())?;
                }
                Effect::Revoke(slot) => self.tell(slot, &ToWorker::Revoke)?,
                Effect::Kill { slot, cause } => {
                    let Some(worker) = self.workers.get(slot) else { continue };
                    let pid = worker.pid;
                    warn!(%slot, pid, %cause, "worker is killed");
                    worker.pidfd.kill().context("cannot kill a worker")?;
                    let (process, reason) = (Process::Worker(slot), cause.to_string());
                    self.link.note(event::Event::ProcessHung { process, pid, reason });
                }
                // Where connections go is asked of the lease for each batch, so these two are
                // known already when the next one comes.
                Effect::AcceptAndRefuse | Effect::StopRefusing => {}
                Effect::Report(report) => self.report(report),
            }
        }
        Ok(())
    }

    /// Has a worker that served until now leave what is open to the one that serves, by the way
    /// that is taken after a death; a new process stands by in its place.
    fn have_handed_over(&mut self, slot: Slot) -> anyhow::Result<()> {
        let spoken = self.workers.get(slot).and_then(|worker| worker.spoken.as_ref());
        let is_empty = spoken.is_none_or(|spoken| spoken.ledger.totals().connections == 0);
        if is_empty || self.health(slot) != Health::Ready {
            return Ok(());
        }
        self.tell(slot, &ToWorker::HandOver)
    }

    pub(crate) fn tell(&mut self, slot: Slot, message: &ToWorker) -> anyhow::Result<()> {
        let Some(worker) = self.workers.get(slot) else { return Ok(()) };
        let Some(spoken) = &worker.spoken else { return Ok(()) };
        match send(&spoken.channel, message, &[]) {
            Ok(()) => Ok(()),
            // It does not read what it is told.
            Err(MessageError::Channel { source: ChannelError::Full }) => {
                warn!(%slot, pid = worker.pid, "worker does not listen");
                self.step(Event::Hung(slot))
            }
            // It died, or connects anew and says again what it does.
            Err(error) => {
                info!(%slot, pid = worker.pid, error = %Chain(&error), "cannot tell a worker");
                Ok(())
            }
        }
    }

    fn report(&mut self, report: Report) {
        self.link.note(match report {
            Report::Learned(slot) | Report::Recovered(slot) => event::Event::WorkerServes { slot },
            Report::FailedOver { from, to } => event::Event::FailedOver { from, to },
            Report::Swapped { from, to } => event::Event::Swapped { from, to },
            Report::SwapRefused => event::Event::SwapRefused,
            Report::NobodyReady => event::Event::NoWorkerReady,
            Report::HoldExpired => event::Event::ConnectionsRefused,
        });
        match report {
            Report::Learned(slot) => info!(%slot, "worker serves, as it did before"),
            Report::FailedOver { from, to } => {
                self.tally.failovers = self.tally.failovers.saturating_add(1);
                warn!(%from, %to, "worker down, standby took over");
            }
            Report::Swapped { from, to } => {
                self.tally.swaps = self.tally.swaps.saturating_add(1);
                info!(%from, %to, "active and standby exchanged");
            }
            Report::SwapRefused => warn!("active and standby not exchanged, standby not ready"),
            Report::NobodyReady => warn!("no worker is ready, connections wait"),
            Report::HoldExpired => {
                error!("no worker became ready in time, connections are refused")
            }
            Report::Recovered(slot) => info!(%slot, "worker serves"),
        }
    }
}
