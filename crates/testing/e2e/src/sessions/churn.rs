//! Logouts, and tries with what was logged out, while processes are killed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::book::{Book, visit};
use super::killer::Killer;
use crate::Broken;
use crate::announcer::Announcer;
use crate::client::Client;
use crate::gateway::Gateway;

/// Tries with each session that was logged out: on the connection that it was used on, and on
/// one that is new.
const TRIES_EACH: u64 = 10;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How long answers to logouts took.
    pub(super) answers: Vec<Duration>,
    pub(super) uses: u64,
    pub(super) denied: u64,
    pub(super) tries: u64,
    pub(super) served: u64,
    /// Connections that ended without need: when, and how.
    pub(super) broken: Vec<(Duration, Broken)>,
}

/// Logs out and tries until the killer has done its work, and at least so often.
pub(super) fn perform(
    tries: u64,
    gateway: &Gateway,
    book: &mut Book,
    killer: &mut Killer<'_>,
) -> anyhow::Result<Seen> {
    let done = AtomicBool::new(false);
    let mut announcer = Announcer::new(gateway);
    let start = Instant::now();
    let mut visitor =
        Visitor { address: gateway.address("web"), client: None, start, seen: Seen::default() };
    thread::scope(|scope| {
        let killing = scope.spawn(|| {
            let outcome = killer.perform();
            done.store(true, Ordering::Release);
            outcome
        });
        while visitor.seen.tries < tries || !done.load(Ordering::Acquire) {
            let user = book.pick();
            visitor.use_of(user);
            visitor.seen.answers.push(book.log_out(user, &mut announcer)?);
            visitor.tries_with(user);
            book.enter_one(&mut announcer)?;
        }
        killing.join().unwrap()
    })?;
    Ok(visitor.seen)
}

/// Whoever shows cookies.
struct Visitor {
    address: SocketAddr,
    client: Option<Client>,
    start: Instant,
    seen: Seen,
}

impl Visitor {
    fn use_of(&mut self, user: u64) {
        self.seen.uses += 1;
        match self.ask(user) {
            Ok(200) => {}
            Ok(_) => self.seen.denied += 1,
            Err(broken) => self.seen.broken.push((self.start.elapsed(), broken)),
        }
    }

    fn tries_with(&mut self, user: u64) {
        for number in 0..TRIES_EACH {
            if number == TRIES_EACH / 2 {
                self.client = None;
            }
            self.seen.tries += 1;
            match self.ask(user) {
                Ok(401) => {}
                Ok(_) => self.seen.served += 1,
                Err(broken) => self.seen.broken.push((self.start.elapsed(), broken)),
            }
        }
    }

    /// The status that this user gets.
    fn ask(&mut self, user: u64) -> Result<u16, Broken> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(self.address)?,
        };
        client.send(&visit(user))?;
        let status = client.response("GET")?.head.status;
        self.client = Some(client);
        Ok(status)
    }
}
