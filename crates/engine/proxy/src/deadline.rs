//! Which limit applies to what a connection waits for, and what happens when it has passed.

use std::time::Duration;

use mainstay_http::{Continue, Download, Mark, Phase, Upload};
use mainstay_ledger::Counter;

use crate::answer::Plea;
use crate::connection::{Connection, Gone, Progress};
use crate::lane::Lane;
use crate::upstream::Failure;
use crate::wheel::Entry;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    NextRequest,
    RestOfHead,
    Connect,
    ServerTakesRequest,
    ClientTakesResponse,
    ClientSendsBody,
    ResponseHead,
    ResponseBody,
    TunnelTraffic,
    Farewell,
}

fn wait_of(connection: &Connection) -> Wait {
    let record = &connection.record;
    let exchange = &record.exchange;
    let streams = &record.streams;
    match exchange.phase {
        Phase::Waiting if streams.request.window.is_empty() => Wait::NextRequest,
        Phase::Waiting => Wait::RestOfHead,
        Phase::Lingering => Wait::Farewell,
        Phase::Answering => Wait::ClientTakesResponse,
        Phase::Exchanging | Phase::Tunnel if record.connecting != 0 => Wait::Connect,
        Phase::Tunnel => Wait::TunnelTraffic,
        Phase::Exchanging if streams.response.output() > 0 => Wait::ClientTakesResponse,
        Phase::Exchanging if streams.request.output() > 0 => Wait::ServerTakesRequest,
        Phase::Exchanging
            if exchange.upload != Upload::Complete && exchange.expects != Continue::Awaited =>
        {
            Wait::ClientSendsBody
        }
        Phase::Exchanging if exchange.download == Download::Head => Wait::ResponseHead,
        Phase::Exchanging => Wait::ResponseBody,
    }
}

impl Lane {
    fn limit_of(&self, wait: Wait) -> Duration {
        let timeouts = &self.settings.timeouts;
        match wait {
            Wait::NextRequest => timeouts.keepalive,
            Wait::RestOfHead => timeouts.request_head,
            Wait::Connect => timeouts.connect,
            Wait::ServerTakesRequest => timeouts.upstream_write,
            Wait::ClientTakesResponse => timeouts.client_write,
            Wait::ClientSendsBody => timeouts.client_read,
            Wait::ResponseHead => timeouts.response_head,
            Wait::ResponseBody => timeouts.upstream_read,
            Wait::TunnelTraffic => timeouts.tunnel_idle,
            Wait::Farewell => timeouts.linger,
        }
    }

    /// Sets the deadline of a connection that waits from here on.
    pub(crate) fn arm(&mut self, connection: &mut Connection) {
        let wait = wait_of(connection);
        // A head in drips, and a farewell, end when they have to, however much moves.
        let from = match wait {
            Wait::RestOfHead | Wait::Farewell => connection.since,
            _ => connection.moved,
        };
        let mut deadline = from + self.limit_of(wait);
        if let Some(end) = connection.ends_by {
            deadline = deadline.min(end);
        }
        if let Some(stop) = self.stopping {
            deadline = deadline.min(stop);
        }
        connection.deadline = deadline;
        if connection.armed.is_none_or(|armed| armed > deadline) {
            let entry = Entry { slot: connection.slot, age: connection.age };
            connection.armed = Some(self.wheel.insert(entry, deadline));
        }
    }

    /// Looks at a connection whose entry in the wheel has fired.
    pub(crate) fn look_at_deadline(&mut self, entry: Entry) {
        let now = self.now;
        let Some(connection) = self.connection_mut(entry.slot, entry.age) else { return };
        // Another entry, put in since, is due earlier or later: that one counts.
        if connection.armed.is_some_and(|armed| armed > now) {
            return;
        }
        connection.armed = None;
        let late = connection.deadline;
        self.work_on(
            entry.slot,
            |lane, connection| {
                if late > now { Ok(()) } else { lane.time_out(connection) }
            },
        );
    }

    fn time_out(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        let begun = connection.record.exchange.response_begun == Mark::Yes;
        if self.stopping.is_some_and(|stop| stop <= self.now) {
            return Err(Gone::Stopping);
        }
        if connection.ends_by.is_some_and(|by| by <= self.now) {
            return self.end_late(connection);
        }
        self.ledger.count(Counter::Timeouts, 1);
        connection.moved = self.now;
        match wait_of(connection) {
            Wait::NextRequest | Wait::Farewell => Err(Gone::Complete),
            Wait::RestOfHead => {
                self.start_anew(connection);
                connection.change().exchange.client_persists = Mark::No;
                self.answer_or_close(
                    connection,
                    &Plea::new(408, "the request took too long"),
                    Gone::TimedOut,
                )
            }
            Wait::ClientSendsBody if !begun => self.answer_or_close(
                connection,
                &Plea::new(408, "the request took too long"),
                Gone::TimedOut,
            ),
            Wait::Connect => self.fail(connection, Failure::Unreachable),
            Wait::ServerTakesRequest | Wait::ResponseHead | Wait::ResponseBody if !begun => {
                self.fail(connection, Failure::TimedOut)
            }
            Wait::ServerTakesRequest
            | Wait::ResponseHead
            | Wait::ResponseBody
            | Wait::ClientTakesResponse
            | Wait::ClientSendsBody
            | Wait::TunnelTraffic => Err(Gone::TimedOut),
        }
    }

    fn fail(&mut self, connection: &mut Connection, failure: Failure) -> Result<(), Gone> {
        match self.upstream_failed(connection, failure)? {
            Progress::Made | Progress::None => Ok(()),
        }
    }
}
