//! Many connections of one thread: opened, asked, and asked again.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{Client, request};
use crate::origin::{SMALL_BYTES, SMALL_SEED};
use crate::pattern::Pattern;
use crate::socket::{Broken, PATIENCE};

/// How many connections are asked before the first of them is listened to. Small enough that
/// all their requests fit into the buffers on the way.
const BATCH: usize = 100;

/// Open keep-alive connections.
#[derive(Debug)]
pub(super) struct Crowd {
    clients: Vec<Client>,
}

impl Crowd {
    /// Opens `n` connections, each of which has had one answer.
    pub(super) fn open(address: SocketAddr, n: usize) -> anyhow::Result<Self> {
        let mut clients = Vec::with_capacity(n);
        while clients.len() < n {
            // An address of its own for every few thousand: each has only so many ports.
            let host = u8::try_from(2 + clients.len() / 5_000)?;
            let source = Ipv4Addr::new(127, 0, 0, host);
            let client = Client::connect_from(source, address);
            clients.push(client.with_context(|| format!("connection {}", clients.len()))?);
        }
        let mut crowd = Self { clients };
        crowd.ask_all()?;
        Ok(crowd)
    }

    /// Asks on every connection, and checks every answer.
    pub(super) fn ask_all(&mut self) -> anyhow::Result<()> {
        let (wire, expected) = (request("GET", "/small", &[]), small());
        for (number, batch) in self.clients.chunks_mut(BATCH).enumerate() {
            for client in &mut *batch {
                client.send(&wire)?;
            }
            for (place, client) in batch.iter_mut().enumerate() {
                let which = || format!("connection {}", number * BATCH + place);
                let response = client.response("GET").with_context(which)?;
                ensure!(response.body == expected, "{}: a wrong answer", which());
                client.socket().release();
            }
        }
        Ok(())
    }

    /// The connections of one round: some to hold, some to ask afterwards; others each round.
    pub(super) fn choose(&mut self, probes: usize) -> (&mut [Client], &mut [Client]) {
        let turn = (2 * probes).min(self.clients.len() / 2);
        self.clients.rotate_left(turn);
        let (held, rest) = self.clients.split_at_mut(probes);
        (held, &mut rest[..probes])
    }
}

fn small() -> Vec<u8> {
    Pattern::bytes(SMALL_SEED, usize::try_from(SMALL_BYTES).unwrap())
}

/// When each of `clients` has its first byte, since `start`.
pub(super) fn first_bytes(
    clients: &mut [&mut Client],
    start: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = vec![None; clients.len()];
    while times.contains(&None) {
        let waiting: Vec<usize> =
            (0..times.len()).filter(|place| times[*place].is_none()).collect();
        let mut watched = Vec::new();
        for place in &waiting {
            // The last reference to each is a shared one: `PollFd` borrows the stream.
            let client: &Client = clients[*place];
            watched.push(PollFd::new(client.stream(), PollFlags::IN));
        }
        let left = PATIENCE.saturating_sub(start.elapsed());
        if poll(&mut watched, Some(&Timespec::try_from(left)?))? == 0 {
            bail!(
                "{} of {} connections have no byte after {PATIENCE:?}",
                waiting.len(),
                times.len()
            );
        }
        let now = start.elapsed();
        for (place, watched) in waiting.iter().zip(&watched) {
            if !watched.revents().is_empty() {
                times[*place] = Some(now);
            }
        }
    }
    Ok(times.into_iter().flatten().collect())
}

/// Reads an answer whose first byte is there, and expects 200.
pub(super) fn finish(client: &mut Client) -> Result<(), Broken> {
    let response = client.response("GET")?;
    if response.head.status == 200 { Ok(()) } else { Err(response.head.unexpected()) }
}
