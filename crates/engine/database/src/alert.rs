//! Alerts: what somebody should look at. An alert has a key, so that what goes on happening is
//! one alert that counts, not many.

use crate::event::Severity;
use crate::id::{AgentUid, AlertId};
use crate::time::WallTime;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// Names the condition: `clone:<uid>`. While an alert with it is open, it is counted there.
    pub key: String,
    pub kind: String,
    pub severity: Severity,
    pub agent: Option<AgentUid>,
    /// A sentence.
    pub text: String,
    /// JSON.
    pub detail: Vec<u8>,
}

/// Whether somebody still has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    Open,
    /// Somebody knows of it.
    Acknowledged,
    Closed,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    pub id: AlertId,
    pub alert: NewAlert,
    pub state: AlertState,
    pub count: u64,
    pub first_at: WallTime,
    pub last_at: WallTime,
    /// Who changed its state last.
    pub by: Option<String>,
}

/// Which alerts. Nothing set: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    pub state: Option<AlertState>,
    pub kind: Option<String>,
    pub agent: Option<AgentUid>,
}
