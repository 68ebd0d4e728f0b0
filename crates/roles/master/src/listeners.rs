//! The listening sockets, as the supervisor gave them.
//!
//! While an apply is under way those of two generations are here: what both have once, under the
//! name and the manner of each.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Context as _;
use mainstay_config::listeners::{Accept, Address, Listener as Configured};
use mainstay_model::ListenerId;
use mainstay_os::{Interest, Poller, close_listener};
use mainstay_wire::pair::{self, Standing};
use tracing::warn;

use crate::settings::{Planned, Refusal};
use crate::token::Token;

/// All listeners of the gateway; none before the supervisor's first message.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
    era: Era,
    /// Numbers that were given, to begin the next search for one at.
    given: u16,
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) socket: OwnedFd,
    /// As the current generation has it; none if only the next one has it.
    now: Option<Planned>,
    /// As the generation has it that is on its way into service.
    next: Option<Planned>,
    watched: Watched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Yes,
    No,
}

/// Which generation the active worker serves, while an apply is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Era {
    /// The current one. Nobody accepts from what only the next one has.
    #[default]
    Current,
    /// The next one. What only the current one has is accepted from all the same: it may come
    /// back, and its clients do not know.
    Next,
}

/// The addresses that an apply adds and removes, as the configuration has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl Changes {
    pub(crate) fn between(from: &[Planned], to: &[Planned]) -> Self {
        let lacking = |some: &[Planned], others: &[Planned]| {
            let is_there = |plan: &&Planned| {
                others.iter().any(|one| one.listener.is_at_the_place_of(&plan.listener))
            };
            let lacking = some.iter().filter(|plan| !is_there(plan));
            lacking.map(|plan| plan.listener.address.to_string()).collect()
        };
        Self { added: lacking(to, from), removed: lacking(from, to) }
    }
}

/// From which listeners the master accepts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    Nothing,
    /// Those with `accept = "master"`.
    Own,
    All,
}

impl Listener {
    /// How it is treated in this era.
    fn plan(&self, era: Era) -> Option<&Planned> {
        match era {
            Era::Current => self.now.as_ref(),
            Era::Next => self.next.as_ref().or(self.now.as_ref()),
        }
    }

    fn any_plan(&self) -> Option<&Planned> {
        self.now.as_ref().or(self.next.as_ref())
    }

    pub(crate) fn name(&self) -> &str {
        self.any_plan().map_or("", |plan| &plan.listener.name)
    }

    /// The path of a Unix socket.
    pub(crate) fn path(&self) -> Option<&std::path::Path> {
        match &self.any_plan()?.listener.address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }

    /// What a client gets when nobody is ready.
    pub(crate) fn refusal(&self) -> Refusal {
        self.any_plan().map_or(Refusal::Close, |plan| plan.refusal)
    }

    /// Ends what the poller tells of it.
    pub(crate) fn unwatch(&mut self, poller: &Poller) -> anyhow::Result<()> {
        if self.watched == Watched::Yes {
            poller
                .remove(&self.socket)
                .with_context(|| format!("cannot stop watching listener {}", self.name()))?;
            self.watched = Watched::No;
        }
        Ok(())
    }
}

impl Listeners {
    /// What the supervisor gave for the current generation, by name.
    pub(crate) fn new(names: Vec<String>, sockets: Vec<OwnedFd>, planned: &[Planned]) -> Self {
        let mut listeners = Self::default();
        for (name, socket) in names.into_iter().zip(sockets) {
            match planned.iter().find(|plan| plan.listener.name == name) {
                Some(plan) => listeners.push(socket, Some(plan.clone()), None),
                None => warn!(listener = name, "listener is not in the current generation"),
            }
        }
        listeners
    }

    fn push(&mut self, socket: OwnedFd, now: Option<Planned>, next: Option<Planned>) {
        let is_free = |id: &u16| self.all.iter().all(|listener| listener.id.0 != *id);
        let mut numbers = (self.given..ListenerId::OWN.0).chain(0..self.given);
        let id = numbers.find(is_free).expect("far fewer listeners than numbers");
        self.given = id.wrapping_add(1);
        self.all.push(Listener { id: ListenerId(id), socket, now, next, watched: Watched::No });
    }

    pub(crate) fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.all.iter().find(|listener| listener.id == id)
    }

    /// Whether a generation listens on something that nobody listens on yet.
    pub(crate) fn lack(&self, planned: &[Planned]) -> bool {
        planned.iter().any(|plan| self.place_of(&plan.listener).is_none())
    }

    /// How many there are when those of another generation are open beside the current ones.
    pub(crate) fn count_with(&self, planned: &[Planned]) -> usize {
        let new = planned.iter().filter(|plan| self.place_of(&plan.listener).is_none());
        self.all.len() + new.count()
    }

    /// What is listened on in a generation and not in the current one, and the other way round.
    pub(crate) fn changes(&self, planned: &[Planned]) -> Changes {
        let current: Vec<Planned> = self.all.iter().filter_map(|one| one.now.clone()).collect();
        Changes::between(&current, planned)
    }

    fn place_of(&self, listener: &Configured) -> Option<usize> {
        let is_it = |one: &Listener| {
            one.any_plan().is_some_and(|plan| plan.listener.is_at_the_place_of(listener))
        };
        self.all.iter().position(is_it)
    }

    /// The listeners of a generation on its way into service. `sockets` are for all of them, in
    /// order; of what is here already the one that is here stays.
    pub(crate) fn plan(&mut self, planned: &[Planned], sockets: Vec<OwnedFd>) {
        let mut sockets = sockets.into_iter();
        for plan in planned {
            let socket = sockets.next();
            match self.place_of(&plan.listener).and_then(|at| self.all.get_mut(at)) {
                Some(there) => there.next = Some(plan.clone()),
                None => {
                    if let Some(socket) = socket {
                        self.push(socket, None, Some(plan.clone()));
                    }
                }
            }
        }
    }

    /// Another generation serves than before.
    pub(crate) const fn turn(&mut self, era: Era) {
        self.era = era;
    }

    /// The next generation is current. What it has not is given back, to be closed.
    pub(crate) fn settle(&mut self) -> Vec<Listener> {
        self.era = Era::Current;
        let (stay, go) = std::mem::take(&mut self.all)
            .into_iter()
            .partition(|listener: &Listener| listener.next.is_some());
        self.all = stay;
        for listener in &mut self.all {
            listener.now = listener.next.take();
        }
        go
    }

    /// The next generation comes to nothing. What only it has is given back, to be closed.
    pub(crate) fn abandon(&mut self) -> Vec<Listener> {
        self.era = Era::Current;
        let (stay, go) = std::mem::take(&mut self.all)
            .into_iter()
            .partition(|listener: &Listener| listener.now.is_some());
        self.all = stay;
        for listener in &mut self.all {
            listener.next = None;
        }
        go
    }

    /// Whether some are open that only the next generation has.
    pub(crate) fn are_of_two(&self) -> bool {
        self.all.iter().any(|listener| listener.now.is_none())
    }

    /// The names and the sockets of all that are open.
    pub(crate) fn all(&self) -> (Vec<String>, Vec<BorrowedFd<'_>>) {
        let named = |one: &'_ Listener| one.name().to_owned();
        self.all.iter().map(|one| (named(one), one.socket.as_fd())).unzip()
    }

    /// As a worker is told of them.
    pub(crate) fn for_worker(&self) -> Vec<pair::Listener> {
        let listener = |one: &Listener| pair::Listener {
            id: one.id,
            name: one.name().to_owned(),
            standing: match one.now {
                Some(_) => Standing::Current,
                None => Standing::Next,
            },
        };
        self.all.iter().map(listener).collect()
    }

    /// Has whoever comes to a listener of the master's refused: for the end of the gateway. The
    /// active worker does the same with those that are leased to it.
    pub(crate) fn close_own(&self) {
        for listener in &self.all {
            let accept = listener.plan(self.era).map(|plan| plan.listener.accept);
            if accept == Some(Accept::Active) {
                continue;
            }
            if let Err(error) = close_listener(&listener.socket) {
                warn!(listener = listener.name(), %error, "cannot close a listener");
            }
        }
    }

    /// From now on tells of connections at these listeners and at no others.
    pub(crate) fn watch(&mut self, poller: &Poller, accepting: Accepting) -> anyhow::Result<()> {
        let era = self.era;
        for listener in &mut self.all {
            let accept = listener.plan(era).map(|plan| plan.listener.accept);
            let wanted = match (accepting, accept) {
                (Accepting::All, Some(_)) | (Accepting::Own, Some(Accept::Master)) => Watched::Yes,
                (Accepting::Nothing, _) | (_, None) | (Accepting::Own, Some(Accept::Active)) => {
                    Watched::No
                }
            };
            if listener.watched == wanted {
                continue;
            }
            match wanted {
                Watched::Yes => {
                    let token = Token::Listener(listener.id.0.into()).number();
                    poller
                        .add(&listener.socket, token, Interest::ReadLevel)
                        .with_context(|| format!("cannot watch listener {}", listener.name()))?;
                    listener.watched = Watched::Yes;
                }
                Watched::No => listener.unwatch(poller)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mainstay_os::{Endpoint, bind, cookie};

    use super::*;
    use crate::settings::plan;

    fn planned(listeners: &[(&str, &str, &str)]) -> Vec<Planned> {
        let tables = listeners.iter().map(|(name, address, accept)| {
            format!("[[listener]]\nname = {name:?}\naddress = {address:?}\naccept = {accept:?}\n")
        });
        plan(&tables.collect::<String>()).unwrap()
    }

    fn socket() -> OwnedFd {
        bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()), 8).unwrap()
    }

    /// A gateway with `kept` and `removed`, and an apply of `kept` under another name and `added`.
    fn in_the_middle() -> (Listeners, u64) {
        let old =
            planned(&[("kept", "127.0.0.1:1", "active"), ("removed", "127.0.0.1:2", "master")]);
        let new =
            planned(&[("added", "127.0.0.1:3", "master"), ("renamed", "127.0.0.1:1", "master")]);
        let names = vec!["kept".to_owned(), "removed".to_owned()];
        let first = socket();
        let id = cookie(&first).unwrap();
        let mut listeners = Listeners::new(names, vec![first, socket()], &old);
        assert!(listeners.lack(&new) && !listeners.lack(&old));
        assert_eq!(listeners.count_with(&new), 3);
        listeners.plan(&new, vec![socket(), socket()]);
        (listeners, id)
    }

    fn watched(listeners: &mut Listeners) -> Vec<String> {
        let poller = Poller::new(8).unwrap();
        listeners.watch(&poller, Accepting::Own).unwrap();
        let watched = listeners.all.iter().filter(|one| one.watched == Watched::Yes);
        let watched = watched.map(|one| one.name().to_owned()).collect();
        listeners.watch(&poller, Accepting::Nothing).unwrap();
        watched
    }

    #[test]
    fn nobody_accepts_from_a_new_listener_before_the_next_generation_serves() {
        let (mut listeners, _) = in_the_middle();
        assert_eq!(watched(&mut listeners), ["removed"]);
        listeners.turn(Era::Next);
        assert_eq!(watched(&mut listeners), ["kept", "removed", "added"]);
        listeners.turn(Era::Current);
        assert_eq!(watched(&mut listeners), ["removed"]);
    }

    #[test]
    fn at_the_end_there_are_those_of_one_generation() {
        let (mut listeners, id) = in_the_middle();
        assert_eq!(listeners.all().0, ["kept", "removed", "added"]);
        let standings: Vec<Standing> =
            listeners.for_worker().into_iter().map(|one| one.standing).collect();
        assert_eq!(standings, [Standing::Current, Standing::Current, Standing::Next]);
        let closed = listeners.settle();
        assert_eq!(closed.iter().map(Listener::name).collect::<Vec<_>>(), ["removed"]);
        let (names, sockets) = listeners.all();
        assert_eq!(names, ["renamed", "added"]);
        assert_eq!(cookie(sockets[0]).unwrap(), id, "the same address has the same socket");

        let (mut listeners, _) = in_the_middle();
        let closed = listeners.abandon();
        assert_eq!(closed.iter().map(Listener::name).collect::<Vec<_>>(), ["added"]);
        assert_eq!(listeners.all().0, ["kept", "removed"]);
        assert_eq!(watched(&mut listeners), ["removed"]);
    }
}
