//! What broadcast tells every process to do, as a worker does it.

use std::sync::Arc;

use anyhow::Context as _;
use mainstay_message::{receive, send_within};
use mainstay_model::{Chain, Generation, Process};
use mainstay_os::now;
use mainstay_proxy::{Command, Loaded};
use mainstay_wire::broadcast::{Answer, Order, ToBroadcast, ToPeer};
use mainstay_wire::frame::WIRE_VERSION;
use tracing::{info, warn};

use crate::control::{Control, Course, Ending, SEND_LIMIT, token};
use crate::probes::Probing;

/// Records of two configurations are here.
const NO_CONFIGURATION: u64 = 0;

/// A generation that lanes begin to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loading {
    /// So many do not serve it yet.
    lanes: usize,
    /// The question that is answered then.
    number: u64,
    purpose: Purpose,
}

/// Why a generation is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To find out whether it can be served.
    Prove,
    /// It is the current one: whoever cannot load it has to start with it.
    Follow,
}

impl Control {
    pub(crate) fn introduce_to_broadcast(&mut self) -> anyhow::Result<()> {
        let process = Process::Worker(self.rest.settings.slot);
        let hello = ToBroadcast::Hello { wire: WIRE_VERSION, process, pid: std::process::id() };
        self.tell_broadcast(&hello);
        self.say_what_it_serves();
        self.introduce_sessions()
    }

    /// A broadcast that cannot be told is gone, and its successor asks anew.
    pub(crate) fn tell_broadcast(&mut self, message: &ToBroadcast) {
        let Some(channel) = self.rest.broadcast.channel() else { return };
        if let Err(error) = send_within(channel, message, &[], SEND_LIMIT) {
            warn!(error = %Chain(&error), "cannot tell broadcast");
            self.leave_broadcast();
        }
    }

    /// Lets go of broadcast, and looks for it anew.
    pub(crate) fn leave_broadcast(&mut self) {
        self.rest.broadcast.lose(&self.rest.poller, now());
    }

    fn say_what_it_serves(&mut self) {
        let generation = self.rest.settings.generation;
        self.tell_broadcast(&ToBroadcast::Serves { generation });
    }

    fn answer(&mut self, number: u64, answer: Answer) {
        self.tell_broadcast(&ToBroadcast::Answered { number, answer });
    }

    pub(crate) fn hear_broadcast(&mut self) -> anyhow::Result<Option<Ending>> {
        loop {
            let Some(channel) = self.rest.broadcast.channel() else { return Ok(None) };
            match receive::<ToPeer>(channel) {
                Ok(None) => return Ok(None),
                Ok(Some((ToPeer::Do { number, order }, _))) => {
                    if let Some(ending) = self.obey(number, order)? {
                        return Ok(Some(ending));
                    }
                }
                Ok(Some((ToPeer::Sessions(said), files))) => self.hear_sessions(said, files)?,
                // Between broadcast and the master.
                Ok(Some((
                    ToPeer::Wanted { .. } | ToPeer::Ended { .. } | ToPeer::Figures(_),
                    _,
                ))) => {}
                Err(error) => {
                    info!(error = %Chain(&error), "broadcast's channel ended");
                    self.rest.broadcast.lose(&self.rest.poller, now());
                    return Ok(None);
                }
            }
        }
    }

    fn obey(&mut self, number: u64, order: Order) -> anyhow::Result<Option<Ending>> {
        let sentence = match order {
            Order::Apply { generation, .. } => {
                return self.load(number, generation, Purpose::Prove);
            }
            Order::Follow { generation } => return self.load(number, generation, Purpose::Follow),
            Order::Status => self.describe(),
            Order::EspStatus => "no esp is configured".to_owned(),
            Order::PolicyRefresh => "no policies are configured".to_owned(),
            Order::PurgeCache => "nothing is cached".to_owned(),
            // Whoever is asked is there and has everything built: the rest is the master's.
            Order::Swap => String::new(),
        };
        self.answer(number, Answer::Done { sentence });
        Ok(None)
    }

    fn describe(&self) -> String {
        let course = match self.rest.course {
            Course::Standby => "standby",
            Course::Active => "active",
            Course::Revoking(_) => "giving the lease back",
            Course::Draining(_) => "draining",
        };
        format!("{course}, serves generation {}", self.rest.settings.generation)
    }

    /// Begins to serve another generation, or asks to be replaced by a process that does.
    fn load(
        &mut self,
        number: u64,
        generation: Generation,
        purpose: Purpose,
    ) -> anyhow::Result<Option<Ending>> {
        if matches!(self.rest.course, Course::Draining(_)) || self.rest.loading.is_some() {
            let reason = "it is busy with another generation, or ends".to_owned();
            self.answer(number, Answer::Refused { reason });
            return Ok(None);
        }
        let lanes = self.rest.lanes.count();
        let reason = match self.rest.settings.change_to(generation, lanes) {
            Ok(logs) => {
                let rest = &mut self.rest;
                rest.loading = Some(Loading { lanes, number, purpose });
                self.kept.serve_by(NO_CONFIGURATION);
                let (settings, listeners) = (&rest.settings.proxy, rest.known_listeners());
                return rest
                    .lanes
                    .tell_each(logs.into_iter().map(|log| {
                        let (settings, listeners) = (Arc::clone(settings), listeners.clone());
                        Command::Load(Loaded { settings, listeners, log })
                    }))
                    .map(|()| None);
            }
            Err(error) => Chain(error.as_ref()).to_string(),
        };
        warn!(%generation, reason, "cannot serve a generation");
        self.answer(number, Answer::Refused { reason });
        match purpose {
            Purpose::Prove => Ok(None),
            Purpose::Follow => {
                info!(%generation, "needs a new process, asking to be replaced");
                self.leave()
            }
        }
    }

    /// A lane serves by what was loaded.
    pub(crate) fn lane_loaded(&mut self) -> anyhow::Result<Option<Ending>> {
        let Some(Loading { lanes, number, purpose }) = self.rest.loading.take() else {
            return Ok(None);
        };
        if lanes > 1 {
            self.rest.loading = Some(Loading { lanes: lanes - 1, number, purpose });
            return Ok(None);
        }
        let generation = self.rest.settings.generation;
        self.kept.serve_by(generation.number());
        info!(%generation, "serves another generation");
        self.say_what_it_serves();
        match purpose {
            Purpose::Prove if !self.rest.settings.gateway.apply.probes.is_empty() => {
                self.begin_probes(number)?;
            }
            Purpose::Prove | Purpose::Follow => self.answer(number, Answer::DONE),
        }
        self.make_way_if_outgrown()
    }

    fn begin_probes(&mut self, number: u64) -> anyhow::Result<()> {
        self.forget_probes()?;
        let rest = &mut self.rest;
        let gateway = &rest.settings.gateway;
        let probing =
            Probing::begin(number, gateway, &mut rest.lanes, &rest.poller, token::PROBES)?;
        rest.probing = Some(probing);
        Ok(())
    }

    /// Those of an order that was given up; there may be none.
    fn forget_probes(&mut self) -> anyhow::Result<()> {
        match self.rest.probing.take() {
            Some(probing) => {
                probing.end(&self.rest.poller).context("cannot stop waiting for probes")
            }
            None => Ok(()),
        }
    }

    /// The configuration has proven itself, or not. If not, broadcast tells us what to serve.
    pub(crate) fn end_probes(&mut self) -> anyhow::Result<()> {
        let Some(probing) = &self.rest.probing else { return Ok(()) };
        let Some(outcome) = probing.outcome() else { return Ok(()) };
        let number = probing.number;
        self.forget_probes()?;
        let answer = match outcome {
            Ok(()) => Answer::DONE,
            Err(error) => {
                let reason = Chain(&error).to_string();
                warn!(reason, "the generation has not proven itself");
                Answer::Refused { reason }
            }
        };
        self.answer(number, answer);
        Ok(())
    }

    /// Looks for a broadcast that is away.
    pub(crate) fn search_broadcast(&mut self) -> anyhow::Result<()> {
        if self.rest.broadcast.search(now()) {
            self.rest.broadcast.watch(&self.rest.poller, token::BROADCAST)?;
            self.introduce_to_broadcast()?;
        }
        Ok(())
    }
}
