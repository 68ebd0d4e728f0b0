//! How an update comes into every process, and when its answer may go back.
//!
//! ```text
//!  wanted ─▶ number ─▶ journal ─▶ committed ─▶ both workers ─▶ applied ─▶ master ─▶ applied ─▶ answer
//! ```
//!
//! Who has a table is a [`Member`]: what it does, and the number of its process, so that a
//! successor is another. One that has just started is **fresh**: it accepts nobody, and nobody waits for it. It reads the journal, is
//! told what came since, and with the last of that is told to serve: from then on it is a
//! **holder**, like those that were there, and may accept whoever its table has.
//!
//! # Invariants
//!
//! 1. Nothing is told to a process that is not on the disk: no process is ever ahead of the
//!    journal.
//! 2. An answer is `Confirmed` only when every holder has come to its number; the master is one
//!    of them, and the last.
//! 3. A holder is gone when it is dead, not when its channel ends: until then it may accept
//!    whoever was there at the last number it has named.
//! 4. Those who may hold a table since before this broadcast are holders from the start.
//! 5. One message is under way to a holder at a time: who is slow gets longer ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mainstay_model::{Process, Timestamp};
use mainstay_wire::session::{Place, Then, Update};

/// What a message of updates may weigh, in bytes as they are sent.
const MESSAGE_WEIGHT_MAX: usize = 48 * 1024;

/// Updates that are kept for those who are behind. Who is further behind reads the journal.
const TAIL_MAX: usize = 4096;

/// Updates on their way into every process.
#[derive(Clone, Debug)]
pub struct Replication {
    epoch: u64,
    confirm_timeout: Duration,
    /// The last update that has a number.
    last: u64,
    committed: u64,
    /// The last ones, in order.
    tail: VecDeque<Arc<Update>>,
    peers: BTreeMap<Member, Peer>,
    /// By the number that they wait for.
    waiting: BTreeMap<u64, Vec<Waiting>>,
}

/// Who has a table of its own. In a gateway that is one process, several have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub process: Process,
    pub pid: u32,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug)]
struct Peer {
    stage: Stage,
    /// It has everything up to here.
    number: u64,
    link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It accepts nobody.
    Fresh,
    /// It may accept whoever its table has.
    Holder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Its channel has ended, or it has not connected yet.
    Away,
    /// It was told nothing that it has not answered.
    Even,
    /// What it has is of no use: it needs the whole.
    Lost,
    /// It was told everything up to this number.
    Told(u64),
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: u64,
    until: Timestamp,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants these. Without any: wants to know that everything before has come
    /// everywhere.
    Wanted { ticket: Option<u64>, updates: Vec<Update> },
    /// The journal is on the disk up to here.
    Committed { number: u64 },
    /// A process is there, with this table.
    Came { member: Member, held: Option<Place> },
    /// Its channel ended. It may live on.
    Left { member: Member },
    /// With all that it was.
    Died { pid: u32 },
    /// A member goes by everything up to here.
    Applied { member: Member, number: u64 },
    /// Time has passed; due at [`Replication::wake_at`].
    Tick,
}

/// What broadcast must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Write {
        number: u64,
        update: Arc<Update>,
    },
    Apply {
        to: Member,
        first: u64,
        updates: Vec<Arc<Update>>,
        then: Then,
    },
    /// Have it read the journal up to here.
    Load {
        to: Member,
        place: Place,
    },
    Answer {
        ticket: u64,
        answer: Answer,
    },
}

/// What the one who waits is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Confirmed,
    /// These have not said that they go by it; none: it is the disk that has not.
    Unconfirmed {
        missing: Vec<Process>,
    },
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub member: Member,
    /// It has everything up to here; none: it holds no table.
    pub number: Option<u64>,
}

impl Replication {
    /// A broadcast that has read its journal up to `place`, while these processes were running.
    pub fn new(
        place: Place,
        running: impl IntoIterator<Item = Member>,
        confirm_timeout: Duration,
    ) -> Self {
        let peer = Peer { stage: Stage::Holder, number: 0, link: Link::Away };
        Self {
            epoch: place.epoch,
            confirm_timeout,
            last: place.number,
            committed: place.number,
            tail: VecDeque::new(),
            peers: running.into_iter().map(|member| (member, peer)).collect(),
            waiting: BTreeMap::new(),
        }
    }

    /// The last update that has a number.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The last update that is on the disk.
    pub const fn committed(&self) -> u64 {
        self.committed
    }

    /// The last update that every process goes by, as far as is known; none without a master.
    pub fn confirmed(&self) -> Option<u64> {
        let has_master = self.holders().any(|(member, _)| member.process == Process::Master);
        let numbers = self.holders().map(|(_, holder)| holder.number);
        has_master.then(|| numbers.fold(self.committed, u64::min))
    }

    fn holders(&self) -> impl Iterator<Item = (&Member, &Peer)> {
        self.peers.iter().filter(|(_, peer)| peer.stage == Stage::Holder)
    }

    /// Everyone who has a table, or is about to.
    pub fn standings(&self) -> Vec<Standing> {
        let standing = |(member, peer): (&Member, &Peer)| {
            let number = (peer.stage == Stage::Holder).then_some(peer.number);
            Standing { member: *member, number }
        };
        self.peers.iter().map(standing).collect()
    }

    /// When [`Event::Tick`] is due, if it is.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.waiting.values().flatten().map(|waiting| waiting.until).next()
    }

    /// Takes what happened; returns what must be done.
    pub fn step(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Wanted { ticket, updates } => {
                for update in updates {
                    self.number(Arc::new(update), &mut effects);
                }
                if let Some(ticket) = ticket {
                    let until = now + self.confirm_timeout;
                    self.waiting.entry(self.last).or_default().push(Waiting { ticket, until });
                }
            }
            Event::Committed { number } => self.committed = self.committed.max(number),
            Event::Came { member, held } => self.came(member, held),
            Event::Left { member } => {
                if let Some(peer) = self.peers.get_mut(&member) {
                    peer.link = Link::Away;
                }
            }
            Event::Died { pid } => self.peers.retain(|member, _| member.pid != pid),
            Event::Applied { member, number } => {
                if let Some(peer) = self.peers.get_mut(&member)
                    && peer.link == Link::Told(number)
                {
                    peer.number = number;
                    peer.link = Link::Even;
                }
            }
            Event::Tick => {}
        }
        self.tell(&mut effects);
        self.answer(now, &mut effects);
        effects
    }

    fn number(&mut self, update: Arc<Update>, effects: &mut Vec<Effect>) {
        self.last += 1;
        self.tail.push_back(Arc::clone(&update));
        // What is not on the disk is in nobody's journal yet.
        let spare = self.tail.len().saturating_sub(TAIL_MAX);
        let first = self.first_of_tail();
        let droppable = self.committed.saturating_add(1).saturating_sub(first);
        let count = spare.min(usize::try_from(droppable).unwrap_or(usize::MAX));
        self.tail.drain(..count);
        effects.push(Effect::Write { number: self.last, update });
    }

    fn first_of_tail(&self) -> u64 {
        self.last + 1 - self.tail.len() as u64
    }

    fn came(&mut self, member: Member, held: Option<Place>) {
        let (stage, number, link) = match held {
            None => (Stage::Fresh, 0, Link::Lost),
            Some(place) if place.epoch == self.epoch && place.number <= self.committed => {
                (Stage::Holder, place.number, Link::Even)
            }
            // Of another journal: until it has ours it may accept anybody.
            Some(_) => (Stage::Holder, 0, Link::Lost),
        };
        self.peers.insert(member, Peer { stage, number, link });
    }

    /// Tells everyone what is next for them: workers what is committed, then the master.
    fn tell(&mut self, effects: &mut Vec<Effect>) {
        let workers = self.holders().filter(|(member, _)| member.process != Process::Master);
        let workers = workers.map(|(_, holder)| holder.number).fold(self.committed, u64::min);
        let members: Vec<Member> = self.peers.keys().copied().collect();
        for to in members {
            let Some(mut peer) = self.peers.get(&to).copied() else { continue };
            let is_master = to.process == Process::Master;
            let target = if is_master { workers } else { self.committed };
            match peer.link {
                Link::Away | Link::Told(_) => continue,
                Link::Even if peer.number >= target && peer.stage == Stage::Holder => continue,
                Link::Even if peer.number + 1 >= self.first_of_tail() => {
                    let first = peer.number + 1;
                    let updates = self.updates(first, target);
                    let last = peer.number + updates.len() as u64;
                    let then = match peer.stage {
                        Stage::Fresh if last < target => Then::Wait,
                        Stage::Fresh | Stage::Holder => Then::Serve,
                    };
                    // From now on it may serve, whether we hear of it or not.
                    if then == Then::Serve {
                        peer.stage = Stage::Holder;
                    }
                    peer.link = Link::Told(last);
                    effects.push(Effect::Apply { to, first, updates, then });
                }
                Link::Even | Link::Lost => {
                    // Also the master: the journal may have no younger place than this.
                    let place = Place { epoch: self.epoch, number: self.committed };
                    peer.link = Link::Told(place.number);
                    effects.push(Effect::Load { to, place });
                }
            }
            self.peers.insert(to, peer);
        }
    }

    /// From `first` up to `last`, or as many as fit into a message.
    fn updates(&self, first: u64, last: u64) -> Vec<Arc<Update>> {
        let skipped = first.saturating_sub(self.first_of_tail());
        let count = (last + 1).saturating_sub(first);
        let of_tail = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let mut weight = 0;
        let mut updates = Vec::new();
        for update in self.tail.iter().skip(of_tail(skipped)).take(of_tail(count)) {
            weight += weigh(update);
            if weight > MESSAGE_WEIGHT_MAX && !updates.is_empty() {
                break;
            }
            updates.push(Arc::clone(update));
        }
        updates
    }

    fn answer(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let confirmed = self.confirmed();
        // In the order of their numbers, which is that of their deadlines.
        while let Some(mut first) = self.waiting.first_entry() {
            let number = *first.key();
            if confirmed.is_some_and(|confirmed| number <= confirmed) {
                let told =
                    |Waiting { ticket, .. }| Effect::Answer { ticket, answer: Answer::Confirmed };
                effects.extend(first.remove().into_iter().map(told));
                continue;
            }
            let (due, left) = first.get().iter().partition(|waiting| waiting.until <= now);
            let due: Vec<Waiting> = due;
            *first.get_mut() = left;
            if first.get().is_empty() {
                first.remove();
            }
            if due.is_empty() {
                return;
            }
            let answer = Answer::Unconfirmed { missing: self.missing(number) };
            let told =
                |Waiting { ticket, .. }: Waiting| Effect::Answer { ticket, answer: answer.clone() };
            effects.extend(due.into_iter().map(told));
        }
    }

    /// Who has not come so far.
    fn missing(&self, number: u64) -> Vec<Process> {
        let behind = self.holders().filter(|(_, holder)| holder.number < number);
        let mut missing: Vec<Process> = behind.map(|(member, _)| member.process).collect();
        if self.confirmed().is_none() {
            missing.push(Process::Master);
        }
        missing
    }
}

/// Not less than the length of an update as it is sent.
fn weigh(update: &Update) -> usize {
    match update {
        // Every quote in claims takes two bytes, every byte of a name at most six.
        Update::Set { session, .. } => {
            let names =
                session.subject.len() + session.provider_session.as_ref().map_or(0, String::len);
            400 + session.claims.as_str().len() * 2 + names * 6
        }
        Update::Used { uses } => 64 + uses.len() * 120,
        Update::Ended { keys, .. } => 64 + keys.len() * 70,
    }
}

#[cfg(test)]
mod tests;
