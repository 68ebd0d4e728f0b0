//! Which events of a batch are new, and the hash of the stream with each.
//!
//! What is stored already is left out here: the cursor moves only together with the agent's
//! row, and the commit is refused if that is another by then.

use mainstay_database::{AgentEvent, ChainedEvent, EventBatch, EventCursor, Hash, Severity};
use mainstay_opamp::events::{Batch, Event, Severity as Said};
use mainstay_trust::digest::sha256;

/// What is to be stored of a batch; none if nothing is. And the number of the last event of the
/// stream that is stored then.
pub(super) fn fresh(batch: &mut Batch, cursor: &EventCursor) -> (Option<EventBatch>, u64) {
    let next = cursor.through.saturating_add(1);
    let stored = next.checked_sub(batch.first_seq).and_then(|count| usize::try_from(count).ok());
    // None: events are missing before the first.
    let Some(stored) = stored.filter(|stored| *stored < batch.events.len()) else {
        return (None, cursor.through);
    };
    let mut hash = cursor.hash;
    let events: Vec<ChainedEvent> = batch
        .events
        .drain(..)
        .skip(stored)
        .map(|event| {
            hash = link(hash, &event);
            ChainedEvent { event: read(event), hash }
        })
        .collect();
    let through = cursor.through.saturating_add(events.len() as u64);
    let fresh = EventBatch { stream: cursor.stream, first: next, previous: cursor.hash, events };
    (Some(fresh), through)
}

fn read(event: Event) -> AgentEvent {
    let severity = match event.severity() {
        Said::Info => Severity::Information,
        Said::Warning => Severity::Warning,
        Said::Critical => Severity::Critical,
    };
    AgentEvent {
        at: i64::try_from(event.unix_us).unwrap_or(i64::MAX),
        kind: event.kind,
        severity,
        body: event.body.into_bytes(),
    }
}

/// The hash of a stream up to and with an event.
fn link(previous: Hash, event: &Event) -> Hash {
    let mut text = Vec::with_capacity(64 + event.kind.len() + event.body.len());
    text.extend_from_slice(&previous.0);
    text.extend_from_slice(&event.unix_us.to_be_bytes());
    text.extend_from_slice(&event.severity.to_be_bytes());
    // The length, so that no other division has the same hash.
    text.extend_from_slice(&(event.kind.len() as u64).to_be_bytes());
    text.extend_from_slice(event.kind.as_bytes());
    text.extend_from_slice(event.body.as_bytes());
    Hash(sha256(&text))
}

#[cfg(test)]
mod tests {
    use mainstay_database::{Judgement, StreamId};

    use super::*;

    const STREAM: StreamId = StreamId([3; 16]);

    fn batch(first_seq: u64, numbers: std::ops::Range<u64>) -> Batch {
        let event = |number: u64| Event { kind: format!("n{number}"), ..Event::default() };
        Batch {
            stream: STREAM.0.to_vec(),
            first_seq,
            events: numbers.map(event).collect(),
            ..Batch::default()
        }
    }

    #[test]
    fn what_is_stored_is_left_out_and_a_gap_is_not_stored() {
        let start = EventCursor::start(STREAM);
        let (first, through) = fresh(&mut batch(1, 1..4), &start);
        let first = first.unwrap();
        assert_eq!(through, 3);
        assert_eq!(start.judge(&first), Judgement::Store { skip: 0, through: 3 });

        let cursor = EventCursor { through: 3, hash: first.events[2].hash, ..start };
        let (more, through) = fresh(&mut batch(2, 2..6), &cursor);
        let more = more.unwrap();
        assert_eq!((more.first, through), (4, 5));
        let kinds: Vec<&str> = more.events.iter().map(|event| &*event.event.kind).collect();
        assert_eq!(kinds, ["n4", "n5"]);
        assert_eq!(cursor.judge(&more), Judgement::Store { skip: 0, through: 5 });

        for mut nothing in [batch(4, 4..4), batch(1, 1..4), batch(1, 1..2), batch(5, 5..7)] {
            assert_eq!(fresh(&mut nothing, &cursor), (None, 3));
        }
    }
}
