//! Many agents, each with its own idea of when to ask next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mainstay_config::agent;
use mainstay_fleet::backoff;
use mainstay_fleet::endpoint::{Effect, Endpoints, Event, Failure, Policy};
use mainstay_model::Timestamp;

use super::Options;
use crate::fleet::{Agent, Answer};
use crate::luck::Luck;

/// Agents that have joined and do nothing.
#[derive(Debug)]
pub(super) struct Herd {
    address: SocketAddr,
    agents: Vec<Agent>,
    options: Options,
}

/// Agents that ask.
#[derive(Debug)]
pub(super) struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// What became of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    /// From the return of the manager to the first exchange of half of them, and of the last.
    pub(super) half: Duration,
    pub(super) last: Duration,
    /// Answers with 429 or 503 since then, until all were back.
    pub(super) sent_away: u64,
    pub(super) left: usize,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    poll: Duration,
    start: Instant,
    queue: Mutex<Queue>,
    changed: Condvar,
    returns: Mutex<Returns>,
}

#[derive(Debug, Default)]
struct Queue {
    /// When each wants to be woken.
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// None: it is at work.
    members: Vec<Option<Member>>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Returns {
    /// When the manager was back.
    since: Option<Timestamp>,
    is_back: Vec<bool>,
    /// How long after that each was.
    after: Vec<Duration>,
    sent_away: u64,
}

#[derive(Debug)]
struct Member {
    agent: Agent,
    endpoints: Endpoints,
    luck: Luck,
}

impl Herd {
    /// Has all of them join.
    pub(super) fn enrol(
        address: SocketAddr,
        token: &str,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let parts = thread::scope(|scope| {
            let join = |number: u32| {
                let rest = u32::from(number < options.agents % options.connections);
                let count = options.agents / options.connections + rest;
                let join = move || (0..count).map(|_| Agent::enroll_at(token, address)).collect();
                scope.spawn(join)
            };
            let threads: Vec<_> = (0..options.connections).map(join).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<anyhow::Result<Vec<Vec<Agent>>>>()
        });
        let agents = parts.context("an agent cannot join")?.into_iter().flatten().collect();
        Ok(Self { address, agents, options: options.clone() })
    }

    /// Has them ask from now on, the first time within a poll.
    pub(super) fn let_go(self) -> Running {
        let Self { address, agents, options } = self;
        let poll = options.poll();
        let settings = agent::parse(&format!("managers = [\"https://{address}\"]\n")).unwrap();
        let policy = Policy::new(
            settings.attempts_before_failover,
            settings.failover_after,
            settings.failback_interval,
            settings.retry_max,
        );
        let mut queue = Queue::default();
        let seed = Luck::new(1);
        for (place, agent) in agents.into_iter().enumerate() {
            let mut luck = seed.fork(place as u64);
            let first = Timestamp::from_micros(0) + luck.duration(Duration::ZERO..poll);
            let mut endpoints = Endpoints::new(policy, 1, first);
            endpoints.set_poll(poll);
            queue.due.push(Reverse((first, place)));
            queue.members.push(Some(Member { agent, endpoints, luck }));
        }
        let returns = Returns { is_back: vec![false; queue.members.len()], ..Returns::default() };
        let shared = Arc::new(Shared {
            address,
            poll,
            start: Instant::now(),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            returns: Mutex::new(returns),
        });
        let run = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run())
        };
        let threads = (0..options.connections).map(run).collect();
        Running { shared, threads }
    }
}

impl Running {
    /// Who asks from now on successfully is back.
    pub(super) fn manager_is_back(&self) {
        self.shared.returns.lock().unwrap().since = Some(self.shared.now());
    }

    /// How many are not back.
    pub(super) fn left(&self) -> usize {
        let returns = self.shared.returns.lock().unwrap();
        returns.is_back.len() - returns.after.len()
    }

    /// Ends their work; an error if one got an answer that it should not have got.
    pub(super) fn stop(self) -> anyhow::Result<Tally> {
        self.shared.queue.lock().unwrap().is_over = true;
        self.shared.changed.notify_all();
        for thread in self.threads {
            thread.join().unwrap()?;
        }
        let mut returns = self.shared.returns.lock().unwrap();
        returns.after.sort();
        let at = |place: usize| returns.after.get(place).copied().unwrap_or_default();
        let count = returns.after.len();
        Ok(Tally {
            half: at(count / 2),
            last: at(count.saturating_sub(1)),
            sent_away: returns.sent_away,
            left: returns.is_back.len() - count,
        })
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0) + self.start.elapsed()
    }

    /// Sees to whoever is due, until it is over.
    fn run(&self) -> anyhow::Result<()> {
        while let Some((place, mut member)) = self.next() {
            self.wake(place, &mut member)?;
            let wake_at = member.endpoints.wake_at().context("nothing is under way")?;
            let mut queue = self.queue.lock().unwrap();
            queue.members[place] = Some(member);
            queue.due.push(Reverse((wake_at, place)));
            drop(queue);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The next one that is due, when it is.
    fn next(&self) -> Option<(usize, Member)> {
        let mut queue = self.queue.lock().unwrap();
        loop {
            if queue.is_over {
                return None;
            }
            let wait = match queue.due.peek() {
                Some(Reverse((at, _))) => at.since(self.now()),
                // All are at work.
                None => self.poll,
            };
            if wait.is_zero() {
                let Reverse((_, place)) = queue.due.pop()?;
                let member = queue.members[place].take()?;
                return Some((place, member));
            }
            queue = self.changed.wait_timeout(queue, wait).unwrap().0;
        }
    }

    /// It does what is to be done, until there is something to wait for.
    fn wake(&self, place: usize, member: &mut Member) -> anyhow::Result<()> {
        let mut event = Event::Due;
        loop {
            let luck = backoff::Luck(member.luck.draw());
            let effects = member.endpoints.step(self.now(), luck, event);
            let is_to_ask = effects.iter().any(|effect| matches!(effect, Effect::Try { .. }));
            if !is_to_ask {
                return Ok(());
            }
            event = self.ask(place, member)?;
        }
    }

    fn ask(&self, place: usize, member: &mut Member) -> anyhow::Result<Event> {
        let agent = &mut member.agent;
        let answer = agent.send(self.address, &agent.batch(Vec::new()), &agent.chain);
        let answer: Answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Event::Failed(failure(&error))),
        };
        match answer.status {
            200 => {
                agent.take(answer)?;
                self.is_back(place);
                // As a real agent spreads its polls.
                let poll = self.poll * 9 / 10..self.poll * 11 / 10;
                Ok(Event::Done { next: member.luck.duration(poll) })
            }
            429 | 503 => {
                self.is_sent_away();
                let hold = answer.header("retry-after").and_then(|text| text.parse().ok());
                Ok(Event::Failed(Failure::Busy { hold: hold.map(Duration::from_secs) }))
            }
            _ => bail!("an agent is refused: {answer:?}"),
        }
    }

    fn is_back(&self, place: usize) {
        let mut returns = self.returns.lock().unwrap();
        let Some(since) = returns.since else { return };
        if !std::mem::replace(&mut returns.is_back[place], true) {
            returns.after.push(self.now().since(since));
        }
    }

    fn is_sent_away(&self) {
        let mut returns = self.returns.lock().unwrap();
        if returns.since.is_some() && returns.after.len() < returns.is_back.len() {
            returns.sent_away += 1;
        }
    }
}

fn failure(error: &anyhow::Error) -> Failure {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::TimedOut | ErrorKind::WouldBlock) => Failure::Silent,
        // Ended in its handshake, or before.
        Some(_) => Failure::Unreachable,
        None => Failure::Garbled,
    }
}
