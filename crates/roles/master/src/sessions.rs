//! Who is logged in, as the master has it: its answer is the last that broadcast waits for
//! before a caller gets its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use anyhow::Context as _;
use mainstay_journal::Loader;
use mainstay_model::Chain;
use mainstay_session::{Replica, ReplicaEffect, ReplicaEvent, Table};
use mainstay_wire::broadcast::ToBroadcast;
use mainstay_wire::session::{Figures, ToReplica, Update};
use tracing::{error, info};

use crate::turn::Master;

/// The sessions, and how far they have come.
#[derive(Debug)]
pub(crate) struct Sessions {
    replica: Replica,
    pub(crate) table: Table,
    /// As broadcast said last.
    pub(crate) figures: Figures,
    /// What was read and is not in force.
    aside: Option<Table>,
    loader: Loader,
}

impl Sessions {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            replica: Replica::default(),
            table: Table::default(),
            figures: Figures::default(),
            aside: None,
            loader: Loader::new().context("cannot make an event")?,
        })
    }
}

impl AsFd for Sessions {
    /// Readable when the journal was read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.loader.as_fd()
    }
}

impl Master {
    /// Broadcast has heard our Hello.
    pub(crate) fn introduce_sessions(&mut self) -> anyhow::Result<()> {
        self.step_sessions(ReplicaEvent::Connected, &[], Vec::new())
    }

    /// Broadcast says something about sessions.
    pub(crate) fn hear_sessions(
        &mut self,
        said: ToReplica,
        files: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        match said {
            ToReplica::Load { place, .. } => {
                self.step_sessions(ReplicaEvent::Load(place), &[], files)
            }
            ToReplica::Apply { first, updates, then } => {
                let count = updates.len() as u64;
                self.step_sessions(ReplicaEvent::Apply { first, count, then }, &updates, files)
            }
        }
    }

    /// The journal was read, or cannot be.
    pub(crate) fn take_loaded_sessions(&mut self) -> anyhow::Result<()> {
        let sessions = &mut self.sessions;
        let Some((place, loaded)) = sessions.loader.take().context("cannot take an event back")?
        else {
            return Ok(());
        };
        match loaded {
            Ok(table) => {
                info!(sessions = table.len(), number = place.number, "sessions were read");
                sessions.aside = Some(table);
                self.step_sessions(ReplicaEvent::Read(place), &[], Vec::new())
            }
            Err(error) => {
                error!(error = %Chain(&error), "cannot read the sessions, asking again");
                self.lose_broadcast()
            }
        }
    }

    fn step_sessions(
        &mut self,
        event: ReplicaEvent,
        updates: &[Arc<Update>],
        mut files: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        let after = |skip| updates.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        for effect in self.sessions.replica.step(event) {
            let sessions = &mut self.sessions;
            match effect {
                ReplicaEffect::Read(place) => {
                    let files = std::mem::take(&mut files);
                    sessions
                        .loader
                        .begin(files, place)
                        .context("cannot begin to read the sessions")?;
                }
                ReplicaEffect::Stage => {}
                ReplicaEffect::ApplyStaged { skip } => {
                    if let Some(aside) = &mut sessions.aside {
                        for update in after(skip) {
                            aside.apply(update);
                        }
                    }
                }
                ReplicaEffect::Install => {
                    sessions.table = sessions.aside.take().unwrap_or_default();
                    self.step_sessions(ReplicaEvent::Changed, &[], Vec::new())?;
                }
                ReplicaEffect::Apply { skip } => {
                    for update in after(skip) {
                        sessions.table.apply(update);
                    }
                    self.step_sessions(ReplicaEvent::Changed, &[], Vec::new())?;
                }
                ReplicaEffect::Say(said) => self.tell_broadcast(&ToBroadcast::Sessions(said))?,
                ReplicaEffect::Leave => {
                    error!("broadcast does not keep to the protocol, asking again");
                    self.lose_broadcast()?;
                }
            }
        }
        Ok(())
    }
}
