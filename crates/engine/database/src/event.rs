//! Events, as stored and as asked for.

use std::fmt;
use std::str::FromStr;

use crate::id::{AgentUid, ManagerId, NotAnId, StreamId};
use crate::time::{Day, WallTime};

/// How much an event matters. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Debug,
    Information,
    Warning,
    Error,
    Critical,
}

/// An event that a manager has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Whom it is about.
    pub agent: Option<AgentUid>,
    pub kind: String,
    pub severity: Severity,
    /// JSON.
    pub body: Vec<u8>,
}

/// An event that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub position: EventPosition,
    pub agent: Option<AgentUid>,
    /// Stream and number, if an agent sent it; none if a manager told it.
    pub origin: Option<(StreamId, u64)>,
    /// By the agent's clock, in microseconds since 1970; by the database's if a manager told it.
    pub at: i64,
    /// By the database's clock.
    pub received_at: WallTime,
    pub manager: Option<ManagerId>,
    pub kind: String,
    pub severity: Severity,
    pub body: Vec<u8>,
}

/// A place in the order of all events. Positions grow in the order in which events become
/// visible: whoever reads up to one and comes back for what follows it has missed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPosition {
    /// The transaction that stored it; 0 if the database has one writer.
    pub transaction: i64,
    pub number: i64,
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.transaction, self.number)
    }
}

impl FromStr for EventPosition {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (transaction, number) = text.split_once('-').ok_or(NotAnId)?;
        let read = |text: &str| text.parse::<i64>().map_err(|_error| NotAnId);
        Ok(Self { transaction: read(transaction)?, number: read(number)? })
    }
}

/// Which events. Nothing set: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub agent: Option<AgentUid>,
    pub stream: Option<StreamId>,
    /// Exactly this kind, or with a `*` at the end all that begin so.
    pub kind: Option<String>,
    /// This or worse.
    pub severity: Option<Severity>,
    /// Received at this instant or later.
    pub from: Option<WallTime>,
    /// Received before this instant.
    pub before: Option<WallTime>,
}

/// A day of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDay {
    pub day: Day,
    /// How many it holds; an estimate where counting is dear.
    pub events: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_and_read_back() {
        let position = EventPosition { transaction: 741, number: 12 };
        assert_eq!(position.to_string(), "741-12");
        assert_eq!("741-12".parse(), Ok(position));
        assert_eq!("741".parse::<EventPosition>(), Err(NotAnId));
        assert!(position < EventPosition { transaction: 742, number: 3 });
    }
}
