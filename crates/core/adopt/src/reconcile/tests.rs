//! A worker that dies between any two of its acts, and the heir that must know the truth.

use proptest::prelude::*;

use super::*;
use crate::state::{Place, Span, Window};

const ROOM: u32 = 64;

fn room(flow: &Flow) -> u32 {
    ROOM - flow.landing().1
}

/// What a worker does to one flow, in the order in which it can happen.
#[derive(Clone, Copy, Debug)]
enum Act {
    Read(u32),
    Interpret(u32),
    Make(u32),
    Write(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1..ROOM).prop_map(Act::Read),
        (1..ROOM).prop_map(Act::Interpret),
        (1..ROOM).prop_map(Act::Make),
        (1..ROOM).prop_map(Act::Write),
    ]
}

/// Performs an act as a worker would: on the sockets (the counts) and, if it lives to note
/// it, in its notes. Transforms touch no socket.
fn perform(act: Act, streams: &mut Streams, kernel: &mut (Cursors, Cursors)) -> Kind {
    let flow = &mut streams.request;
    match act {
        Act::Read(bytes) => {
            let bytes = bytes.min(room(flow));
            if bytes == 0 {
                return Kind::Socket;
            }
            flow.has_read(bytes);
            streams.client.read += u64::from(bytes);
            kernel.0.read += u64::from(bytes);
            Kind::Socket
        }
        Act::Interpret(bytes) => {
            flow.window.ready = (flow.window.ready + bytes).min(flow.window.end);
            Kind::Transform
        }
        Act::Make(bytes) => {
            if flow.ahead.is_empty() && flow.window.ready_len() == 0 {
                flow.ahead = Span { place: Place::OUT, start: 0, end: bytes };
            }
            Kind::Transform
        }
        Act::Write(bytes) => {
            let bytes = (bytes as usize).min(flow.output());
            flow.has_written(bytes);
            streams.upstream.written += bytes as u64;
            kernel.1.written += bytes as u64;
            if flow.window.is_empty() {
                flow.window = Window::default();
            }
            Kind::Socket
        }
    }
}

#[derive(PartialEq)]
enum Kind {
    Socket,
    Transform,
}

proptest! {
    /// Whatever the worker did to its sockets after its last note, the heir finds it out.
    #[test]
    fn the_truth_is_found_after_a_death_between_act_and_note(
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut streams = Streams::default();
        let mut kernel = (Cursors::default(), Cursors::default());
        for act in acts {
            let noted = streams;
            let kind = perform(act, &mut streams, &mut kernel);

            let mut found = noted;
            reconcile(&mut found, Known::Counts(kernel.0), Known::Counts(kernel.1), room).unwrap();
            prop_assert_eq!(found.client, streams.client);
            prop_assert_eq!(found.upstream, streams.upstream);
            match kind {
                // Where the worker let an empty window go, the heir may still hold it.
                Kind::Socket => {
                    prop_assert_eq!(found.request.output(), streams.request.output());
                    prop_assert_eq!(
                        found.request.window.raw_len(),
                        streams.request.window.raw_len()
                    );
                }
                // A transform that was not noted is done again.
                Kind::Transform => prop_assert_eq!(found, noted),
            }
        }
    }

    /// Any counts at all: an answer or a refusal, and a refusal changes nothing.
    #[test]
    fn impossible_counts_are_refused(read in 0_u64..200, written in 0_u64..200) {
        let mut streams =
            Streams { client: Cursors { read: 10, written: 10 }, ..Streams::default() };
        streams.response.ahead = Span { place: Place::OUT, start: 0, end: 20 };
        let before = streams;
        let counts = Known::Counts(Cursors { read, written });
        let result = reconcile(&mut streams, counts, Known::Nothing, room);
        let possible = (10..=10 + u64::from(ROOM)).contains(&read) && (10..=30).contains(&written);
        prop_assert_eq!(result.is_ok(), possible);
        if !possible {
            prop_assert_eq!(streams, before);
        }
    }
}
