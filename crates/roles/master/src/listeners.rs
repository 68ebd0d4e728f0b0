//! The listening sockets, as the supervisor gave them.
//!
//! A listener's place in that list is its number in every message.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Context as _;
use mainstay_model::ListenerId;
use mainstay_os::{Interest, Poller, close_listener};
use mainstay_wire::pair::{self, Accept};
use tracing::warn;

use crate::settings::{Manner, Refusal};
use crate::token::Token;

/// How a listener is treated that `gateway.toml` does not name: the file was changed since
/// the gateway was started.
const UNKNOWN: Manner = Manner { accept: Accept::Active, refusal: Refusal::Page };

/// All listeners of the gateway; none before the supervisor's first message.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) refusal: Refusal,
    pub(crate) socket: OwnedFd,
    name: String,
    accept: Accept,
    watched: Watched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Yes,
    No,
}

/// From which listeners the master accepts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    Nothing,
    /// Those with `accept = "master"`.
    Own,
    All,
}

impl Listeners {
    /// What the supervisor gave, by name.
    pub(crate) fn new(
        names: Vec<String>,
        sockets: Vec<OwnedFd>,
        manners: &BTreeMap<String, Manner>,
    ) -> Self {
        let all = names
            .into_iter()
            .zip(sockets)
            .zip(0..)
            .map(|((name, socket), index)| {
                let manner = manners.get(&name).copied().unwrap_or_else(|| {
                    warn!(listener = name, "listener is not in gateway.toml any more");
                    UNKNOWN
                });
                Listener {
                    id: ListenerId(index),
                    refusal: manner.refusal,
                    socket,
                    name,
                    accept: manner.accept,
                    watched: Watched::No,
                }
            })
            .collect();
        Self { all }
    }

    /// Whether these are the listeners that are already there.
    pub(crate) fn are_named(&self, names: &[String]) -> bool {
        self.all.iter().map(|listener| &listener.name).eq(names)
    }

    pub(crate) fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.all.get(usize::from(id.0))
    }

    /// The names and the sockets, in order.
    pub(crate) fn all(&self) -> (Vec<String>, Vec<BorrowedFd<'_>>) {
        self.all.iter().map(|listener| (listener.name.clone(), listener.socket.as_fd())).unzip()
    }

    /// As a worker is told of them.
    pub(crate) fn for_worker(&self) -> Vec<pair::Listener> {
        let listener = |listener: &Listener| pair::Listener {
            id: listener.id,
            name: listener.name.clone(),
            accept: listener.accept,
        };
        self.all.iter().map(listener).collect()
    }

    /// Has whoever comes to a listener of the master's refused: for the end of the gateway. The
    /// active worker does the same with those that are leased to it.
    pub(crate) fn close_own(&self) {
        for listener in self.all.iter().filter(|listener| listener.accept == Accept::Master) {
            if let Err(error) = close_listener(&listener.socket) {
                warn!(listener = listener.name, %error, "cannot close a listener");
            }
        }
    }

    /// From now on tells of connections at these listeners and at no others.
    pub(crate) fn watch(&mut self, poller: &Poller, accepting: Accepting) -> anyhow::Result<()> {
        for listener in &mut self.all {
            let wanted = match (accepting, listener.accept) {
                (Accepting::All, _) | (Accepting::Own, Accept::Master) => Watched::Yes,
                (Accepting::Nothing, _) | (Accepting::Own, Accept::Active) => Watched::No,
            };
            if listener.watched == wanted {
                continue;
            }
            let token = Token::Listener(listener.id.0.into()).number();
            match wanted {
                Watched::Yes => poller.add(&listener.socket, token, Interest::ReadLevel),
                Watched::No => poller.remove(&listener.socket),
            }
            .with_context(|| format!("cannot watch listener {}", listener.name))?;
            listener.watched = wanted;
        }
        Ok(())
    }
}
