//! A ledger as a worker leaves it, and copies of it with some words changed: what a worker
//! leaves that overwrote its own memory.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use mainstay_adopt::{Place, Span, Window};
use mainstay_http::{Exchange, FieldSpace, HeadLimits, Parsed, parse_request};
use mainstay_ledger::{BodySent, Counter, LaneLedger, Layout, Ledger, Record};
use mainstay_os::SharedFile;

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 16, target_bytes: 256 };

/// Unchanged words beside one that is not zero are changed too.
const NEIGHBOURHOOD: usize = 8;

/// A whole ledger, of which the parts that are not zero are kept.
#[derive(Debug)]
pub struct Image {
    bytes: usize,
    /// Where the words are that say something.
    places: Vec<u64>,
    /// Their values, in the same order.
    words: Vec<[u8; 8]>,
}

impl Image {
    /// Slots of its one lane. All hold a record.
    pub const SLOTS: usize = 2;
    /// Bytes in the pipe of the second.
    pub const PIPED: u32 = 6;
    pub const LAYOUT: Layout = Layout { lanes: 1, slots: Self::SLOTS };

    /// Writes one with the real writer. Its mapping stays, so this is to be done once.
    pub fn new() -> Self {
        let bytes = Self::LAYOUT.bytes();
        let file = SharedFile::create("image", bytes).expect("a memory file");
        let mut ledger = Ledger::create(&file, Self::LAYOUT, 4711, 4712).expect("a mapping");
        fill(&mut ledger.lane(0));
        let mut content = vec![0; bytes];
        open(&file).read_exact_at(&mut content, 0).expect("as long as it was made");

        let (mut places, mut words) = (Vec::new(), Vec::new());
        for (index, line) in content.as_chunks::<8>().0.chunks(NEIGHBOURHOOD).enumerate() {
            if line.iter().any(|word| word != &[0; 8]) {
                for (offset, word) in line.iter().enumerate() {
                    places.push(((index * NEIGHBOURHOOD + offset) * 8) as u64);
                    words.push(*word);
                }
            }
        }
        Self { bytes, places, words }
    }

    /// A copy as the head of `input` says: how much of the file is there, how many words are
    /// changed, and for each its number and its new value. Returns what is left of the input.
    pub fn damaged<'i>(&self, input: &'i [u8]) -> Option<(SharedFile, &'i [u8])> {
        let (&[length, count], input) = input.split_first_chunk()?;
        let (changes, rest) = input.split_at_checked(usize::from(count) * 10)?;
        let bytes = self.bytes * (usize::from(length) + 1) / 256;
        let shared = SharedFile::create("damaged", bytes).expect("a memory file");
        let file = open(&shared);
        let write = |at: u64, word: &[u8]| {
            if at + 8 <= bytes as u64 {
                file.write_all_at(word, at).expect("the file has this length");
            }
        };
        for (at, word) in self.places.iter().zip(&self.words) {
            write(*at, word);
        }
        for change in changes.as_chunks::<10>().0 {
            let (index, word) = change.split_first_chunk().expect("ten bytes");
            let index = usize::from(u16::from_le_bytes(*index)) % self.places.len();
            write(self.places[index], word);
        }
        Some((shared, rest))
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

fn open(file: &SharedFile) -> File {
    File::from(file.as_fd().try_clone_to_owned().expect("another descriptor"))
}

/// Two connections in the middle of everything, and a word in every place there is for one.
fn fill(lane: &mut LaneLedger) {
    lane.set_thread(4712);
    lane.beat();
    for counter in Counter::ALL {
        lane.count(counter, 1);
    }
    lane.log()[..4].copy_from_slice(b"line");
    lane.note_log(3, 0, 4);
    for id in 1..=Image::SLOTS as u64 {
        let slot = lane.allocate().expect("a slot for each");
        lane.enter(slot);
        // Twice, for both copies.
        lane.commit(slot, &record(id));
        lane.commit(slot, &record(id));
    }
    lane.leave();
}

fn record(id: u64) -> Record {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut space = FieldSpace::new();
    let Ok(Parsed::Complete(request)) = parse_request(head, &mut space, &LIMITS) else {
        unreachable!("a request")
    };
    let mut record = Record::FREE;
    record.id = id;
    record.upstream_id = 10 + id;
    record.client_fd = 20;
    record.upstream_fd = 21;
    record.exchange = Exchange::begin(&request);
    record.exchange.pass_request(b"7;a=b\r\n123").expect("the beginning of a body");
    record.streams.client.read = 100;
    record.streams.client.written = 200;
    record.streams.upstream = record.streams.client;
    record.head = Span { place: Place::small(0), start: 0, end: 57 };
    record.streams.request.ahead = Span { start: 9, ..record.head };
    record.streams.request.window = Window { place: Place::large(1), start: 5, ready: 10, end: 20 };
    record.streams.response.ahead = Span { place: Place::OUT, start: 1, end: 30 };
    record.streams.response.window = if id == Image::SLOTS as u64 {
        (record.pipe_fd, record.pipe_id) = (22, 30);
        Window { place: Place::PIPE, start: 3, ready: 9, end: 3 + Image::PIPED }
    } else {
        Window { place: Place::SCRATCH, start: 0, ready: 3, end: 9 }
    };
    record.begun = 1;
    record.answered = 2;
    record.request_id = [3, 4];
    record.peer = Some(([192, 0, 2, 1], 4711).into()).into();
    record.tries = 1;
    record.body_sent = BodySent::Something;
    record
}
