//! Applies: a configuration on its way into service.
//!
//! The order of things is decided by [`mainstay_pair::Apply`] and, for all processes together,
//! by broadcast; here the master's part is performed, and whoever asked gets one answer. A
//! master that dies in the middle leaves a staged generation that its successor throws away,
//! unless it had become current; then whoever serves another one is told to follow.
//!
//! # Not here
//!
//! What is proposed, and whether it is valid: `proposal.rs`. What this machine wants run
//! around it: `hooks.rs`. Its listeners: `opening.rs`. How clients fare under it: `watch.rs`.

use std::time::Duration;

use mainstay_config::host::Hooks;
use mainstay_generations::Generations;
use mainstay_message::send;
use mainstay_model::{Chain, Generation, Slot, Timestamp};
use mainstay_os::{Channel, now};
use mainstay_pair::{
    Apply, ApplyCause, ApplyEffect, ApplyEvent, ApplyPart, Event, Health, Lease, Watch, WatchLimits,
};
use mainstay_wire::broadcast::{Answer, Order, ToBroadcast};
use mainstay_wire::command::{HookSaid, Progress, Reply, Step};
use mainstay_wire::event;
use tracing::{debug, error, info, warn};

use crate::listeners::{Changes, Era};
use crate::one_process::Shown;
use crate::proposal::Accepted;
use crate::settings::Planned;
use crate::turn::Master;

/// How often a worker that was just made active is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// An apply and who asked for it.
#[derive(Debug)]
pub(crate) struct Applying {
    pub(crate) apply: Apply,
    asker: Asker,
    begun: Timestamp,
    /// The generation that was in service then.
    from: Generation,
    confirm: Duration,
    /// What it listens on.
    pub(crate) planned: Vec<Planned>,
    pub(crate) changes: Changes,
    /// The chain's question to us.
    question: Option<u64>,
    pub(crate) limits: WatchLimits,
    pub(crate) watch: Option<Watch>,
    /// Why it comes to nothing, as soon as somebody has said so.
    reason: Option<String>,
    reached: Reached,
    shown: Shown,
}

/// Whether clients were served by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Nobody,
    /// All of them, and no longer.
    Clients,
}

/// Who is told what came of it.
#[derive(Debug)]
pub(crate) enum Asker {
    Operator(Channel),
    /// Somebody at the command channel, through broadcast.
    Ticket(u64),
}

impl Asker {
    /// Tells an operator. One that is gone reads the log.
    pub(crate) fn tell(&self, reply: &Reply) {
        let Self::Operator(operator) = self else { return };
        if let Err(error) = send(operator, reply, &[]) {
            debug!(error = %Chain(&error), "cannot tell an operator");
        }
    }
}

impl Applying {
    /// Tells an operator how far it has come. One that is gone reads the log.
    fn tell_progress(&self) {
        let after = now().since(self.begun).as_millis();
        let progress = Progress {
            generation: self.apply.generation(),
            step: self.shown.as_shown(step_of(self.apply.part())),
            after_ms: u64::try_from(after).unwrap_or(u64::MAX),
        };
        self.asker.tell(&Reply::Progress(progress));
    }

    /// Tells an operator what a hook said.
    pub(crate) fn tell_hook(&self, said: HookSaid) {
        self.asker.tell(&Reply::Hook(said));
    }

    /// When it wants to be looked at.
    pub(crate) fn wake_at(&self, now: Timestamp) -> Timestamp {
        match self.watch {
            Some(_) => self.apply.wake_at().min(now + WATCH_INTERVAL),
            None => self.apply.wake_at(),
        }
    }
}

impl Master {
    /// Begins to put a generation into service that is kept or staged.
    pub(crate) fn begin(&mut self, asker: Asker, accepted: Accepted) -> anyhow::Result<()> {
        let Accepted { generation, watch, planned } = accepted;
        let confirm = watch.confirm;
        let limits =
            WatchLimits { failed_percent: watch.failures.percent(), least: watch.failures_least };
        info!(%generation, confirm_ms = confirm.as_millis(), "apply begins");
        let begun = now();
        let (apply, first) = Apply::begin(begun, generation, confirm);
        let applying = Applying {
            apply,
            asker,
            begun,
            from: self.generation,
            confirm,
            changes: self.listeners.changes(&planned),
            planned,
            question: None,
            limits,
            watch: None,
            reason: None,
            reached: Reached::Nobody,
            shown: self.standing.shown(),
        };
        applying.tell_progress();
        self.applying = Some(applying);
        self.perform_apply(first)
    }

    fn ask_for_chain(&mut self) -> anyhow::Result<()> {
        let Some(Applying { apply, confirm, .. }) = &self.applying else { return Ok(()) };
        let (generation, confirm) = (apply.generation(), *confirm);
        if self.broadcast.channel().is_none() {
            return self.step_apply(ApplyEvent::ChainLost);
        }
        let confirm_ms = u64::try_from(confirm.as_millis()).unwrap_or(u64::MAX);
        self.tell_broadcast(&ToBroadcast::Chain { order: Order::Apply { generation, confirm_ms } })
    }

    /// The chain has come to us: the worker before us has the generation.
    pub(crate) fn have_turn(&mut self, number: u64, generation: Generation) -> anyhow::Result<()> {
        let first = Slot::ALL.into_iter().find(|&slot| {
            let spoken = self.workers.get(slot).and_then(|worker| worker.spoken.as_ref());
            spoken.is_some_and(|spoken| spoken.ledger.configuration() == generation.number())
        });
        match (&mut self.applying, first) {
            (Some(applying), Some(first)) if applying.apply.generation() == generation => {
                applying.question = Some(number);
                match self.lease.as_ref().and_then(Lease::holder) {
                    Some(holder) if holder == first => {
                        self.step_apply(ApplyEvent::TurnInPlace { first })
                    }
                    Some(_) | None => self.step_apply(ApplyEvent::Turn { first }),
                }
            }
            (Some(_) | None, _) => {
                let reason = format!("it does not put generation {generation} into service");
                self.answer_broadcast(number, Answer::Refused { reason })
            }
        }
    }

    /// Somebody has said why an apply comes to nothing: the first word counts.
    pub(crate) fn note_reason(&mut self, reason: String) {
        if let Some(applying) = &mut self.applying {
            applying.reason.get_or_insert(reason);
        }
    }

    /// Something happened that an apply may wait for.
    pub(crate) fn step_apply(&mut self, event: ApplyEvent) -> anyhow::Result<()> {
        let Some(applying) = &mut self.applying else { return Ok(()) };
        let before = step_of(applying.apply.part());
        let is_undone = |step| matches!(step, Step::GoBack | Step::Unwind);
        let (apply, effects) = applying.apply.step(now(), event);
        if let Some(apply) = apply {
            applying.apply = apply;
            let step = step_of(apply.part());
            if before == Step::Watch && is_undone(step) {
                applying.reached = Reached::Clients;
            }
            let opens = self.listeners.lack(&applying.planned);
            if step != before && has_something_to_do(&self.settings.host.hooks, step, opens) {
                applying.tell_progress();
            }
            self.listeners.turn(era_of(apply.part()));
        }
        if !matches!(applying.apply.part(), ApplyPart::Watching { .. }) {
            applying.watch = None;
        }
        for effect in effects {
            self.perform_apply(effect)?;
        }
        Ok(())
    }

    fn perform_apply(&mut self, effect: ApplyEffect) -> anyhow::Result<()> {
        match effect {
            ApplyEffect::Hook(hook) => self.run_hook(hook),
            ApplyEffect::Open => self.open_listeners(),
            ApplyEffect::Close => self.close_opened(),
            ApplyEffect::Chain => self.ask_for_chain(),
            ApplyEffect::Activate(slot) => self.activate(slot),
            ApplyEffect::Watch => {
                self.begin_watch();
                Ok(())
            }
            ApplyEffect::MakeCurrent => self.make_current(),
            ApplyEffect::AnswerChain(result) => {
                let question = self.applying.as_mut().and_then(|applying| applying.question.take());
                let Some(number) = question else { return Ok(()) };
                let answer = match result {
                    Ok(()) => Answer::DONE,
                    Err(cause) => Answer::Refused { reason: self.reason(cause) },
                };
                self.answer_broadcast(number, answer)
            }
            ApplyEffect::End(result) => self.end_apply(result),
        }
    }

    /// Makes a worker active, unless it is already.
    pub(crate) fn activate(&mut self, slot: Slot) -> anyhow::Result<()> {
        match self.lease.as_ref().and_then(Lease::holder) {
            Some(holder) if holder == slot => self.step_apply(ApplyEvent::Active(slot)),
            Some(_) if self.health(slot) == Health::Ready => self.step(Event::SwapRequested),
            // It is waited for, up to the limit.
            Some(_) | None => Ok(()),
        }
    }

    /// A worker is ready that may be the one to be made active.
    pub(crate) fn activate_awaited(&mut self) -> anyhow::Result<()> {
        match self.applying.as_ref().map(|applying| applying.apply.part()) {
            Some(ApplyPart::Swapping { first }) => self.activate(first),
            Some(ApplyPart::Returning { first, .. }) => self.activate(first.other()),
            Some(
                ApplyPart::Preparing
                | ApplyPart::Connecting
                | ApplyPart::Opening
                | ApplyPart::Proving
                | ApplyPart::Watching { .. }
                | ApplyPart::Following
                | ApplyPart::Finishing
                | ApplyPart::Unwinding { .. }
                | ApplyPart::Disconnecting { .. },
            )
            | None => Ok(()),
        }
    }

    fn make_current(&mut self) -> anyhow::Result<()> {
        let Some(generation) = self.applied_generation() else { return Ok(()) };
        let generations = Generations::of(&self.settings.host.state);
        generations.make_current(generation)?;
        // What was made of the network for it stays.
        generations.forget_connected()?;
        self.generation = generation;
        info!(%generation, "generation is current");
        self.settle_listeners()?;
        self.tell_decisions()
    }

    pub(crate) fn applied_generation(&self) -> Option<Generation> {
        self.applying.as_ref().map(|applying| applying.apply.generation())
    }

    fn reason(&self, cause: ApplyCause) -> String {
        let said = self.applying.as_ref().and_then(|applying| applying.reason.clone());
        said.unwrap_or_else(|| {
            match cause {
                ApplyCause::Hook => "a hook refused it",
                ApplyCause::Listeners => "the supervisor did not open its listeners in time",
                ApplyCause::Chain => "not every process could serve it",
                ApplyCause::NotSwapped => "active and standby did not change places in time",
                ApplyCause::Hurt => "requests failed after the swap",
                ApplyCause::FirstGone => "the worker that served it first went down",
                ApplyCause::BroadcastGone => "broadcast, which carries it to the workers, died",
                ApplyCause::ChainLate => "the workers took too long",
            }
            .to_owned()
        })
    }

    fn end_apply(&mut self, result: Result<(), ApplyCause>) -> anyhow::Result<()> {
        let reason = result.map_err(|cause| self.reason(cause));
        let Some(applying) = self.applying.take() else { return Ok(()) };
        let generation = applying.apply.generation();
        match reason {
            Ok(()) => {
                info!(%generation, "applied");
                self.link.note(if generation < applying.from {
                    event::Event::RolledBack { generation }
                } else {
                    event::Event::Applied { generation }
                });
                self.tell_asker(&applying.asker, Reply::Applied { generation })
            }
            Err(reason) => {
                Generations::of(&self.settings.host.state).discard_staged()?;
                error!(%generation, reason, "apply undone");
                let why = reason.clone();
                let (reply, event) = match applying.reached {
                    Reached::Nobody => {
                        (Reply::Refused { reason }, event::Event::ApplyRefused { reason: why })
                    }
                    Reached::Clients => (
                        Reply::WentBack { generation: self.generation, reason },
                        event::Event::ApplyUndone { generation, reason: why },
                    ),
                };
                self.link.note(event);
                self.tell_asker(&applying.asker, reply)
            }
        }
    }

    pub(crate) fn refuse(&mut self, asker: &Asker, reason: String) -> anyhow::Result<()> {
        warn!(reason, "apply refused");
        self.link.note(event::Event::ApplyRefused { reason: reason.clone() });
        self.tell_asker(asker, Reply::Refused { reason })
    }

    /// Tells whoever asked how it ended.
    fn tell_asker(&mut self, asker: &Asker, reply: Reply) -> anyhow::Result<()> {
        asker.tell(&reply);
        let Asker::Ticket(ticket) = asker else { return Ok(()) };
        let answer = match reply {
            Reply::Refused { reason } | Reply::WentBack { reason, .. } => {
                Answer::Refused { reason }
            }
            Reply::Applied { generation } => {
                Answer::Done { sentence: format!("generation {generation} is in service") }
            }
            Reply::Status(_)
            | Reply::Generations(_)
            | Reply::Difference(_)
            | Reply::Progress(_)
            | Reply::Hook(_)
            | Reply::HandedOver
            | Reply::Compared => return Ok(()),
        };
        self.tell_broadcast(&ToBroadcast::Settled { ticket: *ticket, answer })
    }
}

/// Whether a step is worth a line: not if it is for a hook that is not there, or opens nothing.
const fn has_something_to_do(hooks: &Hooks, step: Step, opens: bool) -> bool {
    match step {
        Step::Open => opens,
        Step::Connect | Step::Disconnect => hooks.network.is_some(),
        Step::Finish => hooks.post_apply.is_some(),
        Step::Prepare
        | Step::Prove
        | Step::Load
        | Step::Swap
        | Step::Watch
        | Step::Follow
        | Step::Keep
        | Step::GoBack
        | Step::Unwind => true,
    }
}

const fn step_of(part: ApplyPart) -> Step {
    match part {
        ApplyPart::Preparing => Step::Prepare,
        ApplyPart::Connecting => Step::Connect,
        ApplyPart::Opening => Step::Open,
        ApplyPart::Proving => Step::Prove,
        ApplyPart::Swapping { .. } => Step::Swap,
        ApplyPart::Watching { .. } => Step::Watch,
        ApplyPart::Following => Step::Follow,
        ApplyPart::Finishing => Step::Finish,
        ApplyPart::Returning { .. } => Step::GoBack,
        ApplyPart::Unwinding { .. } => Step::Unwind,
        ApplyPart::Disconnecting { .. } => Step::Disconnect,
    }
}

/// Which generation the active worker serves.
const fn era_of(part: ApplyPart) -> Era {
    match part {
        ApplyPart::Preparing
        | ApplyPart::Connecting
        | ApplyPart::Opening
        | ApplyPart::Proving
        | ApplyPart::Swapping { .. }
        | ApplyPart::Returning { .. }
        | ApplyPart::Unwinding { .. }
        | ApplyPart::Disconnecting { .. } => Era::Current,
        ApplyPart::Watching { .. } | ApplyPart::Following | ApplyPart::Finishing => Era::Next,
    }
}
