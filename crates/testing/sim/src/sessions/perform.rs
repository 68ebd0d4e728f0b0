//! How each action changes the world.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mainstay_model::{Claims, Process as Role, Session, SessionKey, WallTime};
use mainstay_session::{
    Answer, Effect, Event, Member, Register, ReplicaEffect, ReplicaEvent, Whose,
};
use mainstay_wire::session::{ToRegister, Update, Use};

use super::world::{Change, Kind, Known, Link, ROLES, THREADS, Told, Wish, World};
use super::{Action, Flaw};
use crate::action::pick;

/// Sessions of a run: few, so that bad luck meets them.
const SESSIONS_MAX: usize = 24;

const SUBJECTS: [&str; 3] = ["alice", "bob", "carol"];

impl World {
    /// Does it, or returns `None` if there is nothing to do it to.
    pub(super) fn perform(&mut self, action: Action) -> Option<()> {
        match action {
            Action::LogIn { subject } => self.log_in(subject),
            Action::LogOut { session } => {
                let keys: Vec<SessionKey> = self.fates.keys().copied().collect();
                let key = pick(&keys, session)?;
                self.log_out(vec![key])
            }
            Action::LogOutSubject { subject } => {
                let subject = pick(&SUBJECTS, subject)?;
                let keys = self.broadcast.as_ref()?.register.find(Whose::Subject(subject));
                self.log_out(keys)
            }
            Action::Use { process, session } => self.use_session(process, session),
            Action::Write => self.write(),
            Action::Sync => self.sync(),
            Action::HearJournal => {
                let number = self.broadcast.as_mut()?.committed.take()?;
                self.step(Event::Committed { number })
            }
            Action::Notice { notice } => {
                let broadcast = self.broadcast.as_mut()?;
                let at = notice.checked_rem(broadcast.notices.len())?;
                let pid = broadcast.notices.remove(at);
                self.step(Event::Died { pid })
            }
            Action::Tick { milliseconds } => {
                self.now = self.now + Duration::from_millis(milliseconds.into());
                self.step(Event::Tick)
            }
            Action::Connect { process } => self.connect(process % ROLES.len()),
            Action::Up { process } => self.up(process % ROLES.len()),
            Action::Down { process } => self.down(process % ROLES.len()),
            Action::Read { process } => self.read(process % ROLES.len()),
            Action::Turn { process, thread } => self.turn(process % ROLES.len(), thread % THREADS),
            Action::Break { process } => self.break_link(process % ROLES.len()),
            Action::Spawn { process } => {
                if self.broadcast.is_none() {
                    self.start_broadcast();
                    return Some(());
                }
                self.start_process(process % ROLES.len())
            }
            Action::Kill { process } => self.kill(process % ROLES.len()),
            Action::KillBroadcast => self.broadcast.take().map(drop),
            Action::PowerFails { left } => {
                self.broadcast = None;
                self.processes = [None, None, None];
                let unsynced = self.disk.written.len() - self.disk.synced;
                self.disk.written.truncate(self.disk.synced + left % (unsynced + 1));
                self.disk.synced = self.disk.written.len();
                Some(())
            }
        }
    }

    fn log_in(&mut self, subject: usize) -> Option<()> {
        let number = self.fates.len();
        self.broadcast.as_ref()?;
        if number >= SESSIONS_MAX {
            return None;
        }
        let key = SessionKey::from_bytes([u8::try_from(number).ok()?; 32]);
        let session = Session {
            subject: (*pick(&SUBJECTS, subject)?).to_owned(),
            claims: Claims::default(),
            authenticated_at: WallTime::default(),
            idle_limit: Duration::from_hours(1),
            absolute_limit: Duration::from_hours(1),
            provider_session: None,
        };
        let update = self.broadcast.as_ref()?.register.set(key, session, WallTime::default());
        self.fates.entry(key).or_default().is_in = Known::Wanted;
        self.want(vec![Wish { key, kind: Kind::In }], vec![update.ok()?])
    }

    fn log_out(&mut self, keys: Vec<SessionKey>) -> Option<()> {
        let broadcast = self.broadcast.as_ref()?;
        let is_there = |key: &SessionKey| broadcast.register.table().find(key).is_some();
        let found: Vec<SessionKey> = keys.iter().copied().filter(is_there).collect();
        for key in &keys {
            let fate = self.fates.entry(*key).or_default();
            if fate.is_out == Known::No {
                fate.is_out = Known::Wanted;
            }
        }
        let wishes = keys.into_iter().map(|key| Wish { key, kind: Kind::Out }).collect();
        self.want(wishes, Register::log_out(&found))
    }

    fn want(&mut self, wishes: Vec<Wish>, updates: Vec<Update>) -> Option<()> {
        let broadcast = self.broadcast.as_mut()?;
        updates.iter().for_each(|update| broadcast.register.apply(update));
        self.tickets += 1;
        broadcast.tickets.insert(self.tickets, wishes);
        self.step(Event::Wanted { ticket: Some(self.tickets), updates })
    }

    fn use_session(&mut self, process: usize, session: usize) -> Option<()> {
        let keys: Vec<SessionKey> = self.fates.keys().copied().collect();
        let (key, at) = (pick(&keys, session)?, WallTime::from_millis(self.tickets));
        let process = self.processes.get_mut(process % ROLES.len())?.as_mut()?;
        process.link.as_mut()?.up.push_back(ToRegister::Used { uses: vec![Use { key, at }] });
        Some(())
    }

    fn write(&mut self) -> Option<()> {
        let broadcast = self.broadcast.as_mut()?;
        if broadcast.jobs.is_empty() {
            return None;
        }
        self.disk.written.extend(broadcast.jobs.drain(..));
        if self.flaw == Some(Flaw::WrittenIsCommitted) {
            broadcast.committed = Some(self.disk.written.len() as u64);
        }
        Some(())
    }

    fn sync(&mut self) -> Option<()> {
        let broadcast = self.broadcast.as_mut()?;
        if self.disk.synced == self.disk.written.len() {
            return None;
        }
        self.disk.synced = self.disk.written.len();
        broadcast.committed = Some(self.disk.synced as u64);
        Some(())
    }

    /// Tells broadcast's machine what happened, and does what it asks for.
    fn step(&mut self, event: Event) -> Option<()> {
        for effect in self.broadcast.as_mut()?.replication.step(self.now, event) {
            match effect {
                Effect::Write { update, .. } => self.broadcast.as_mut()?.jobs.push_back(update),
                Effect::Apply { to, first, updates, then } => {
                    self.tell(to, Told::Apply { first, updates, then });
                }
                Effect::Load { to, place } => {
                    let table = self.disk.table(place.number);
                    self.tell(to, Told::Load(place, table));
                }
                Effect::Answer { ticket, answer } => {
                    let wishes = self.broadcast.as_mut()?.tickets.remove(&ticket)?;
                    if answer == Answer::Confirmed {
                        self.confirm(&wishes);
                    }
                }
            }
        }
        Some(())
    }

    fn tell(&mut self, to: Member, told: Told) {
        let life = self.lives;
        let link = self.processes.iter_mut().flatten().find(|process| process.member() == to);
        if let Some(link) = link.and_then(|process| process.link.as_mut())
            && link.life == life
        {
            link.down.push_back(told);
        }
    }

    fn confirm(&mut self, wishes: &[Wish]) {
        for Wish { key, kind } in wishes {
            let fate = self.fates.entry(*key).or_default();
            match kind {
                Kind::In => fate.is_in = Known::Confirmed,
                Kind::Out => fate.is_out = Known::Confirmed,
            }
        }
        let confirmed = self.broadcast.as_ref().and_then(|b| b.replication.confirmed());
        self.confirmed = self.confirmed.max(confirmed.unwrap_or(0));
    }

    fn connect(&mut self, place: usize) -> Option<()> {
        let life = self.broadcast.as_ref()?.life;
        let process = self.processes.get_mut(place)?.as_mut()?;
        if process.link.as_ref().is_some_and(|link| link.life == life) {
            return None;
        }
        process.link = Some(Link { life, up: VecDeque::new(), down: VecDeque::new() });
        self.step_replica(place, ReplicaEvent::Connected, &[])
    }

    fn up(&mut self, place: usize) -> Option<()> {
        let life = self.broadcast.as_ref()?.life;
        let process = self.processes.get_mut(place)?.as_mut()?;
        let (member, role) = (process.member(), process.role);
        let link = process.link.as_mut().filter(|link| link.life == life)?;
        let said = link.up.pop_front()?;
        if role == Role::Master {
            let number = match said {
                ToRegister::At { held } => held.map_or(0, |held| held.number),
                ToRegister::Applied { number } => number,
                ToRegister::Used { .. } => 0,
            };
            self.master_has = self.master_has.max(number);
        }
        match said {
            ToRegister::At { held } => self.step(Event::Came { member, held }),
            ToRegister::Applied { number } => self.step(Event::Applied { member, number }),
            ToRegister::Used { uses } => {
                let register = &mut self.broadcast.as_mut()?.register;
                let update = register.used(&uses)?;
                register.apply(&update);
                self.step(Event::Wanted { ticket: None, updates: vec![update] })
            }
        }
    }

    /// What a dead broadcast has sent is still read.
    fn down(&mut self, place: usize) -> Option<()> {
        let process = self.processes.get_mut(place)?.as_mut()?;
        match process.link.as_mut()?.down.pop_front()? {
            Told::Load(at, table) => {
                process.reading = Some((at, table));
                self.step_replica(place, ReplicaEvent::Load(at), &[])
            }
            Told::Apply { first, updates, then } => {
                let count = updates.len() as u64;
                self.step_replica(place, ReplicaEvent::Apply { first, count, then }, &updates)
            }
        }
    }

    fn read(&mut self, place: usize) -> Option<()> {
        let process = self.processes.get_mut(place)?.as_mut()?;
        let (at, table) = process.reading.take()?;
        if self.flaw == Some(Flaw::ServesWhatItRead) {
            for thread in &mut process.threads {
                thread.table.get_or_insert_with(|| table.clone());
            }
        }
        process.aside = Some(table);
        self.step_replica(place, ReplicaEvent::Read(at), &[])
    }

    fn turn(&mut self, place: usize, thread: usize) -> Option<()> {
        let first_answers = self.has(Flaw::FirstThreadAnswers);
        let process = self.processes.get_mut(place)?.as_mut()?;
        let thread = process.threads.get_mut(thread)?;
        match thread.told.pop_front()? {
            Change::Load(table) => thread.table = Some(table),
            Change::Apply(updates) => {
                for update in updates {
                    thread.table.get_or_insert_default().apply(&update);
                }
            }
        }
        let left = process.threads.iter().filter(|thread| !thread.told.is_empty()).count();
        if left == 0 || (first_answers && left < THREADS) {
            return self.step_replica(place, ReplicaEvent::Changed, &[]);
        }
        Some(())
    }

    fn break_link(&mut self, place: usize) -> Option<()> {
        let life = self.broadcast.as_ref()?.life;
        let process = self.processes.get_mut(place)?.as_mut()?;
        let member = process.member();
        process.link.take_if(|link| link.life == life)?;
        if self.has(Flaw::ChannelEndIsDeath) {
            self.step(Event::Died { pid: member.pid });
        }
        self.step(Event::Left { member })
    }

    fn step_replica(
        &mut self,
        place: usize,
        event: ReplicaEvent,
        updates: &[Arc<Update>],
    ) -> Option<()> {
        let process = self.processes.get_mut(place)?.as_mut()?;
        let after = |skip: u64| updates.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        for effect in process.replica.step(event) {
            let change = match effect {
                ReplicaEffect::Read(_) | ReplicaEffect::Stage => continue,
                ReplicaEffect::ApplyStaged { skip } => {
                    for update in after(skip) {
                        process.aside.as_mut()?.apply(update);
                    }
                    continue;
                }
                ReplicaEffect::Install => Change::Load(process.aside.take().unwrap_or_default()),
                ReplicaEffect::Apply { skip } => Change::Apply(after(skip).cloned().collect()),
                ReplicaEffect::Say(said) => {
                    if let Some(link) = &mut process.link {
                        link.up.push_back(said);
                    }
                    continue;
                }
                ReplicaEffect::Leave => return self.break_link(place),
            };
            for thread in &mut process.threads {
                thread.told.push_back(change.clone());
            }
        }
        Some(())
    }
}
