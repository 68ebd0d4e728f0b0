//! What a manager does by itself: it says that it is there, and does the fleet's jobs when it
//! holds their leases.
//!
//! A job is done by one manager at a time, and by another soon after that one is gone. A lease
//! is a courtesy, not a lock: every job is right if two do it at once.

use std::sync::Arc;
use std::time::Duration;

use mainstay_database::{Drain, Lease, ManagerBeat, NewEvent, Severity, StoreError, WallTime};
use mainstay_fleet::online::{self, Silence};
use mainstay_fleet::pin::Sha256;
use mainstay_model::Chain;
use mainstay_trust::shown::Shown;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::figures::BUCKETS;
use crate::fleet::{Fleet, PINS};
use crate::{orphans, rollouts};

/// How often a manager says that it is there.
pub(crate) const BEAT: Duration = Duration::from_secs(2);

/// How long a beat may take.
const BEAT_LIMIT: Duration = Duration::from_secs(10);

/// How often jobs are looked at.
const JOBS: Duration = Duration::from_secs(1);

/// How long a job stays with a manager that says nothing more.
const LEASE: Duration = Duration::from_secs(10);

/// Most agents that are recorded as offline in one transaction.
const SWEEP: u32 = 500;

/// How many looks at jobs there are between two at what is kept too long.
const RETENTION_EVERY: u32 = 60;

/// And between two at the size of the fleet.
const COUNT_EVERY: u32 = 15;

/// The job of noticing who is silent.
const OFFLINE: &str = "offline";

/// The job of dropping what is kept too long.
const RETENTION: &str = "retention";

/// The job of taking rollouts on.
const ROLLOUTS: &str = "rollouts";

/// What a manager says of itself, beside figures.
#[derive(Debug)]
pub(crate) struct Says {
    pub(crate) started_at: WallTime,
    pub(crate) address: String,
    /// The certificate; none without TLS.
    pub(crate) shown: Option<Arc<Shown>>,
}

/// Says that this manager is there, and hears what it should do.
pub(crate) async fn beat(fleet: Arc<Fleet>, says: Says, stop: watch::Receiver<bool>) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let commits = fleet.figures.commit_time.counts();
    let mut before = Before { exchanges: 0, commits, shown: None };
    let mut well = true;
    while !*stop.borrow() {
        ticks.tick().await;
        let beat = before.next(&fleet, &says);
        let said = async {
            beat_once(&fleet, beat).await?;
            before.tell_shown(&fleet, &says).await
        };
        let done = timeout(BEAT_LIMIT, said).await.unwrap_or(Err(StoreError::Busy));
        match (&done, well) {
            (Err(error), true) => {
                warn!(error = %Chain(error), "the database does not answer");
            }
            (Ok(()), false) => info!("the database answers again"),
            (Ok(()), true) | (Err(_), false) => {}
        }
        well = done.is_ok();
        fleet.figures.database.set(well);
    }
}

async fn beat_once(fleet: &Fleet, beat: ManagerBeat) -> Result<(), StoreError> {
    let drain = fleet.store.beat(beat).await?;
    if fleet.duty.set_drain(drain) {
        info!(?drain, "an operator says whether this manager takes agents");
    }
    if let Some(pins) = fleet.store.setting(PINS).await?
        && let Ok(pins) = String::from_utf8(pins)
        && fleet.offers.set_pins(&pins)
    {
        info!("agents are to hold other certificates");
    }
    Ok(())
}

/// What was counted at the last beat.
struct Before {
    exchanges: u64,
    commits: [u64; BUCKETS],
    /// What the database was told.
    shown: Option<Sha256>,
}

impl Before {
    fn next(&mut self, fleet: &Fleet, says: &Says) -> ManagerBeat {
        let exchanges = fleet.figures.exchanges.value();
        let done = exchanges.saturating_sub(self.exchanges);
        let commit_latency = fleet.figures.commit_time.high_since(&self.commits);
        (self.exchanges, self.commits) = (exchanges, fleet.figures.commit_time.counts());
        ManagerBeat {
            manager: fleet.id,
            name: fleet.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: says.address.clone(),
            started_at: says.started_at,
            exchange_rate: done.saturating_mul(1000) / BEAT.as_secs(),
            connections: fleet.figures.connections.value(),
            commit_latency,
            detail: json!({
                "refusals": fleet.figures.refusals(),
                "shed": fleet.figures.connections_shed.value(),
            })
            .to_string()
            .into_bytes(),
        }
    }

    /// Only what is new: what an operator wants it to show is said before it does.
    async fn tell_shown(&mut self, fleet: &Fleet, says: &Says) -> Result<(), StoreError> {
        let Some(shown) = says.shown.as_ref().map(|shown| shown.sha256()) else { return Ok(()) };
        if self.shown != Some(shown) {
            orphans::say(&*fleet.store, fleet.id, shown).await?;
            self.shown = Some(shown);
        }
        Ok(())
    }
}

/// Does the fleet's jobs whenever they are this manager's.
pub(crate) async fn work(fleet: Arc<Fleet>) {
    let mut ticks = interval(JOBS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..RETENTION_EVERY).cycle() {
        ticks.tick().await;
        let done = look(&fleet, round).await;
        if let Err(error) = done {
            warn!(error = %Chain(&error), "a job of the fleet could not be done");
        }
    }
}

async fn look(fleet: &Fleet, round: u32) -> Result<(), StoreError> {
    if holds(fleet, OFFLINE).await? {
        notice_silence(fleet).await?;
    }
    if round.is_multiple_of(COUNT_EVERY) {
        count(fleet).await?;
    }
    if holds(fleet, ROLLOUTS).await? {
        let agents = &fleet.settings.agents;
        let silence = Silence { poll: agents.poll, offline_after: agents.offline_after };
        rollouts::turn(&*fleet.store, &silence).await?;
    }
    // The first time soon after the start, then once a minute.
    if round == 1 && holds(fleet, RETENTION).await? {
        drop_the_old(fleet).await?;
    }
    Ok(())
}

/// How many agents there are, and how many managers share them.
pub(crate) async fn count(fleet: &Fleet) -> Result<(), StoreError> {
    let now = fleet.store.now().await?;
    let agents = fleet.store.fleet_counts(now).await?.agents;
    let managers = fleet.store.managers().await?;
    let serving = managers.iter().filter(|row| {
        let silent = now.since(row.seen_at);
        row.drain == Drain::Serve && online::manager(silent, BEAT) == online::Manager::Serving
    });
    let serving = u64::try_from(serving.count()).unwrap_or(u64::MAX);
    fleet.crowd.set_size(agents, serving, &fleet.settings.agents);
    Ok(())
}

async fn holds(fleet: &Fleet, job: &str) -> Result<bool, StoreError> {
    let lease = fleet.store.lease(job, fleet.id, LEASE).await?;
    Ok(matches!(lease, Lease::Held { .. }))
}

/// Gives the jobs back, so that nobody has to wait for the leases' end.
pub(crate) async fn give_back(fleet: &Fleet) {
    for job in [OFFLINE, ROLLOUTS, RETENTION] {
        if let Err(error) = fleet.store.release(job, fleet.id).await {
            warn!(job, error = %Chain(&error), "a job could not be given back");
        }
    }
}

async fn notice_silence(fleet: &Fleet) -> Result<(), StoreError> {
    loop {
        let since = fleet.store.now().await?.minus(fleet.settings.agents.offline_after);
        let silent = fleet.store.sweep_offline(since, SWEEP).await?;
        if silent.is_empty() {
            return Ok(());
        }
        info!(agents = silent.len(), "agents are not heard any more");
        if silent.len() < usize::try_from(SWEEP).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

async fn drop_the_old(fleet: &Fleet) -> Result<(), StoreError> {
    let dropped = fleet.store.turn_days(fleet.settings.event_days).await?;
    if let (Some(first), Some(last)) = (dropped.first(), dropped.last()) {
        info!(%first, %last, days = dropped.len(), "events of old days were dropped");
        let body = json!({"days": dropped.len(), "through": last.to_string()});
        let event = NewEvent {
            agent: None,
            kind: "events.dropped".to_owned(),
            severity: Severity::Information,
            body: body.to_string().into_bytes(),
        };
        fleet.store.tell(Some(fleet.id), vec![event]).await?;
    }
    fleet.store.sweep_sessions().await.map(drop)
}
