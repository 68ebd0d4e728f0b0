//! Adopting from a ledger of a worker that overwrote its own memory: the heir does not panic,
//! and what it could not adopt takes no room of its own.
//!
//! The input is how the ledger is damaged ([`Image::damaged`]). Its keeper is played here.

#![no_main]

use std::cell::RefCell;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use mainstay_adopt::Place;
use mainstay_fuzz::Image;
use mainstay_ledger::{
    AREA_BYTES, Adoptee, Areas, Claim, Direction, LaneLedger, Layout, Ledger, Left, Offer, Record,
    SMALL_BYTES,
};
use mainstay_os::{ChannelListener, SharedFile};
use mainstay_wire::estate::{Item, ToHeir, With};
use mainstay_wire::frame;

/// What a slot adds to a ledger: a record, and its buffers of both sizes.
const SLOT_BYTES: usize = (bytes(4096) - bytes(0)) / 4096;
const LARGE_PER_SLOT: usize = SLOT_BYTES / AREA_BYTES;
/// A record is smaller than a buffer.
const SMALL_PER_SLOT: usize = SLOT_BYTES % AREA_BYTES / SMALL_BYTES;

const fn bytes(slots: usize) -> usize {
    Layout { lanes: 1, slots }.bytes()
}

/// What each process makes once.
struct Stage {
    image: Image,
    keeper: ChannelListener,
    path: PathBuf,
    /// The heir's ledger.
    own: SharedFile,
    lane: LaneLedger,
    /// What every connection has at its ends.
    socket: OwnedFd,
    /// With [`Image::PIPED`] bytes in it.
    pipe: OwnedFd,
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage::new());
}

fuzz_target!(|input: &[u8]| {
    STAGE.with_borrow_mut(|stage| {
        if let Some((estate, _)) = stage.image.damaged(input) {
            let mut adopted = stage.offer(&estate);
            let areas = &mut stage.lane.areas;
            adopted.retain_mut(|adoptee| adoptee.settle(areas).is_ok());
            for adoptee in &adopted {
                lies_inside(&adoptee.record, areas);
            }
            for adoptee in &adopted {
                close(&adoptee.record, areas);
            }
            all_is_free(areas);
        }
    });
});

impl Stage {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mainstay-fuzz-{}", std::process::id()));
        let keeper = ChannelListener::bind(&path).expect("an address for the keeper");
        let own = SharedFile::create("heir", Image::LAYOUT.bytes()).expect("a memory file");
        let mut ledger = Ledger::create(&own, Image::LAYOUT, 1, 4712).expect("a mapping");
        let lane = ledger.lane(0);
        let (socket, _) = UnixStream::pair().expect("a pair of sockets");
        let (pipe, mut writing) = std::io::pipe().expect("a pipe");
        writing.write_all(&[7; Image::PIPED as usize]).expect("room for a few bytes");
        let (socket, pipe) = (socket.into(), pipe.into());
        Self { image: Image::new(), keeper, path, own, lane, socket, pipe }
    }

    /// What an heir makes of an offer of everything in `estate`.
    fn offer(&self, estate: &SharedFile) -> Vec<Adoptee> {
        let mut claim = Claim::send(&self.path, &self.own, 4712).expect("the keeper listens");
        let keeper = self.keeper.accept().expect("a claim").expect("a claim");
        let send = |message: &ToHeir, descriptors: &[BorrowedFd<'_>]| {
            let message = frame::encode(message).expect("a short message");
            keeper.send(&message, descriptors).expect("the heir is there");
        };
        send(&ToHeir::Estate { pid: 1 }, &[estate.as_fd()]);
        for slot in 0..Image::SLOTS as u32 {
            let items = vec![Item::Noted { lane: 0, slot, with: With::UpstreamAndPipe }];
            let socket = self.socket.as_fd();
            send(&ToHeir::Offer { offer: slot, items }, &[socket, socket, self.pipe.as_fd()]);
        }
        let mut noted = Vec::new();
        for _ in 0..Image::SLOTS {
            // The first may fail because the estate is no ledger, the others because of that.
            if let Ok(Some(Offer::Connections { left, .. })) = claim.receive() {
                noted.extend(left.into_iter().filter_map(|left| match left {
                    Left::Fresh(_) => None,
                    Left::Noted(adoptee) => Some(*adoptee),
                }));
            }
        }
        noted
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// Everything that a record speaks of is in buffers of its own, or in its pipe.
fn lies_inside(record: &Record, areas: &Areas) {
    let (head, streams) = (record.head, record.streams);
    let (request, response) = (streams.request, streams.response);
    for (span, direction) in [
        (head, Direction::Request),
        (request.ahead, Direction::Request),
        (response.ahead, Direction::Response),
    ] {
        if !span.is_empty() {
            assert!(span.place.is_own());
            let area = areas.at(span.place, direction);
            assert!(area.get(span.start as usize..span.end as usize).is_some(), "{span:?}");
        }
    }
    for (window, direction) in
        [(request.window, Direction::Request), (response.window, Direction::Response)]
    {
        if window.place == Place::PIPE && !window.is_empty() {
            assert_eq!(direction, Direction::Response);
            assert_eq!(window.end - window.start, Image::PIPED, "{window:?}");
        } else if !window.is_empty() {
            assert!(window.place.is_own());
            assert!(window.start <= window.ready && window.ready <= window.end, "{window:?}");
            let area = areas.at(window.place, direction);
            assert!(area.get(window.start as usize..window.end as usize).is_some(), "{window:?}");
        }
    }
}

/// Gives back what a connection has.
fn close(record: &Record, areas: &mut Areas) {
    let streams = &record.streams;
    let places = [
        record.head.place,
        streams.request.ahead.place,
        streams.request.window.place,
        streams.response.ahead.place,
        streams.response.window.place,
    ];
    // The head is often what goes out ahead, too.
    for (index, place) in places.iter().enumerate() {
        if !places[..index].contains(place) {
            areas.free(*place);
        }
    }
}

/// Every buffer can be had, as in a lane without connections.
fn all_is_free(areas: &mut Areas) {
    let mut places = Vec::<Place>::new();
    for (bytes, count) in [(SMALL_BYTES, SMALL_PER_SLOT), (AREA_BYTES, LARGE_PER_SLOT)] {
        places.extend((0..Image::SLOTS * count).map(|_| areas.allocate(bytes)));
    }
    for place in places {
        areas.free(place);
    }
}
