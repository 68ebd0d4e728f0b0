//! Who is logged in: from broadcast to every lane, and back that all of them know.
//!
//! What follows what is decided by [`Replica`]; here it is carried out. A worker announces
//! itself when its lanes have the sessions, or when they have not come in time: then it lets
//! nobody in who needs one, and serves everybody else.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context as _;
use mainstay_journal::Loader;
use mainstay_model::{Chain, Timestamp};
use mainstay_os::{Interest, Poller, now};
use mainstay_proxy::{Command, SessionChange};
use mainstay_session::{Replica, ReplicaEffect, ReplicaEvent, Table};
use mainstay_wire::broadcast::ToBroadcast;
use mainstay_wire::pair::ToMaster;
use mainstay_wire::session::{ToRegister, ToReplica, Update, Use};
use tracing::{error, info, warn};

use crate::control::{Control, Course, token};

/// The sessions, as the control thread sees to them.
#[derive(Debug)]
pub(crate) struct Sessions {
    replica: Replica,
    /// What was read and no lane has yet.
    table: Option<Table>,
    loader: Loader,
    /// Lanes that have not said that they have changed.
    changing: BTreeSet<usize>,
    /// Lanes that have ended: nothing is answered by them.
    ended: BTreeSet<usize>,
    announcement: Announcement,
    /// Then it is made in any case.
    announce_at: Timestamp,
}

/// Whether the master was told that this worker is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    /// There is no master, or it has not said what to listen to.
    Early,
    Due,
    Made,
}

/// What came with a message.
#[derive(Debug, Default)]
struct Luggage {
    updates: Vec<Arc<Update>>,
    files: Vec<OwnedFd>,
}

impl Sessions {
    pub(crate) fn new(poller: &Poller, announce_at: Timestamp) -> anyhow::Result<Self> {
        let loader = Loader::new().context("cannot make an event")?;
        poller
            .add(&loader, token::SESSIONS, Interest::ReadLevel)
            .context("cannot wait for sessions")?;
        Ok(Self {
            replica: Replica::default(),
            table: None,
            loader,
            changing: BTreeSet::new(),
            ended: BTreeSet::new(),
            announcement: Announcement::Early,
            announce_at,
        })
    }

    /// When the announcement is made without them.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        (self.announcement == Announcement::Due).then_some(self.announce_at)
    }

    /// The master that was told is gone.
    pub(crate) const fn forget_master(&mut self) {
        self.announcement = Announcement::Early;
    }
}

impl Control {
    /// The master may be told that this worker is ready, as soon as it is.
    pub(crate) fn may_announce(&mut self) {
        self.rest.sessions.announcement = Announcement::Due;
        self.announce();
    }

    /// Tells the master that this worker is ready, if it is time to.
    pub(crate) fn announce(&mut self) {
        let sessions = &mut self.rest.sessions;
        if sessions.announcement != Announcement::Due
            || matches!(self.rest.course, Course::Draining(_))
        {
            return;
        }
        if sessions.replica.held().is_none() {
            if now() < sessions.announce_at {
                return;
            }
            warn!("the sessions have not come: whoever needs one is not let in");
        }
        sessions.announcement = Announcement::Made;
        self.tell_master(&ToMaster::Ready);
    }

    /// Broadcast has heard our Hello.
    pub(crate) fn introduce_sessions(&mut self) -> anyhow::Result<()> {
        self.step_sessions(ReplicaEvent::Connected, Luggage::default())
    }

    /// Broadcast says something about sessions.
    pub(crate) fn hear_sessions(
        &mut self,
        said: ToReplica,
        files: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        match said {
            ToReplica::Load { place, .. } => {
                let luggage = Luggage { updates: Vec::new(), files };
                self.step_sessions(ReplicaEvent::Load(place), luggage)
            }
            ToReplica::Apply { first, updates, then } => {
                let event = ReplicaEvent::Apply { first, count: updates.len() as u64, then };
                self.step_sessions(event, Luggage { updates, files })
            }
        }
    }

    /// The journal was read, or cannot be.
    pub(crate) fn take_loaded(&mut self) -> anyhow::Result<()> {
        let sessions = &mut self.rest.sessions;
        let Some((place, loaded)) = sessions.loader.take().context("cannot take an event back")?
        else {
            return Ok(());
        };
        match loaded {
            Ok(table) => {
                info!(sessions = table.len(), number = place.number, "sessions were read");
                sessions.table = Some(table);
                self.step_sessions(ReplicaEvent::Read(place), Luggage::default())
            }
            Err(error) => {
                error!(error = %Chain(&error), "cannot read the sessions, asking again");
                self.leave_broadcast();
                Ok(())
            }
        }
    }

    /// A lane goes by what it was told, or has ended.
    pub(crate) fn lane_changed(&mut self, lane: usize) -> anyhow::Result<()> {
        let sessions = &mut self.rest.sessions;
        if !sessions.changing.remove(&lane) || !sessions.changing.is_empty() {
            return Ok(());
        }
        self.step_sessions(ReplicaEvent::Changed, Luggage::default())
    }

    /// A lane has ended: it answers nobody.
    pub(crate) fn lane_ended(&mut self, lane: usize) -> anyhow::Result<()> {
        self.rest.sessions.ended.insert(lane);
        self.lane_changed(lane)
    }

    /// Sessions were used here.
    pub(crate) fn tell_uses(&mut self, uses: Vec<Use>) {
        self.tell_broadcast(&ToBroadcast::Sessions(ToRegister::Used { uses }));
    }

    fn step_sessions(&mut self, event: ReplicaEvent, mut luggage: Luggage) -> anyhow::Result<()> {
        for effect in self.rest.sessions.replica.step(event) {
            match effect {
                ReplicaEffect::Read(place) => {
                    let files = std::mem::take(&mut luggage.files);
                    let loader = &mut self.rest.sessions.loader;
                    loader.begin(files, place).context("cannot begin to read the sessions")?;
                }
                // It is aside.
                ReplicaEffect::Stage => {}
                ReplicaEffect::ApplyStaged { skip } => {
                    if let Some(table) = &mut self.rest.sessions.table {
                        for update in luggage.after(skip) {
                            table.apply(update);
                        }
                    }
                }
                ReplicaEffect::Install => {
                    let table = self.rest.sessions.table.take().unwrap_or_default();
                    self.change_lanes(|| SessionChange::Load(table.clone()))?;
                }
                ReplicaEffect::Apply { skip } => {
                    let updates: Arc<[Arc<Update>]> = luggage.after(skip).cloned().collect();
                    self.change_lanes(|| SessionChange::Apply(Arc::clone(&updates)))?;
                }
                ReplicaEffect::Say(said) => {
                    self.tell_broadcast(&ToBroadcast::Sessions(said));
                    self.announce();
                }
                ReplicaEffect::Leave => {
                    error!("broadcast does not keep to the protocol, asking again");
                    self.leave_broadcast();
                }
            }
        }
        Ok(())
    }

    /// Tells every lane that still answers anybody.
    fn change_lanes(&mut self, change: impl Fn() -> SessionChange) -> anyhow::Result<()> {
        let rest = &mut self.rest;
        let lanes = 0..rest.lanes.count();
        rest.sessions.changing = lanes.filter(|lane| !rest.sessions.ended.contains(lane)).collect();
        rest.lanes.tell_all(|| Command::Sessions(change()))?;
        if rest.sessions.changing.is_empty() {
            return self.step_sessions(ReplicaEvent::Changed, Luggage::default());
        }
        Ok(())
    }
}

impl Luggage {
    fn after(&self, skip: u64) -> impl Iterator<Item = &Arc<Update>> {
        self.updates.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }
}
