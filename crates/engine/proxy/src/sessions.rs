//! Who is logged in, as this lane has it.
//!
//! Each lane has a table of its own, so a request looks it up without a lock. A change counts
//! as made when every lane has made it ([`Report::SessionsChanged`]): then no request is
//! answered by what was before.
//!
//! # Not here
//!
//! Where changes come from: the worker's control thread. What a session permits: routes.

use std::sync::Arc;

use mainstay_session::Table;
use mainstay_wire::session::Update;

use crate::lane::{Lane, Report};

/// What is known of who is logged in.
#[derive(Debug, Default)]
pub enum Sessions {
    /// Nothing has been heard: nobody can be told to be logged in.
    #[default]
    Absent,
    Whole(Table),
}

/// A change of who is logged in. Answered with [`Report::SessionsChanged`].
#[derive(Debug)]
pub enum SessionChange {
    /// This, in the stead of what was.
    Load(Table),
    /// These, after what was.
    Apply(Arc<[Arc<Update>]>),
}

impl Lane {
    /// Goes by a change from here on.
    pub(crate) fn change_sessions(&mut self, change: SessionChange) {
        match change {
            SessionChange::Load(table) => {
                self.sessions = Sessions::Whole(table);
                self.recheck_sessions();
            }
            SessionChange::Apply(updates) => {
                if let Sessions::Whole(table) = &mut self.sessions {
                    for update in &*updates {
                        table.apply(update);
                    }
                }
                for update in &*updates {
                    if let Update::Ended { keys, .. } = &**update {
                        self.end_sessions(keys);
                    }
                }
            }
        }
        self.report(Report::SessionsChanged);
    }

    /// Tells of the sessions that were used.
    pub(crate) fn tell_uses(&mut self) {
        if !self.uses.is_empty() {
            let uses = std::mem::take(&mut self.uses);
            self.report(Report::Used(uses));
        }
    }
}
