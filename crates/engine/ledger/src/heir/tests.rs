//! What an heir makes of bytes that were on their way through a pipe when their worker died.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use mainstay_os::Pipe;

use super::*;
use crate::lane::{LaneLedger, Ledger};
use crate::layout::{Layout, PIPE_BYTES};

const LAYOUT: Layout = Layout { lanes: 1, slots: 1 };

/// Two connected TCP sockets.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A worker's connection, and what moves bytes at its far ends.
struct Scene {
    client: TcpStream,
    upstream: TcpStream,
    pipe: Pipe,
    record: Record,
}

impl Scene {
    /// Reads land in the pipe, as the ledger says.
    fn new() -> Self {
        let ((client, mut reader), (upstream, mut server)) = (sockets(), sockets());
        client.set_nonblocking(true).unwrap();
        let body = vec![7; PIPE_BYTES];
        thread::spawn(move || server.write_all(&body).and_then(|()| server.read(&mut [0])));
        thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        let pipe = Pipe::new(PIPE_BYTES).unwrap();
        let mut record = Record::FREE;
        record.streams.response.window = Window { place: Place::PIPE, ..Window::EMPTY };
        (record.pipe_fd, record.pipe_id) = (pipe.number(), pipe.id());
        Self { client, upstream, pipe, record }
    }

    /// Moves so many bytes, as a worker does before it notes it.
    fn fill(&self, bytes: usize) {
        let mut filled = 0;
        while filled < bytes {
            filled += self.pipe.fill(&self.upstream, bytes - filled).unwrap();
        }
    }

    fn empty(&self, bytes: usize) {
        let mut emptied = 0;
        while emptied < bytes {
            match self.pipe.empty(&self.client, bytes - emptied) {
                Ok(count) => emptied += count,
                Err(errno) => assert_eq!(errno, rustix::io::Errno::AGAIN),
            }
        }
    }

    /// What the heir finds.
    fn settle(self, lane: &mut LaneLedger, ledger: Observer) -> Result<Adoptee, AdoptError> {
        // A copy of the reading end, as it comes from a keeper.
        let number = self.pipe.number();
        let copy = std::fs::File::open(format!("/proc/self/fd/{number}")).unwrap();
        let mut adoptee = Adoptee {
            record: self.record,
            client: self.client.into(),
            upstream: Some(self.upstream.into()),
            pipe: Some(copy.into()),
            suspect: false,
            configuration: Configuration::Ours,
            in_step: true,
            lane: 0,
            ledger: Arc::new(ledger),
            taken: Vec::new(),
        };
        adoptee.settle(&mut lane.areas).map(|()| adoptee)
    }
}

fn window(scene: Scene) -> Result<Window, AdoptError> {
    let file = SharedFile::create("heir-tests", LAYOUT.bytes()).unwrap();
    let mut ledger = Ledger::create(&file, LAYOUT, 1, 0).unwrap();
    let observer = Observer::open(&file).unwrap();
    let adoptee = scene.settle(&mut ledger.lane(0), observer)?;
    assert_eq!(adoptee.pipe.is_some(), adoptee.record.pipe_id != 0);
    Ok(adoptee.record.streams.response.window)
}

#[test]
fn what_came_into_a_pipe_and_was_not_noted_is_counted() {
    for filled in [1, 65_536, PIPE_BYTES] {
        let scene = Scene::new();
        scene.fill(filled);
        let end = u32::try_from(filled).unwrap();
        let expected = Window { place: Place::PIPE, start: 0, ready: 0, end };
        assert_eq!(window(scene).unwrap(), expected);
    }
}

#[test]
fn what_went_out_of_a_pipe_and_was_not_noted_is_counted() {
    for (emptied, left) in [(0, 100_000), (40_000, 60_000), (100_000, 0)] {
        let mut scene = Scene::new();
        scene.fill(100_000);
        scene.record.streams.upstream.read = 100_000;
        let window = &mut scene.record.streams.response.window;
        (window.ready, window.end) = (100_000, 100_000);
        scene.empty(emptied);
        let expected = if left == 0 {
            Window::EMPTY
        } else {
            Window { place: Place::PIPE, start: 0, ready: left, end: left }
        };
        assert_eq!(self::window(scene).unwrap(), expected);
    }
}

#[test]
fn bytes_that_are_not_in_the_pipe_are_missed() {
    let mut scene = Scene::new();
    scene.fill(10);
    scene.record.streams.upstream.read = 10;
    let window = &mut scene.record.streams.response.window;
    (window.ready, window.end) = (11, 11);
    let missed = self::window(scene);
    assert!(matches!(missed, Err(AdoptError::BytesMissing)), "{missed:?}");
}
