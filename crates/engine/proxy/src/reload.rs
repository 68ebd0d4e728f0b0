//! Serving by another configuration, with everything that is open.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use mainstay_ledger::Record;
use mainstay_model::ListenerId;
use mainstay_os::local_endpoint;

use crate::accept::Listening;
use crate::lane::Lane;
use crate::pool::Upstreams;
use crate::settings::Settings;
use crate::upstream::Turns;

/// What a record says that speaks of nothing in our configuration.
pub(crate) const NO_LISTENER: ListenerId = ListenerId(u16::MAX);
const NO_ROUTE: u32 = u32::MAX;
const NO_SERVER: u16 = u16::MAX;

/// Another configuration, and what a lane needs for it.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Arc<Settings>,
    /// The listening sockets that it knows.
    pub listeners: Vec<Listening>,
    /// Its access log, open already, and where that is; `None` for no log.
    pub log: Option<(PathBuf, File)>,
}

impl Lane {
    /// Serves by another configuration from here on.
    pub(crate) fn load(&mut self, loaded: Loaded) {
        let Loaded { settings, listeners, log } = loaded;
        // They are numbered by what we served until now.
        self.let_go(&listeners, &[]);
        self.ledger.set_limit(settings.connections);
        self.pipes.resize(settings.pipes);
        self.settings = settings;
        self.take_up(listeners);
        self.exchange_log(log);
        self.turns = turns(&self.settings);
        let surplus = self.upstreams.reshape(shape(&self.settings));
        for slot in self.slots() {
            let Some(mut connection) = self.take_out(slot) else { continue };
            self.ledger.enter(slot);
            let mut record = connection.record;
            self.forget_places(&mut record, &connection.client);
            *connection.change() = record;
            self.commit(&mut connection);
            self.put_back(connection);
            self.ledger.leave();
        }
        // Last: closing them takes longer than everything else.
        drop(surplus);
    }

    /// Takes out of a record what means something else in another configuration. What is under
    /// way ends with the server that it has, and is not tried again; what follows is served by
    /// ours.
    pub(crate) fn forget_places(&self, record: &mut Record, client: &OwnedFd) {
        if record.listener != ListenerId::OWN.0 {
            record.listener = self.listener_of(client).unwrap_or(NO_LISTENER).0;
        }
        record.route = NO_ROUTE;
        record.server = NO_SERVER;
    }

    /// The listener that a connection came to.
    pub(crate) fn listener_of(&self, client: &OwnedFd) -> Option<ListenerId> {
        let local = local_endpoint(client).ok().flatten()?;
        // What a socket is bound to is more than what the configuration says, if that is port 0.
        let open = self.listeners.iter().find(|listening| listening.endpoint.covers(&local));
        let known = || {
            let mut all = self.settings.listeners.iter();
            let index = all.position(|listener| listener.endpoint.covers(&local))?;
            u16::try_from(index).ok().map(ListenerId)
        };
        open.map(|listening| listening.id).or_else(known)
    }
}

/// A pool of connections to the servers of `settings`.
pub(crate) fn upstreams(settings: &Settings) -> Upstreams {
    Upstreams::new(shape(settings))
}

/// Whose turn it is, for each upstream of `settings`.
pub(crate) fn turns(settings: &Settings) -> Vec<Turns> {
    let upstreams = settings.upstreams.iter();
    upstreams.map(|up| Turns::new(up.servers.iter().map(|server| server.weight))).collect()
}

/// Servers of each upstream, and how many idle connections to them are kept.
fn shape(settings: &Settings) -> impl Iterator<Item = (usize, usize)> + '_ {
    settings.upstreams.iter().map(|up| (up.servers.len(), up.keepalive))
}
