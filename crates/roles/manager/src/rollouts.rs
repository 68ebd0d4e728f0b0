//! Rollouts, as the database has them and `mainstay-fleet` decides about them: the job that takes
//! the next step, and the orders of operators.
//!
//! A step names the revision that it was decided on. If another manager was faster, it is decided
//! again from what is there then; nothing is done twice.

use std::time::Duration;

use mainstay_database::{
    AgentUid, Applied, AppliedState, Audit, Hash, Member, MemberState, NewEvent, Range, Rollout,
    RolloutId, RolloutState, RolloutStep, Severity, Store, StoreError, WallTime,
};
use mainstay_fleet::online::{Presence, Silence};
use mainstay_fleet::rollout::{
    self, Former, Heard, Mark, OnFailure, Order, Plan, Refusal, Said, Share, State, Step, View,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;

use crate::presence::presence;

/// How often an order is decided again because another step was faster.
const TRIES: usize = 8;

/// Longest word about a member.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// A plan as it is asked for and kept.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PlanText {
    /// `"3"` is three members, `"10%"` a tenth; each is how far the rollout has come with it.
    waves: Vec<String>,
    failures: u32,
    watch_seconds: u64,
    patience_seconds: u64,
    on_failure: OnFailureText,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnFailureText {
    Halt,
    RollBack,
}

impl Default for PlanText {
    fn default() -> Self {
        let plan = Plan::default();
        let waves = plan.waves.iter().map(|share| match share {
            Share::Members(members) => members.to_string(),
            Share::Percent(percent) => format!("{percent}%"),
        });
        Self {
            waves: waves.collect(),
            failures: plan.failures,
            watch_seconds: plan.watch.as_secs(),
            patience_seconds: plan.patience.as_secs(),
            on_failure: match plan.on_failure {
                OnFailure::Halt => OnFailureText::Halt,
                OnFailure::RollBack => OnFailureText::RollBack,
            },
        }
    }
}

impl PlanText {
    /// The plan; a sentence if it is none.
    pub(crate) fn read(&self) -> Result<Plan, String> {
        let share = |text: &String| {
            let read = match text.strip_suffix('%') {
                Some(percent) => percent.parse().ok().map(Share::Percent),
                None => text.parse().ok().map(Share::Members),
            };
            read.ok_or_else(|| format!("a wave is \"3\" or \"10%\", not {text:?}"))
        };
        let plan = Plan {
            waves: self.waves.iter().map(share).collect::<Result<_, _>>()?,
            failures: self.failures,
            watch: Duration::from_secs(self.watch_seconds),
            patience: Duration::from_secs(self.patience_seconds),
            on_failure: match self.on_failure {
                OnFailureText::Halt => OnFailure::Halt,
                OnFailureText::RollBack => OnFailure::RollBack,
            },
        };
        plan.check().map_err(|error| error.to_string())?;
        Ok(plan)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        json!(self).to_string().into_bytes()
    }

    /// What the database has of a rollout; the default if it makes no sense.
    pub(crate) fn of(rollout: &Rollout) -> Self {
        serde_json::from_slice(&rollout.plan).unwrap_or_default()
    }
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("there is no such rollout")]
    Missing,
    #[error("the order does not fit")]
    Refused(#[source] Refusal),
    #[error("the rollout goes on too fast to be ordered")]
    Busy,
    #[error("the database did not take the order")]
    Store(#[source] StoreError),
}

/// Takes the next step of every rollout that has one. For the holder of the lease.
pub(crate) async fn turn(store: &dyn Store, silence: &Silence) -> Result<(), StoreError> {
    for rollout in store.live_rollouts().await? {
        let seen = Seen::read(store, silence, rollout).await?;
        if let Some(step) = rollout::look(&seen.plan, &seen.view()) {
            seen.take(store, step, None).await?;
        }
    }
    Ok(())
}

/// Carries out an operator's order.
pub(crate) async fn order(
    store: &dyn Store,
    silence: &Silence,
    id: RolloutId,
    order: Order,
    audit: &Audit,
) -> Result<(), OrderError> {
    for _ in 0..TRIES {
        let rollout = store.rollout(id).await.map_err(OrderError::Store)?;
        let rollout = rollout.ok_or(OrderError::Missing)?;
        let seen = Seen::read(store, silence, rollout).await.map_err(OrderError::Store)?;
        let step = rollout::order(&seen.plan, &seen.view(), order).map_err(OrderError::Refused)?;
        if seen.take(store, step, Some(audit.clone())).await.map_err(OrderError::Store)? {
            return Ok(());
        }
    }
    Err(OrderError::Busy)
}

/// A rollout and its members at one revision.
struct Seen {
    rollout: Rollout,
    plan: Plan,
    now: WallTime,
    members: Vec<Member>,
    judged: Vec<rollout::Member>,
    hash: Hash,
}

impl Seen {
    async fn read(
        store: &dyn Store,
        silence: &Silence,
        rollout: Rollout,
    ) -> Result<Self, StoreError> {
        let mut members = Vec::new();
        let mut range = Range::default();
        loop {
            let part = store.members(rollout.id, range).await?;
            members.extend(part.rows);
            let Some(next) = part.next else { break };
            range = Range { after: Some(next), limit: 0 };
        }
        let version = store.version(rollout.version).await?;
        let version = version.ok_or(StoreError::Missing { what: "version" })?;
        let now = store.now().await?;
        let plan = PlanText::of(&rollout).read().unwrap_or_default();
        let judge = |member: &Member| rollout::Member {
            wave: member.wave,
            mark: mark(member.state),
            said: said(member, version.hash),
            heard: match presence(silence, member.presence, member.seen_at, now) {
                Presence::Online | Presence::Late => Heard::Online,
                Presence::Never | Presence::Offline => Heard::Silent,
            },
        };
        let judged = members.iter().map(judge).collect();
        Ok(Self { rollout, plan, now, members, judged, hash: version.hash })
    }

    fn view(&self) -> View<'_> {
        let since = |at| self.now.since(at);
        View {
            state: state(self.rollout.state),
            wave: self.rollout.wave,
            since_wave: self.rollout.wave_at.map_or(Duration::ZERO, since),
            since_step: since(self.rollout.updated_at),
            former: match self.rollout.former {
                Some(_) => Former::Version,
                None => Former::None,
            },
            members: &self.judged,
        }
    }

    /// Whether nobody was faster.
    async fn take(
        &self,
        store: &dyn Store,
        step: Step,
        audit: Option<Audit>,
    ) -> Result<bool, StoreError> {
        let found = |&(place, mark): &(usize, Mark)| {
            let member = self.members.get(place)?;
            Some((member.agent, kept(mark), self.message(member, mark)))
        };
        let members: Vec<(AgentUid, MemberState, String)> =
            step.marks.iter().filter_map(found).collect();
        let reason = step.reason.map_or_else(|| self.rollout.reason.clone(), |it| it.to_string());
        let to = stored(step.state);
        let taken = store.step_rollout(
            RolloutStep {
                rollout: self.rollout.id,
                revision: self.rollout.revision,
                state: to,
                reason: reason.clone(),
                offer: step.offer,
                members,
                desire: step.desire,
            },
            audit,
        );
        if !taken.await? {
            return Ok(false);
        }
        if to != self.rollout.state || step.offer.is_some() {
            self.tell(store, &step, &reason).await?;
        }
        Ok(true)
    }

    /// What was found about a member, for people.
    fn message(&self, member: &Member, mark: Mark) -> String {
        match mark {
            Mark::Failed => {}
            Mark::Waiting | Mark::Offered | Mark::Applied | Mark::RolledBack => {
                return String::new();
            }
        }
        match (&member.applied, said(member, self.hash)) {
            (Some(applied), Said::Failed) => cut(&applied.message).to_owned(),
            (_, Said::Unhealthy) => "it serves the version, and is not healthy".to_owned(),
            (_, Said::Nothing | Said::Applied | Said::Failed) => {
                format!("nothing was said within {:?}", self.plan.patience)
            }
        }
    }

    async fn tell(&self, store: &dyn Store, step: &Step, reason: &str) -> Result<(), StoreError> {
        let (kind, severity) = match step.state {
            State::Running | State::Draft => ("rollout.wave", Severity::Information),
            State::Halted => ("rollout.halted", Severity::Error),
            State::RollingBack => ("rollout.rolling_back", Severity::Error),
            State::RolledBack => ("rollout.rolled_back", Severity::Warning),
            State::Done => ("rollout.done", Severity::Information),
        };
        let (id, group) = (self.rollout.id, self.rollout.group);
        info!(rollout = id.0, group = group.0, reason, "{kind}");
        let body = json!({
            "rollout": id.0,
            "group": group.0,
            "version": self.rollout.version.0,
            "wave": step.offer.or(self.rollout.wave).map(|wave| u64::from(wave) + 1),
            "reason": reason,
        });
        let body = body.to_string().into_bytes();
        let event = NewEvent { agent: None, kind: kind.to_owned(), severity, body };
        store.tell(None, vec![event]).await
    }
}

/// What an agent last said of a version.
fn said(member: &Member, hash: Hash) -> Said {
    let outcome = member.applied.as_ref().filter(|applied| applied.hash == hash);
    let serves = match outcome {
        Some(Applied { state: AppliedState::Failed, .. }) => return Said::Failed,
        Some(Applied { state: AppliedState::Applied, .. }) => true,
        Some(Applied { state: AppliedState::Applying, .. }) => false,
        Some(Applied { state: AppliedState::Unset, .. }) | None => member.effective == Some(hash),
    };
    match (serves, member.healthy) {
        (true, Some(false)) => Said::Unhealthy,
        (true, Some(true) | None) => Said::Applied,
        (false, _) => Said::Nothing,
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

const fn state(state: RolloutState) -> State {
    match state {
        RolloutState::Draft => State::Draft,
        RolloutState::Running => State::Running,
        RolloutState::Halted => State::Halted,
        RolloutState::RollingBack => State::RollingBack,
        RolloutState::RolledBack => State::RolledBack,
        RolloutState::Done => State::Done,
    }
}

const fn stored(state: State) -> RolloutState {
    match state {
        State::Draft => RolloutState::Draft,
        State::Running => RolloutState::Running,
        State::Halted => RolloutState::Halted,
        State::RollingBack => RolloutState::RollingBack,
        State::RolledBack => RolloutState::RolledBack,
        State::Done => RolloutState::Done,
    }
}

const fn mark(state: MemberState) -> Mark {
    match state {
        MemberState::Waiting => Mark::Waiting,
        MemberState::Offered => Mark::Offered,
        MemberState::Applied => Mark::Applied,
        MemberState::Failed => Mark::Failed,
        MemberState::RolledBack => Mark::RolledBack,
    }
}

const fn kept(mark: Mark) -> MemberState {
    match mark {
        Mark::Waiting => MemberState::Waiting,
        Mark::Offered => MemberState::Offered,
        Mark::Applied => MemberState::Applied,
        Mark::Failed => MemberState::Failed,
        Mark::RolledBack => MemberState::RolledBack,
    }
}
