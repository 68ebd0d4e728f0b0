//! Clients of the real gateway, who count what they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Client;
use crate::wait::Stop;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(5);

/// What clients saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hurt {
    pub(super) asked: u64,
    /// Answered with a status of 500 or more, or not at all.
    pub(super) failed: u64,
    /// From the first that failed to the last.
    pub(super) lasted: Duration,
    /// Whether the last request was answered.
    pub(super) is_served: bool,
}

/// One client that asks until it is stopped.
#[derive(Debug)]
pub(super) struct Clients {
    stop: Arc<Stop>,
    thread: JoinHandle<Hurt>,
}

impl Clients {
    pub(super) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(Stop::default());
        let told = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || ask(address, &told)) }
    }

    pub(super) fn stop(self) -> Hurt {
        self.stop.stop();
        self.thread.join().unwrap()
    }
}

fn ask(address: SocketAddr, stop: &Stop) -> Hurt {
    let mut hurt = Hurt::default();
    let mut client = None;
    let mut first = None;
    while !stop.pause(PAUSE) {
        let status = client.take().map_or_else(|| Client::connect(address), Ok).and_then(
            |mut open: Client| {
                let answer = open.get("/small")?;
                client = Some(open);
                Ok(answer.head.status)
            },
        );
        hurt.asked += 1;
        hurt.is_served = status.is_ok_and(|status| status < 500);
        if !hurt.is_served {
            hurt.failed += 1;
            hurt.lasted = first.get_or_insert_with(Instant::now).elapsed();
        }
    }
    hurt
}
