//! Applies: a configuration on its way into service.
//!
//! The order of things is decided by [`mainstay_pair::Apply`] and, for all processes together,
//! by broadcast; here the master's part is performed, and whoever asked gets one answer. A
//! master that dies in the middle leaves a staged generation that its successor throws away,
//! unless it had become current; then whoever serves another one is told to follow.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_config::{Problem, TEXT_BYTES_MAX, apply, listeners};
use mainstay_generations::Generations;
use mainstay_ledger::Counter;
use mainstay_message::send;
use mainstay_model::{Chain, Generation, Slot, Timestamp};
use mainstay_os::{Channel, now};
use mainstay_pair::{
    Answers, Apply, ApplyCause, ApplyEffect, ApplyEvent, ApplyPart, Event, Health, Judgement,
    Lease, Watch, WatchLimits,
};
use mainstay_wire::broadcast::{Answer, Order, ToBroadcast};
use mainstay_wire::command::{self, Progress, Reply, Step};
use tracing::{debug, error, info, warn};

use crate::turn::Master;

/// How often a worker that was just made active is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// An apply and who asked for it.
#[derive(Debug)]
pub(crate) struct Applying {
    pub(crate) apply: Apply,
    asker: Asker,
    begun: Timestamp,
    /// The chain's question to us.
    question: Option<u64>,
    limits: WatchLimits,
    watch: Option<Watch>,
    /// Why it comes to nothing, as soon as somebody has said so.
    reason: Option<String>,
}

/// Who is told what came of it.
#[derive(Debug)]
pub(crate) enum Asker {
    Operator(Channel),
    /// Somebody at the command channel, through broadcast.
    Ticket(u64),
}

impl Applying {
    /// Tells an operator how far it has come. One that is gone reads the log.
    fn tell_progress(&self) {
        let Asker::Operator(operator) = &self.asker else { return };
        let after = now().since(self.begun).as_millis();
        let progress = Progress {
            generation: self.apply.generation(),
            step: step_of(self.apply.part()),
            after_ms: u64::try_from(after).unwrap_or(u64::MAX),
        };
        if let Err(error) = send(operator, &Reply::Progress(progress), &[]) {
            debug!(error = %Chain(&error), "cannot tell an operator");
        }
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
    /// Begins to put a configuration into service. Whoever asked is answered now if that cannot
    /// begin, and at its end otherwise.
    pub(crate) fn begin_apply(
        &mut self,
        operator: Channel,
        file: OwnedFd,
        confirm: Option<Duration>,
    ) -> anyhow::Result<()> {
        let asker = Asker::Operator(operator);
        match self.stage(file) {
            Ok((generation, watch)) => {
                let confirm = confirm.unwrap_or(watch.confirm);
                self.begin(asker, generation, apply::Watch { confirm, ..watch })
            }
            Err(error) => self.refuse(&asker, Chain(error.as_ref()).to_string()),
        }
    }

    /// Goes back to a generation that is kept: the one before the current, if none is named.
    pub(crate) fn roll_back(
        &mut self,
        asker: Asker,
        generation: Option<Generation>,
    ) -> anyhow::Result<()> {
        let before = || -> anyhow::Result<Generation> {
            let kept = Generations::of(&self.settings.host.state).kept()?;
            let earlier = kept.into_iter().rev().find(|kept| *kept < self.generation);
            earlier.context("no generation before the current one is kept")
        };
        match generation.map_or_else(before, Ok) {
            Ok(generation) => self.apply_kept(asker, generation),
            Err(error) => self.refuse(&asker, Chain(error.as_ref()).to_string()),
        }
    }

    /// Which generations are kept.
    pub(crate) fn kept_generations(&self) -> Reply {
        match Generations::of(&self.settings.host.state).kept() {
            Ok(kept) => Reply::Generations(command::Generations { kept, current: self.generation }),
            Err(error) => Reply::Refused { reason: Chain(&error).to_string() },
        }
    }

    /// Begins to put a generation into service that is kept.
    pub(crate) fn apply_kept(
        &mut self,
        asker: Asker,
        generation: Generation,
    ) -> anyhow::Result<()> {
        let generations = Generations::of(&self.settings.host.state);
        let check = || -> anyhow::Result<apply::Watch> {
            self.may_begin()?;
            let file = generations.file(generation);
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("there is no generation {generation}"))?;
            self.check(&text)
        };
        match check() {
            Ok(watch) => self.begin(asker, generation, watch),
            Err(error) => self.refuse(&asker, Chain(error.as_ref()).to_string()),
        }
    }

    fn begin(
        &mut self,
        asker: Asker,
        generation: Generation,
        watch: apply::Watch,
    ) -> anyhow::Result<()> {
        let confirm = watch.confirm;
        let limits =
            WatchLimits { failed_percent: watch.failures.percent(), least: watch.failures_least };
        info!(%generation, confirm_ms = confirm.as_millis(), "apply begins");
        let apply = Apply::begin(now(), generation, confirm);
        self.applying = Some(Applying {
            apply,
            asker,
            begun: now(),
            question: None,
            limits,
            watch: None,
            reason: None,
        });
        if let Some(applying) = &self.applying {
            applying.tell_progress();
        }
        let confirm_ms = u64::try_from(confirm.as_millis()).unwrap_or(u64::MAX);
        self.tell_broadcast(&ToBroadcast::Chain { order: Order::Apply { generation, confirm_ms } })
    }

    /// What must be so before anything can be applied.
    fn may_begin(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.applying.is_none(), "another apply is under way");
        anyhow::ensure!(!self.phase.is_stopping(), "the gateway ends");
        anyhow::ensure!(
            self.broadcast.channel().is_some(),
            "broadcast, which carries it to the workers, is not there"
        );
        Ok(())
    }

    /// Everything that can be found wrong before any process has to do with it.
    fn stage(&self, file: OwnedFd) -> anyhow::Result<(Generation, apply::Watch)> {
        self.may_begin()?;
        let text = read(file)?;
        let watch = self.check(&text)?;
        let generations = Generations::of(&self.settings.host.state);
        generations.discard_staged()?;
        Ok((generations.stage(&text)?, watch))
    }

    /// What the master can find wrong with a configuration, and how it is to be watched.
    fn check(&self, text: &str) -> anyhow::Result<apply::Watch> {
        let located = |problems: Vec<Problem>| {
            let lines: Vec<String> = problems
                .iter()
                .map(|problem| problem.locate("gateway.toml".as_ref(), text))
                .collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        };
        let found = listeners::parse(text).map_err(located)?;
        let names: Vec<&String> = found.iter().map(|listener| &listener.name).collect();
        anyhow::ensure!(
            names.len() == self.settings.listeners.len()
                && names.iter().all(|&name| self.settings.listeners.contains_key(name)),
            "the listeners of a gateway that runs cannot be changed"
        );
        apply::parse_watch(text).map_err(located)
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
                self.step_apply(ApplyEvent::Turn { first })
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
        let (apply, effects) = applying.apply.step(now(), event);
        if let Some(apply) = apply {
            applying.apply = apply;
            if step_of(apply.part()) != before {
                applying.tell_progress();
            }
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
                ApplyPart::Proving
                | ApplyPart::Watching { .. }
                | ApplyPart::Following
                | ApplyPart::Unwinding { .. },
            )
            | None => Ok(()),
        }
    }

    fn begin_watch(&mut self) {
        let Some(applying) = &self.applying else { return };
        let ApplyPart::Watching { first } = applying.apply.part() else { return };
        let before = self.answers(first.other()).since(self.answered_before);
        let limits = applying.limits;
        info!(slot = %first, "watching what serves now");
        let watch = Watch::begin(limits, before, self.answers(first));
        if let Some(applying) = &mut self.applying {
            applying.watch = Some(watch);
        }
    }

    /// Looks how clients fare under what is being watched.
    pub(crate) fn look_at_watch(&mut self) -> anyhow::Result<()> {
        let Some(Applying { apply, watch: Some(watch), .. }) = &self.applying else {
            return Ok(());
        };
        let ApplyPart::Watching { first } = apply.part() else { return Ok(()) };
        match watch.judge(self.answers(first)) {
            Judgement::Well => Ok(()),
            Judgement::Hurt { failed, all } => {
                warn!(slot = %first, failed, all, "requests fail under the new generation");
                self.note_reason(format!("{failed} of {all} requests failed after the swap"));
                self.step_apply(ApplyEvent::Hurt)
            }
        }
    }

    /// What a worker has answered since it started.
    fn answers(&self, slot: Slot) -> Answers {
        let spoken = self.workers.get(slot).and_then(|worker| worker.spoken.as_ref());
        let Some(spoken) = spoken else { return Answers::default() };
        Answers {
            all: spoken.ledger.totals().requests,
            failed: spoken.ledger.counter(Counter::Responses5xx),
        }
    }

    /// Notes, now and then, how much was answered: the time before a swap is counted from there.
    pub(crate) fn note_answered(&mut self) {
        if self.applying.is_none()
            && let Some(slot) = self.active()
        {
            self.answered_before = self.answers(slot);
        }
    }

    fn make_current(&mut self) -> anyhow::Result<()> {
        let Some(generation) = self.applied_generation() else { return Ok(()) };
        Generations::of(&self.settings.host.state).make_current(generation)?;
        self.generation = generation;
        info!(%generation, "generation is current");
        self.tell_decisions()
    }

    fn applied_generation(&self) -> Option<Generation> {
        self.applying.as_ref().map(|applying| applying.apply.generation())
    }

    fn reason(&self, cause: ApplyCause) -> String {
        let said = self.applying.as_ref().and_then(|applying| applying.reason.clone());
        said.unwrap_or_else(|| {
            match cause {
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
                self.tell_asker(&applying.asker, Ok(generation))
            }
            Err(reason) => {
                Generations::of(&self.settings.host.state).discard_staged()?;
                error!(%generation, reason, "apply undone");
                self.tell_asker(&applying.asker, Err(reason))
            }
        }
    }

    fn refuse(&mut self, asker: &Asker, reason: String) -> anyhow::Result<()> {
        warn!(reason, "apply refused");
        self.tell_asker(asker, Err(reason))
    }

    fn tell_asker(
        &mut self,
        asker: &Asker,
        result: Result<Generation, String>,
    ) -> anyhow::Result<()> {
        match asker {
            Asker::Operator(operator) => {
                let reply = match result {
                    Ok(generation) => Reply::Applied { generation },
                    Err(reason) => Reply::Refused { reason },
                };
                // One that is gone reads the log.
                if let Err(error) = send(operator, &reply, &[]) {
                    debug!(error = %Chain(&error), "cannot answer an operator");
                }
                Ok(())
            }
            Asker::Ticket(ticket) => {
                let answer = match result {
                    Ok(generation) => {
                        let sentence = format!("generation {generation} is in service");
                        Answer::Done { sentence }
                    }
                    Err(reason) => Answer::Refused { reason },
                };
                self.tell_broadcast(&ToBroadcast::Settled { ticket: *ticket, answer })
            }
        }
    }
}

const fn step_of(part: ApplyPart) -> Step {
    match part {
        ApplyPart::Proving => Step::Prove,
        ApplyPart::Swapping { .. } => Step::Swap,
        ApplyPart::Watching { .. } => Step::Watch,
        ApplyPart::Following => Step::Follow,
        ApplyPart::Returning { .. } => Step::GoBack,
        ApplyPart::Unwinding { .. } => Step::Unwind,
    }
}

/// The text of a file that an operator sent.
fn read(file: OwnedFd) -> anyhow::Result<String> {
    const LIMIT: u64 = TEXT_BYTES_MAX as u64;
    let mut file = File::from(file);
    let status = file.metadata().context("cannot examine the configuration")?;
    anyhow::ensure!(status.is_file(), "the configuration is not a regular file");
    anyhow::ensure!(
        status.len() <= LIMIT,
        "the configuration has {} bytes, the limit is {LIMIT}",
        status.len()
    );
    file.rewind().context("cannot read the configuration")?;
    let mut text = String::new();
    let mut limited = file.take(LIMIT);
    limited.read_to_string(&mut text).context("cannot read the configuration")?;
    Ok(text)
}
