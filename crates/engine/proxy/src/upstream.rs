//! Giving a request to a server, and what happens when that fails.

use mainstay_adopt::{Cursors, Flow, Span};
use mainstay_http::Phase;
use mainstay_ledger::{BodySent, Counter, Direction};
use mainstay_model::Timestamp;
use mainstay_os::{Connecting, Interest, Ready, connect, connected, cookie};
use tracing::debug;

use crate::answer::Plea;
use crate::connection::{Connection, Gone, Link, Progress, Readiness};
use crate::lane::Lane;
use crate::pool::{Owner, ServerId, Socket};
use crate::token::Token;

/// Most servers that one request is given to.
const TRIES_MAX: u8 = 3;

/// What went wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection to it.
    Unreachable,
    /// It broke the connection off.
    Broke,
    /// It sent what is not HTTP.
    Faulty,
    /// It took too long.
    TimedOut,
}

/// Whose turn it is among the servers of an upstream.
#[derive(Debug)]
pub(crate) struct Turns(Vec<Turn>);

#[derive(Clone, Copy, Debug)]
struct Turn {
    weight: i64,
    /// Smooth weighted round robin: grows by the weight, and falls by the sum of all when
    /// the server is chosen.
    credit: i64,
    /// Set aside until then.
    away_until: Timestamp,
}

impl Turns {
    pub(crate) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let turn = |weight: u32| Turn {
            weight: weight.into(),
            credit: 0,
            away_until: Timestamp::default(),
        };
        Self(weights.map(turn).collect())
    }

    /// The next server. If all are set aside, they are tried all the same.
    fn next(&mut self, now: Timestamp) -> Option<usize> {
        if let [_only] = self.0.as_slice() {
            return Some(0);
        }
        let anyone = self.0.iter().all(|turn| turn.away_until > now);
        let mut sum = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, turn) in self.0.iter_mut().enumerate() {
            if !anyone && turn.away_until > now {
                continue;
            }
            turn.credit += turn.weight;
            sum += turn.weight;
            if best.is_none_or(|(_, credit)| turn.credit > credit) {
                best = Some((index, turn.credit));
            }
        }
        let (index, _) = best?;
        if let Some(turn) = self.0.get_mut(index) {
            turn.credit -= sum;
        }
        Some(index)
    }

    fn set_aside(&mut self, server: usize, until: Timestamp) {
        if let Some(turn) = self.0.get_mut(server) {
            turn.away_until = until;
        }
    }
}

impl Lane {
    /// Gives the request, or the tunnel, to the next server; answers if there is none.
    pub(crate) fn give_to_server(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        let upstream = self.settings.upstream_of(&connection.record);
        connection.moved = self.now;
        while connection.record.tries < TRIES_MAX {
            let Some(turns) = self.turns.get_mut(upstream) else { break };
            let Some(server) = turns.next(self.now) else { break };
            let server = ServerId { upstream, server };
            let first = connection.record.tries == 0;
            connection.change().tries += 1;
            if !first {
                self.ledger.count(Counter::Retries, 1);
            }
            // A second try is not to fail for the same reason: an idle connection that the
            // server has just closed.
            let reused = if first { self.upstreams.reuse(server, connection.slot) } else { None };
            if let Some(index) = reused {
                self.attach(connection, index, Link { index, is: Readiness::UNKNOWN });
                connection.change().reused = 1;
                return Ok(());
            }
            if self.open_upstream(connection, server) {
                return Ok(());
            }
        }
        let plea = Plea::new(502, "no server could be reached");
        self.answer_or_close(connection, &plea, Gone::UpstreamBroke)
    }

    /// An event about the upstream side of a connection.
    pub(crate) fn upstream_ready(
        &mut self,
        connection: &mut Connection,
        index: u32,
        ready: Ready,
    ) -> Result<(), Gone> {
        if connection.upstream.is_none_or(|link| link.index != index) {
            return Ok(());
        }
        if connection.record.connecting != 0 {
            if !ready.is_writable() {
                return Ok(());
            }
            let established = self.upstreams.socket(index).map(connected);
            if let Some(Err(error)) = established {
                debug!(%error, "server cannot be reached");
                return self.upstream_failed(connection, Failure::Unreachable).map(drop);
            }
            connection.change().connecting = 0;
        }
        let Some(link) = connection.upstream.as_mut() else { return Ok(()) };
        link.is.readable |= ready.is_readable();
        link.is.writable |= ready.is_writable();
        link.is.ended |= ready.is_ended();
        Ok(())
    }

    /// Begins a connection to a server; false if that failed at once.
    fn open_upstream(&mut self, connection: &mut Connection, server: ServerId) -> bool {
        self.ledger.count(Counter::UpstreamConnects, 1);
        let upstream = self.settings.upstreams.get(server.upstream);
        let Some(target) = upstream.and_then(|upstream| upstream.servers.get(server.server)) else {
            return false;
        };
        let opened = connect(&target.endpoint).and_then(|connecting| {
            let (descriptor, connecting) = match connecting {
                Connecting::Done(descriptor) => (descriptor, 0),
                Connecting::Begun(descriptor) => (descriptor, 1),
            };
            let id = cookie(&descriptor)?;
            Ok((descriptor, id, connecting))
        });
        let (descriptor, id, connecting) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                debug!(server = %target.text, %error, "server cannot be reached");
                self.set_aside(server);
                return false;
            }
        };
        let socket = Socket {
            descriptor,
            id,
            server,
            owner: Owner::Slot(connection.slot),
            cursors: Cursors::default(),
        };
        let (index, age) = self.upstreams.insert(socket);
        let added = self.upstreams.socket(index).map(|descriptor| {
            self.poller.add(descriptor, Token::Upstream { index, age }.pack(), Interest::ReadWrite)
        });
        if !matches!(added, Some(Ok(()))) {
            drop(self.upstreams.remove(index));
            return false;
        }
        let is = Readiness { writable: connecting == 0, ..Readiness::UNKNOWN };
        self.attach(connection, index, Link { index, is });
        let record = connection.change();
        record.connecting = connecting;
        record.reused = 0;
        true
    }

    /// Makes a socket the upstream side of a connection.
    fn attach(&mut self, connection: &mut Connection, index: u32, link: Link) {
        use std::os::fd::AsRawFd;
        let Some(socket) = self.upstreams.get_mut(index) else { return };
        connection.upstream = Some(link);
        let record = connection.change();
        record.upstream_fd = socket.descriptor.as_raw_fd();
        record.upstream_id = socket.id;
        record.streams.upstream = socket.cursors;
        record.server = u16::try_from(socket.server.server).unwrap_or(u16::MAX);
        record.connecting = 0;
    }

    /// Takes a server out of the round for a while.
    pub(crate) fn set_aside(&mut self, server: ServerId) {
        self.ledger.count(Counter::UpstreamFailures, 1);
        let until = self.now + self.settings.timeouts.server_retry;
        if let Some(turns) = self.turns.get_mut(server.upstream) {
            turns.set_aside(server.server, until);
        }
    }

    /// Closes the upstream side of a connection.
    pub(crate) fn drop_upstream(&mut self, connection: &mut Connection) {
        if let Some(link) = connection.upstream.take() {
            drop(self.upstreams.remove(link.index));
            let record = connection.change();
            record.upstream_fd = -1;
            record.upstream_id = 0;
            record.connecting = 0;
            record.streams.upstream = Cursors::default();
        }
    }

    /// A server failed in the middle of an exchange: another gets the request, if that is
    /// harmless and possible; else the client is told, if it can be.
    pub(crate) fn upstream_failed(
        &mut self,
        connection: &mut Connection,
        failure: Failure,
    ) -> Result<Progress, Gone> {
        if failure == Failure::Unreachable
            && let Some(link) = connection.upstream
            && let Some(server) = self.upstreams.get_mut(link.index).map(|socket| socket.server)
        {
            self.set_aside(server);
        }
        self.drop_upstream(connection);
        let record = &connection.record;
        if record.exchange.phase == Phase::Tunnel {
            // A tunnel that carried nothing yet can go to any server.
            if failure == Failure::Unreachable {
                self.give_to_server(connection)?;
                return Ok(Progress::Made);
            }
            return Err(Gone::UpstreamBroke);
        }
        if record.exchange.response_begun == mainstay_http::Mark::Yes {
            return Err(Gone::UpstreamBroke);
        }
        // Bytes of an answer that will never be whole.
        let Flow { ahead, window, .. } = record.streams.response;
        if ahead.start > 0 && !ahead.is_empty() {
            // Half of an interim response is out: nothing can follow it.
            return Err(Gone::UpstreamBroke);
        }
        connection.change().streams.response = Flow::EMPTY;
        self.release(ahead.place);
        self.release(window.place);
        if may_repeat(connection, failure) {
            let record = connection.change();
            record.streams.request.ahead = Span { start: 0, ..record.head };
            self.give_to_server(connection)?;
            return Ok(Progress::Made);
        }
        let plea = match failure {
            Failure::Unreachable => Plea::new(502, "no server could be reached"),
            Failure::Broke => Plea::new(502, "the server broke off"),
            Failure::Faulty => Plea::new(502, "the server's answer cannot be understood"),
            Failure::TimedOut => Plea::new(504, "the server took too long"),
        };
        self.answer_or_close(connection, &plea, Gone::UpstreamBroke)?;
        Ok(Progress::Made)
    }

    /// The server takes no more of the request. Its answer may be there all the same.
    pub(crate) fn upstream_stopped_reading(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Progress, Gone> {
        connection.change().exchange.upstream_stopped_reading();
        if let Some(link) = &mut connection.upstream {
            link.is.readable = true;
        }
        self.discard_request(connection);
        Ok(Progress::Made)
    }

    /// Throws away what no server will take.
    pub(crate) fn discard_request(&mut self, connection: &mut Connection) -> Progress {
        let flow = &mut connection.record.streams.request;
        if flow.output() == 0 {
            return Progress::None;
        }
        let flow = &mut connection.change().streams.request;
        flow.has_written(flow.output());
        self.tidy(connection, Direction::Request);
        Progress::Made
    }
}

/// Whether another server can be given the whole request, and that does no harm.
fn may_repeat(connection: &Connection, failure: Failure) -> bool {
    let record = &connection.record;
    let whole = record.body_sent == BodySent::Nothing
        && record.exchange.sink == mainstay_http::Sink::Upstream
        && !record.head.is_empty();
    let untouched = record.streams.request.ahead.start == 0;
    let harmless = match failure {
        Failure::Unreachable => true,
        Failure::Broke => untouched || record.exchange.method.is_idempotent(),
        // It was understood, or is being worked on.
        Failure::Faulty | Failure::TimedOut => false,
    };
    whole && harmless
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn servers_take_turns_by_their_weight() {
        let mut turns = Turns::new([5, 1, 1].into_iter());
        let now = Timestamp::from_micros(1);
        let round: Vec<_> = (0..7).filter_map(|_| turns.next(now)).collect();
        assert_eq!(round, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_server_that_is_set_aside_is_passed_over_unless_all_are() {
        let mut turns = Turns::new([1, 1].into_iter());
        let now = Timestamp::from_micros(1_000_000);
        turns.set_aside(0, now + Duration::from_secs(1));
        assert!((0..5).all(|_| turns.next(now) == Some(1)));
        turns.set_aside(1, now + Duration::from_secs(1));
        assert!((0..4).filter_map(|_| turns.next(now)).any(|server| server == 0));
    }
}
