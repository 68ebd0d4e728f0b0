//! One exchange of an agent, as the database sees it: read the row, decide elsewhere, and set
//! what follows if the row is still the one that was read.
//!
//! # Invariants
//!
//! 1. A row changes only from the sequence number and token that the caller read. So of two
//!    managers that got the same request, one commits, and the other is told what is there now.
//! 2. An agent's event cursor moves only together with its row. So what
//!    [`EventCursor::judge`] said of the row that was read is what the commit does.
//! 3. The answer to [`crate::Store::exchange`] comes after the commit is on the disk.
//!
//! # Not here
//!
//! What a sequence number and a token mean (new, repeated, forked): `mainstay-fleet`.

use crate::agent::{Credential, Presence, Standing, StatusReport};
use crate::event::{NewEvent, Severity};
use crate::id::{AgentUid, ConfigurationId, GroupId, Hash, ManagerId, StreamId, VersionId};
use crate::time::WallTime;

/// What a manager reads before it decides about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub agent: AgentUid,
    pub credential: Credential,
    /// Whether it is to replace the key that it has.
    pub key_retired: bool,
    pub standing: Standing,
    pub group: GroupId,
    /// Of the host that enrolled.
    pub fingerprint: Vec<u8>,
    pub chain: ChainRow,
    /// As far as the stream that was asked about has been stored; at its beginning if it is new.
    pub cursor: EventCursor,
    /// Offline if that was recorded, or the agent took its leave, and it was not heard since.
    pub presence: Presence,
    pub seen_at: Option<WallTime>,
    /// What it should serve: its own in a rollout, else its group's.
    pub desired: Option<Desired>,
    /// Of the configuration it last said to serve.
    pub effective: Option<Hash>,
    /// Whether the database holds a full report of it; if not, ask for one.
    pub reported: bool,
    /// By the database's clock, when this was read.
    pub now: WallTime,
}

/// Where an agent's chain of exchanges stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// Of the last exchange that was accepted.
    pub sequence: u64,
    /// Of the token that the next request must bring.
    pub current: Hash,
    /// Of the token that the last accepted request brought.
    pub previous: Hash,
}

/// A version that an agent should serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    pub configuration: ConfigurationId,
    pub version: VersionId,
    /// Of its text, which [`crate::Store::version_text`] gives.
    pub hash: Hash,
}

/// One accepted request, and what becomes of the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub agent: AgentUid,
    /// The sequence number and current token of the row that the decision rests on.
    pub expected: (u64, Hash),
    pub next: ChainRow,
    /// Of the agent from here on: offline, if it has said that it ends.
    pub presence: Presence,
    /// What is sent again if the reply gets lost.
    pub reply: Vec<u8>,
    /// Who serves it.
    pub manager: ManagerId,
    /// Where the connection came from, as text.
    pub address: String,
    /// What the agent said about itself; `None` leaves all as it is.
    pub status: Option<StatusReport>,
    pub events: Option<EventBatch>,
    /// What the manager has to say about this exchange: back online, failed over.
    pub remarks: Vec<NewEvent>,
}

/// What became of an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// It is on the disk.
    Committed {
        /// What was done with the events, if there were any.
        events: Option<Judgement>,
        at: WallTime,
    },
    /// The row is another by now. Decide again, from this one.
    Moved(Box<Loaded>),
    /// There is no such agent (any more).
    Unknown,
}

/// Events of one stream, in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    pub stream: StreamId,
    /// Number of the first of `events`, from 1.
    pub first: u64,
    /// Of the stream up to and without the first.
    pub previous: Hash,
    pub events: Vec<ChainedEvent>,
}

/// An event and the stream's hash with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedEvent {
    pub event: AgentEvent,
    /// Of the stream up to and with this event. Whoever decodes the batch computes it.
    pub hash: Hash,
}

/// What an agent has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentEvent {
    /// By the agent's clock, in microseconds since 1970.
    pub at: i64,
    pub kind: String,
    pub severity: Severity,
    /// JSON, or whatever the agent sent.
    pub body: Vec<u8>,
}

/// How far a stream is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor {
    pub stream: StreamId,
    /// Number of the last stored event; 0 before the first.
    pub through: u64,
    /// Of the stream up to and with it.
    pub hash: Hash,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Leave out the first `skip`, which are stored; store the others. All or none may be left.
    Store { skip: usize, through: u64 },
    /// Events are missing between what is stored and the first of these. Nothing is stored.
    Gap { through: u64 },
    /// This is not the stream that is stored. Nothing is stored.
    Broken { through: u64 },
}

impl Exchange {
    /// Whether the row shows that this very exchange was committed. Its token was drawn for it.
    pub(crate) fn is_done(&self, stored: &ChainRow) -> bool {
        *stored == self.next
    }

    /// The stream whose cursor matters.
    pub(crate) fn stream(&self) -> StreamId {
        self.events.as_ref().map_or(StreamId([0; 16]), |batch| batch.stream)
    }
}

impl EventBatch {
    /// What is to be stored by a judgement: numbers and events, and the hash of the last; none
    /// if nothing is.
    pub(crate) fn new_events(
        &self,
        judged: Judgement,
    ) -> Option<(impl Iterator<Item = (u64, &ChainedEvent)>, Hash)> {
        let Judgement::Store { skip, .. } = judged else { return None };
        let new = self.events.get(skip..).filter(|new| !new.is_empty())?;
        let last = new.last()?.hash;
        Some(((self.first..).zip(&self.events).skip(skip), last))
    }
}

impl EventCursor {
    /// Where a stream begins.
    #[must_use]
    pub const fn start(stream: StreamId) -> Self {
        Self { stream, through: 0, hash: Hash::NONE }
    }

    /// What a commit will do with `batch` if the cursor is this one: drop what is stored, refuse
    /// gaps, store the rest once.
    #[must_use]
    pub fn judge(&self, batch: &EventBatch) -> Judgement {
        let through = self.through;
        if batch.stream != self.stream || batch.first == 0 {
            return Judgement::Broken { through };
        }
        if batch.first > through.saturating_add(1) {
            return Judgement::Gap { through };
        }
        // As many as lie between the first of the batch and the cursor.
        let stored = through.saturating_add(1) - batch.first;
        let Ok(skip) = usize::try_from(stored) else { return Judgement::Broken { through } };
        if skip > batch.events.len() {
            // All of it is stored; there is nothing to compare with.
            return Judgement::Store { skip: batch.events.len(), through };
        }
        let before = match skip.checked_sub(1) {
            None => batch.previous,
            Some(last) => batch.events.get(last).map_or(Hash::NONE, |event| event.hash),
        };
        if before != self.hash {
            return Judgement::Broken { through };
        }
        let new = batch.events.len() - skip;
        Judgement::Store { skip, through: through.saturating_add(new as u64) }
    }
}

impl Judgement {
    /// The last event of the stream that is stored afterwards.
    #[must_use]
    pub const fn through(self) -> u64 {
        match self {
            Self::Store { through, .. } | Self::Gap { through } | Self::Broken { through } => {
                through
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId([7; 16]);

    /// The hash of a made-up stream up to and with `number`.
    fn hash(number: u64) -> Hash {
        if number == 0 {
            return Hash::NONE;
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Hash(bytes)
    }

    fn batch(first: u64, count: u64) -> EventBatch {
        let event = |number| ChainedEvent {
            event: AgentEvent {
                at: 0,
                kind: "test".into(),
                severity: Severity::Information,
                body: vec![],
            },
            hash: hash(number),
        };
        EventBatch {
            stream: STREAM,
            first,
            previous: hash(first - 1),
            events: (first..first + count).map(event).collect(),
        }
    }

    #[test]
    fn what_is_stored_is_left_out_and_what_is_missing_is_said() {
        use Judgement::{Gap, Store};
        let at = |through| EventCursor { stream: STREAM, through, hash: hash(through) };
        for (cursor, first, count, expected) in [
            (0, 1, 3, Store { skip: 0, through: 3 }),
            (3, 4, 2, Store { skip: 0, through: 5 }),
            (3, 1, 3, Store { skip: 3, through: 3 }),
            (3, 2, 4, Store { skip: 2, through: 5 }),
            (9, 1, 3, Store { skip: 3, through: 9 }),
            (3, 4, 0, Store { skip: 0, through: 3 }),
            (3, 5, 1, Gap { through: 3 }),
            (0, 2, 1, Gap { through: 0 }),
        ] {
            let judged = at(cursor).judge(&batch(first, count));
            assert_eq!(judged, expected, "{cursor}, {count} from {first}");
        }
    }

    #[test]
    fn another_stream_is_refused() {
        let cursor = EventCursor { stream: STREAM, through: 3, hash: hash(3) };
        let broken = Judgement::Broken { through: 3 };
        let mut forged = batch(4, 1);
        forged.previous = hash(9);
        assert_eq!(cursor.judge(&forged), broken);
        let mut overlapping = batch(2, 4);
        overlapping.events[1].hash = hash(9);
        assert_eq!(cursor.judge(&overlapping), broken);
        let mut other = batch(4, 1);
        other.stream = StreamId([8; 16]);
        assert_eq!(cursor.judge(&other), broken);
        let mut zeroth = batch(1, 1);
        zeroth.first = 0;
        assert_eq!(cursor.judge(&zeroth), broken);
    }
}
