//! Serving by another configuration, with everything that is open.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use mainstay_ledger::Record;
use mainstay_model::ListenerId;
use mainstay_os::local_endpoint;

use crate::lane::Lane;
use crate::pool::Upstreams;
use crate::settings::Settings;
use crate::upstream::Turns;

/// What a record says that speaks of nothing in our configuration.
const NO_LISTENER: ListenerId = ListenerId(u16::MAX);
const NO_ROUTE: u32 = u32::MAX;
const NO_SERVER: u16 = u16::MAX;

impl Lane {
    /// Serves by `settings` from here on, whose listeners are the same ones.
    pub(crate) fn load(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
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
        record.listener = self.listener_of(client).unwrap_or(NO_LISTENER).0;
        record.route = NO_ROUTE;
        record.server = NO_SERVER;
    }

    /// The listener that a connection came to.
    pub(crate) fn listener_of(&self, client: &OwnedFd) -> Option<ListenerId> {
        let local = local_endpoint(client).ok().flatten()?;
        let index =
            self.settings.listeners.iter().position(|listener| listener.endpoint.covers(&local));
        index.and_then(|index| u16::try_from(index).ok()).map(ListenerId)
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
