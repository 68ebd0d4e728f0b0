//! Who must be let through, and who must not.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mainstay_wire::session::Request;

use crate::Broken;
use crate::announcer::{Announcer, id, login, logout};
use crate::client::{Client, request};
use crate::gateway::Gateway;
use crate::luck::Luck;

/// Requests that are on their way at once on a connection.
const PIPELINED: usize = 50;
/// Connections that a census is taken over.
const CONNECTIONS: usize = 4;
/// Callers who log in at once to fill the table.
const CALLERS: u64 = 16;
/// What is asked for.
const TARGET: &str = "/bytes?n=1&seed=1";

/// Every session that there was, by the number that its id is made of, and what was promised
/// of it last.
#[derive(Debug)]
pub(super) struct Book {
    luck: Luck,
    next: u64,
    /// They are logged in, as was answered.
    inside: Vec<u64>,
    /// They are logged out, as was answered.
    outside: Vec<u64>,
}

/// What was found of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Census {
    pub(super) tried_in: usize,
    pub(super) tried_out: usize,
    pub(super) lost: usize,
    pub(super) back: usize,
}

impl Census {
    pub(super) const fn add(&mut self, other: Self) {
        self.tried_in += other.tried_in;
        self.tried_out += other.tried_out;
        self.lost += other.lost;
        self.back += other.back;
    }
}

impl Book {
    pub(super) const fn new(luck: Luck) -> Self {
        Self { luck, next: 0, inside: Vec::new(), outside: Vec::new() }
    }

    /// Logs in as many.
    pub(super) fn fill(&mut self, number: u32, gateway: &Gateway) -> anyhow::Result<()> {
        let all = self.next..self.next + u64::from(number);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|caller| {
                    let mut part = all.clone().filter(move |user| user % CALLERS == caller);
                    scope.spawn(move || {
                        let mut announcer = Announcer::new(gateway);
                        part.try_for_each(|user| announcer.insist(&entry(user)).map(drop))
                    })
                })
                .collect();
            callers
                .into_iter()
                .try_for_each(|caller| -> anyhow::Result<()> { caller.join().unwrap() })
        })?;
        self.next = all.end;
        self.inside.extend(all);
        Ok(())
    }

    /// Takes one who is inside out of the book.
    pub(super) fn pick(&mut self) -> u64 {
        let index = self.luck.between(0..self.inside.len() as u64);
        self.inside.swap_remove(usize::try_from(index).unwrap())
    }

    /// Logs out one who was picked; how long it took until that was certain.
    pub(super) fn log_out(
        &mut self,
        user: u64,
        announcer: &mut Announcer,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        announcer.insist(&logout(user))?;
        self.outside.push(user);
        Ok(start.elapsed())
    }

    /// Logs a new one in.
    pub(super) fn enter_one(&mut self, announcer: &mut Announcer) -> anyhow::Result<()> {
        let user = self.new_one();
        announcer.insist(&entry(user))?;
        self.inside.push(user);
        Ok(())
    }

    /// Logs one out, and another in; how long the logout took.
    pub(super) fn replace_one(&mut self, announcer: &mut Announcer) -> anyhow::Result<Duration> {
        let user = self.pick();
        let took = self.log_out(user, announcer)?;
        self.enter_one(announcer)?;
        Ok(took)
    }

    /// A login or a logout that nobody may hear the answer of.
    pub(super) fn draw(&mut self) -> (u64, Request) {
        if self.luck.between(0..2) == 0 {
            let user = self.pick();
            (user, logout(user))
        } else {
            let user = self.new_one();
            (user, entry(user))
        }
    }

    /// Notes what was answered of one who is in no list.
    pub(super) fn note(&mut self, user: u64, request: &Request) {
        match request {
            Request::Logout(_) => self.outside.push(user),
            _ => self.inside.push(user),
        }
    }

    /// Tries every one of them.
    pub(super) fn census(&self, address: SocketAddr) -> anyhow::Result<Census> {
        Ok(Census {
            tried_in: self.inside.len(),
            tried_out: self.outside.len(),
            lost: count_others(&self.inside, address, 200)?,
            back: count_others(&self.outside, address, 401)?,
        })
    }

    const fn new_one(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

fn entry(user: u64) -> Request {
    login(user, &format!("user-{user}"))
}

/// A request of a user.
pub(super) fn visit(user: u64) -> Vec<u8> {
    request("GET", TARGET, &[("Cookie", &format!("sid={}", id(user).reveal()))])
}

/// How many of them get another status than this.
fn count_others(users: &[u64], address: SocketAddr, good: u16) -> anyhow::Result<usize> {
    let share = users.len().div_ceil(CONNECTIONS).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = users
            .chunks(share)
            .map(|part| scope.spawn(move || try_all(part, address, good)))
            .collect();
        parts.into_iter().map(|part| Ok(part.join().unwrap()?)).sum()
    })
}

fn try_all(users: &[u64], address: SocketAddr, good: u16) -> Result<usize, Broken> {
    let mut client = Client::connect(address)?;
    let mut others = 0;
    for part in users.chunks(PIPELINED) {
        let wire: Vec<u8> = part.iter().flat_map(|user| visit(*user)).collect();
        client.send(&wire)?;
        for _ in part {
            others += usize::from(client.response("GET")?.head.status != good);
        }
    }
    Ok(others)
}
