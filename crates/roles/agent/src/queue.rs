//! Events that no manager has yet, on the disk.
//!
//! ```text
//!   {"stream":…,"before":41,"dropped":0,"place":…}      the head: number of what is gone already
//!   {"event":{…},"place":…}                             number 42
//!   {"event":{…},"place":…}                             number 43
//! ```
//!
//! A line that a power failure cut is left out; what it would have said is read again, since the
//! place in the gateway's log is in the same line as the event.
//!
//! # Invariants
//!
//! 1. Numbers have no gaps. An event has a number when it may have been sent, and keeps it.
//! 2. A full queue drops its oldest events that cannot have been sent yet, samples of figures
//!    before all others, and counts them. One that is half full takes no more samples.
//! 3. An event is on the disk when [`Queue::add`] returns.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mainstay_opamp::events::{EVENT_BYTES_MAX, Event};
use mainstay_trust::file;
use serde::{Deserialize, Serialize};

use crate::sample;
use crate::state::Bytes;
use crate::tail::Place;

/// Most events of one request.
pub(crate) const SENT_EVENTS_MAX: usize = 512;

/// Most bytes of events of one request.
const SENT_BYTES_MAX: usize = 1024 * 1024;

/// What a line has beside the text of its event.
const LINE_BYTES: usize = 256;

/// A file this much longer than what is in it is written anew.
const SLACK_BYTES: u64 = 256 * 1024;

/// Why the queue cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("cannot read the queue of events")]
    Read { source: file::FileError },
    #[error("the queue of events {path} is damaged in its first line")]
    Head { path: PathBuf, source: serde_json::Error },
    #[error("cannot write the queue of events")]
    Write { source: io::Error },
    #[error("cannot write the queue of events anew")]
    Replace { source: file::FileError },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    stream: Bytes,
    before: u64,
    dropped: u64,
    place: Place,
}

#[derive(Serialize, Deserialize)]
struct Line {
    unix_us: u64,
    severity: i32,
    kind: String,
    body: String,
    /// After this event; none: it is not from the gateway's log.
    place: Option<Place>,
}

/// The events of one stream.
#[derive(Debug)]
pub(crate) struct Queue {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    bytes_max: u64,
    head: Head,
    events: VecDeque<Event>,
    bytes: u64,
    /// Since it was opened.
    dropped_here: u64,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sampled {
    Queued,
    LeftOut,
}

impl Queue {
    /// The queue of this stream. Another stream's is given up: its agent is another one.
    pub(crate) fn open(path: &Path, stream: &Bytes, bytes_max: u64) -> Result<Self, QueueError> {
        let bound = usize::try_from(bytes_max.saturating_mul(4)).unwrap_or(usize::MAX);
        let text = if path.exists() {
            file::read_secret(path, bound).map_err(|source| QueueError::Read { source })?
        } else {
            Vec::new()
        };
        let (head, events) = read(path, &text, stream)?;
        let file = Self::write_whole(path, &head, &events)?;
        let bytes = events.iter().map(weight).sum();
        let path = path.to_owned();
        let file_bytes = bytes;
        Ok(Self { path, file, file_bytes, bytes_max, head, events, bytes, dropped_here: 0 })
    }

    /// How far the gateway's log is in here.
    pub(crate) fn place(&self) -> &Place {
        &self.head.place
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// How many were dropped that no manager has heard of.
    pub(crate) const fn dropped(&self) -> u64 {
        self.head.dropped
    }

    /// How many were dropped since it was opened.
    pub(crate) const fn dropped_here(&self) -> u64 {
        self.dropped_here
    }

    /// How much waits, and how much may.
    pub(crate) const fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.bytes_max)
    }

    /// The first events, with the number of the first, as many as one request may have.
    pub(crate) fn first(&self) -> (u64, Vec<Event>) {
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.body.len() + LINE_BYTES;
            bytes <= SENT_BYTES_MAX
        };
        let events = self.events.iter().take(SENT_EVENTS_MAX).take_while(fits).cloned().collect();
        (self.head.before + 1, events)
    }

    /// Puts events at the end, with the place up to which the gateway's log is in here then.
    pub(crate) fn add(
        &mut self,
        events: Vec<Event>,
        place: Option<Place>,
    ) -> Result<(), QueueError> {
        let mut text = Vec::new();
        let count = events.len();
        for (index, mut event) in events.into_iter().enumerate() {
            if event.body.len() > EVENT_BYTES_MAX {
                "{\"too_long\":true}".clone_into(&mut event.body);
            }
            let place = place.clone().filter(|_| index + 1 == count);
            write_line(&mut text, &event, place.as_ref());
            self.bytes += weight(&event);
            self.events.push_back(event);
        }
        if let Some(place) = place {
            self.head.place = place;
        }
        if self.bytes > self.bytes_max {
            self.drop_oldest();
            return self.rewrite();
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Half a line may be there: the next thing to be written is the whole.
            self.rewrite()?;
            return Err(QueueError::Write { source });
        }
        self.file_bytes += text.len() as u64;
        Ok(())
    }

    /// Puts a sample of figures at the end, if what waits leaves room enough for events.
    pub(crate) fn add_sample(&mut self, sample: Event) -> Result<Sampled, QueueError> {
        if self.bytes + weight(&sample) > self.bytes_max / 2 {
            return Ok(Sampled::LeftOut);
        }
        self.add(vec![sample], None)?;
        Ok(Sampled::Queued)
    }

    /// Down to nine tenths, so that a full queue is not written anew for each event. Samples go
    /// first: what has happened is told once, how it is now is told again.
    fn drop_oldest(&mut self) {
        self.drop_oldest_of(|event| event.kind == sample::KIND);
        self.drop_oldest_of(|_event| true);
    }

    fn drop_oldest_of(&mut self, may_go: impl Fn(&Event) -> bool) {
        let excess = self.bytes.saturating_sub(self.bytes_max / 10 * 9);
        let (mut place, mut gone_bytes, mut gone) = (0, 0, 0);
        self.events.retain(|event| {
            place += 1;
            let may_have_been_sent = place <= SENT_EVENTS_MAX;
            if gone_bytes >= excess || may_have_been_sent || !may_go(event) {
                return true;
            }
            gone_bytes += weight(event);
            gone += 1;
            false
        });
        self.bytes -= gone_bytes;
        self.head.dropped += gone;
        self.dropped_here += gone;
    }

    /// Forgets what the managers' database has.
    pub(crate) fn forget_through(&mut self, number: u64) -> Result<(), QueueError> {
        let mut forgot = false;
        while self.head.before < number
            && let Some(event) = self.events.pop_front()
        {
            self.bytes -= weight(&event);
            self.head.before += 1;
            forgot = true;
        }
        // The database knows more of this stream than this disk: a backup was put back.
        self.head.before = self.head.before.max(number);
        if forgot && (self.events.is_empty() || self.file_bytes > self.bytes + SLACK_BYTES) {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Goes on under another name, for a database that has lost what this one's numbers count.
    pub(crate) fn begin_stream(&mut self, stream: &Bytes) -> Result<(), QueueError> {
        self.head.stream = stream.clone();
        self.head.before = 0;
        self.rewrite()
    }

    /// Number of the last event that is gone from here.
    pub(crate) const fn before(&self) -> u64 {
        self.head.before
    }

    /// A manager has heard of so many that were dropped.
    pub(crate) fn told_dropped(&mut self, count: u64) -> Result<(), QueueError> {
        if count == 0 {
            return Ok(());
        }
        self.head.dropped = self.head.dropped.saturating_sub(count);
        self.rewrite()
    }

    fn rewrite(&mut self) -> Result<(), QueueError> {
        self.file = Self::write_whole(&self.path, &self.head, &self.events)?;
        self.file_bytes =
            self.file.metadata().map_err(|source| QueueError::Write { source })?.len();
        Ok(())
    }

    fn write_whole(path: &Path, head: &Head, events: &VecDeque<Event>) -> Result<File, QueueError> {
        let mut text = serde_json::to_vec(head).expect("a head is JSON");
        text.push(b'\n');
        for event in events {
            write_line(&mut text, event, None);
        }
        file::write_secret(path, &text).map_err(|source| QueueError::Replace { source })?;
        let opened = OpenOptions::new().append(true).mode(0o600).open(path);
        opened.map_err(|source| QueueError::Write { source })
    }
}

/// What a file says, of this stream; of another one only how far the log was read.
fn read(path: &Path, text: &[u8], stream: &Bytes) -> Result<(Head, VecDeque<Event>), QueueError> {
    let fresh = Head { stream: stream.clone(), before: 0, dropped: 0, place: Place::default() };
    let mut events = VecDeque::new();
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return Ok((fresh, events)) };
    let mut head: Head = serde_json::from_slice(first)
        .map_err(|source| QueueError::Head { path: path.to_owned(), source })?;
    for line in lines.map_while(|line| line.strip_suffix(b"\n")) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { break };
        let Line { unix_us, severity, kind, body, place } = line;
        events.push_back(Event { unix_us, severity, kind, body });
        head.place = place.unwrap_or(head.place);
    }
    if head.stream == *stream {
        return Ok((head, events));
    }
    Ok((Head { place: head.place, ..fresh }, VecDeque::new()))
}

fn write_line(text: &mut Vec<u8>, event: &Event, place: Option<&Place>) {
    let line = Line {
        unix_us: event.unix_us,
        severity: event.severity,
        kind: event.kind.clone(),
        body: event.body.clone(),
        place: place.cloned(),
    };
    text.extend(serde_json::to_vec(&line).expect("an event is JSON"));
    text.push(b'\n');
}

fn weight(event: &Event) -> u64 {
    (event.body.len() + event.kind.len() + LINE_BYTES) as u64
}

#[cfg(test)]
mod tests;
