//! Carrying on what another process left.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mainstay_adopt::Cursors;
use mainstay_http::{Mark, Phase};
use mainstay_ledger::{Adoptee, Configuration, Counter, Left, Receipt};
use mainstay_model::Chain;
use mainstay_os::{Interest, Pipe, cookie};
use mainstay_wire::pair::Adopted;
use tracing::{debug, warn};

use crate::answer::Plea;
use crate::connection::{Connection, Gone, Link, Queued, Readiness, Standing};
use crate::lane::{Lane, Report};
use crate::pool::{Owner, ServerId, Socket};
use crate::token::Token;

impl Lane {
    /// Takes connections over. Each is in our ledger, or closed, before the keeper hears of
    /// it; and the keeper hears of it before anything is done with it.
    pub(crate) fn adopt_all(&mut self, left: Vec<Left>, receipt: Receipt) -> Adopted {
        let mut adopted = Adopted::default();
        for left in left {
            match left {
                Left::Fresh(client) => {
                    if cookie(&client).is_ok_and(|id| self.ids().insert(id)) {
                        adopted.fresh += 1;
                        self.adopt_fresh(client);
                    }
                }
                Left::Noted(adoptee) => {
                    if self.ids().insert(adoptee.record.id) {
                        self.adopt(adoptee, &mut adopted);
                    }
                }
            }
        }
        if let Err(error) = receipt.give() {
            // A keeper that is gone offers nothing to anyone else.
            debug!(error = %Chain(&error), "cannot answer a keeper");
        }
        adopted
    }

    /// A connection that was accepted and of which nothing was noted: it begins here.
    fn adopt_fresh(&mut self, client: OwnedFd) {
        let Some(listener) = self.listener_of(&client) else {
            debug!("a connection of no listener was left, it is closed");
            return;
        };
        self.take_over(client, listener);
    }

    fn adopt(&mut self, mut adoptee: Box<Adoptee>, adopted: &mut Adopted) {
        let Some(slot) = self.ledger.allocate() else {
            adopted.closed += 1;
            self.ledger.count(Counter::AdoptedClosed, 1);
            warn!(limit = self.ledger.capacity(), "no room for a connection, it is closed");
            return;
        };
        if let Err(error) = adoptee.settle(&mut self.ledger.areas) {
            self.ledger.free(slot);
            adopted.closed += 1;
            self.ledger.count(Counter::AdoptedClosed, 1);
            warn!(
                connection = %mainstay_model::ConnectionId(adoptee.record.id),
                error = %Chain(&error),
                "a connection cannot be carried on, it is closed"
            );
            return;
        }
        let Adoptee { mut record, client, upstream, pipe, suspect, configuration, .. } = *adoptee;
        if configuration == Configuration::Another {
            self.forget_places(&mut record, &client);
        }
        record.client_fd = client.as_raw_fd();
        let age = self.next_age(slot);
        let link =
            upstream.and_then(|descriptor| self.adopt_upstream(descriptor, slot, &mut record));
        if link.is_none() {
            record.upstream_fd = -1;
            record.upstream_id = 0;
            record.streams.upstream = Cursors::default();
        }
        let mut connection = Connection::new(slot, age, record, client, self.now);
        connection.upstream = link;
        connection.pipe = pipe.and_then(|pipe| Pipe::adopt(pipe).ok());
        self.bind_again(&mut connection);
        let waiting = connection.record.exchange.phase == Phase::Waiting
            && connection.record.streams.request.is_empty();
        if suspect {
            adopted.suspects += 1;
            connection.standing = Standing::Suspect;
        }
        if suspect || !waiting {
            connection.queued = Queued::Yes;
            self.runnable.push_back((slot, age));
        }
        self.install(Box::new(connection));
        self.ledger.count(Counter::Adopted, 1);
        adopted.connections += 1;
        if waiting && !suspect {
            self.rest_again(slot);
        }
    }

    /// The upstream side of an adopted connection.
    fn adopt_upstream(
        &mut self,
        descriptor: OwnedFd,
        slot: u32,
        record: &mut mainstay_ledger::Record,
    ) -> Option<Link> {
        record.upstream_fd = descriptor.as_raw_fd();
        let server = ServerId {
            upstream: self.settings.upstream_of(record),
            server: usize::from(record.server),
        };
        let socket = Socket {
            descriptor,
            id: record.upstream_id,
            server,
            owner: Owner::Slot(slot),
            cursors: record.streams.upstream,
        };
        let (index, age) = self.upstreams.insert(socket);
        let descriptor = self.upstreams.socket(index)?;
        let token = Token::Upstream { index, age }.pack();
        if let Err(error) = self.poller.add(descriptor.as_fd(), token, Interest::ReadWrite) {
            warn!(%error, "cannot watch a server's connection");
            drop(self.upstreams.remove(index));
            return None;
        }
        let is = Readiness { writable: record.connecting == 0, ..Readiness::UNKNOWN };
        Some(Link { index, is })
    }

    /// What this connection asked for ended a worker, so it does not go on here.
    pub(crate) fn judge(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        warn!(
            connection = %mainstay_model::ConnectionId(connection.record.id),
            client = &*connection.client_text,
            "a worker died of this connection, it is given up"
        );
        self.report(Report::Suspected {
            connection: mainstay_model::ConnectionId(connection.record.id),
            client: connection.client_text.to_string(),
        });
        connection.standing = Standing::Clear;
        self.drop_upstream(connection);
        if connection.record.exchange.phase == Phase::Waiting {
            // The head itself may be what it died of.
            let window = connection.record.streams.request.window;
            connection.change().streams.request = mainstay_adopt::Flow::EMPTY;
            self.release(window.place);
            self.start_anew(connection);
        }
        connection.change().exchange.client_persists = Mark::No;
        let plea = Plea::new(502, "the request could not be completed");
        self.answer_or_close(connection, &plea, Gone::Suspect)
    }
}
