//! One step of a connection: as far as it gets without waiting.
//!
//! ```text
//!   client ──fill──▶ interpret ──drain──▶ upstream      the request's direction
//!   client ◀──drain── interpret ◀──fill── upstream      the response's
//!   then: is the exchange over? what follows?           and again, while anything moved
//! ```

use mainstay_http::{ClientEnd, Download, Phase, Sink, Upload};
use mainstay_ledger::Direction;

use crate::connection::{Connection, Gone, Progress, Queued, Raw, Standing};
use crate::lane::Lane;
use crate::relay::{Filled, WriteFailed};
use crate::splice::FIRST_READ_BYTES;
use crate::upstream::Failure;

/// Turns of one step, so that a fast connection does not starve the others: with full areas
/// this is two megabytes.
const TURNS_MAX: u32 = 16;

impl Lane {
    /// Works on a connection as far as it gets.
    pub(crate) fn step(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        if connection.standing == Standing::Suspect {
            self.judge(connection)?;
        }
        if std::mem::take(&mut connection.lapsed) {
            self.end_with_session(connection)?;
        }
        self.see_to_upstream(connection)?;
        for _ in 0..TURNS_MAX {
            let request = self.pump_request(connection)?;
            let response = self.pump_response(connection)?;
            let turn = self.turn_over(connection)?;
            if [request, response, turn] == [Progress::None; 3] {
                return Ok(());
            }
        }
        if connection.queued == Queued::No {
            connection.queued = Queued::Yes;
            self.runnable.push_back((connection.slot, connection.age));
        }
        Ok(())
    }

    /// A tunnel that has no server yet gets one; an exchange whose server's connection did
    /// not survive a death is treated as if the server had broken off.
    fn see_to_upstream(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        if connection.upstream.is_some() {
            return Ok(());
        }
        let exchange = &connection.record.exchange;
        match exchange.phase {
            Phase::Tunnel if connection.record.tries == 0 => self.give_to_server(connection),
            Phase::Tunnel => Err(Gone::UpstreamBroke),
            Phase::Exchanging if exchange.download != Download::Complete => {
                self.upstream_failed(connection, Failure::Broke).map(drop)
            }
            Phase::Exchanging | Phase::Waiting | Phase::Answering | Phase::Lingering => Ok(()),
        }
    }

    /// The request's direction, once through.
    fn pump_request(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        // What is here first: the end of what comes does not make it void.
        let mut progress = self.interpret_request(connection)?;
        if progress == Progress::None && connection.client_is.readable && wants_request(connection)
        {
            let first = connection.record.streams.request.window.is_empty();
            match self.fill(connection, Direction::Request) {
                Filled::Bytes => {
                    if first && connection.record.exchange.phase == Phase::Waiting {
                        connection.since = self.now;
                    }
                    connection.raw = Raw::New;
                    progress = Progress::Made;
                }
                Filled::Blocked => {}
                Filled::Ended => {
                    match connection.change().exchange.client_ended() {
                        ClientEnd::Idle => return Err(Gone::Complete),
                        ClientEnd::Aborted => return Err(Gone::ClientLeft),
                        ClientEnd::HalfClosed => {}
                    }
                    progress = Progress::Made;
                }
                Filled::Failed => return Err(Gone::ClientLeft),
            }
        }
        progress = progress.or(self.interpret_request(connection)?);
        if connection.record.exchange.sink == Sink::Nowhere {
            return Ok(progress.or(self.discard_request(connection)));
        }
        if connection.record.connecting != 0 || connection.upstream.is_none() {
            return Ok(progress);
        }
        match self.drain(connection, Direction::Request) {
            Ok(drained) => Ok(progress.or(drained)),
            Err(WriteFailed) => self.request_undeliverable(connection),
        }
    }

    /// The first read of a response takes a part only, so that a long body can pass unseen.
    /// What turned out to be none is read on before any of it goes out.
    fn complete_first_read(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        let window = connection.record.streams.response.window;
        let is_cut = window.end as usize == FIRST_READ_BYTES && window.raw_len() == 0;
        let more = connection.upstream.is_some_and(|link| link.is.readable);
        let is_whole = connection.record.exchange.download == Download::Complete;
        if !is_cut || !more || is_whole || self.is_long(connection) {
            return Ok(());
        }
        match self.fill(connection, Direction::Response) {
            Filled::Bytes => drop(self.interpret_response(connection)?),
            Filled::Blocked => {}
            // Seen again when what is here has gone out.
            Filled::Ended | Filled::Failed => {
                if let Some(link) = &mut connection.upstream {
                    link.is.readable = true;
                }
            }
        }
        Ok(())
    }

    /// The server's side took no more of the request.
    fn request_undeliverable(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        let untouched = connection.record.streams.request.ahead.start == 0
            && !connection.record.streams.request.ahead.is_empty();
        if untouched && connection.record.exchange.download == Download::Head {
            // Not one byte got out: an idle connection that the server had closed.
            return self.upstream_failed(connection, Failure::Broke);
        }
        self.upstream_stopped_reading(connection)
    }

    /// The response's direction, once through.
    fn pump_response(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        // As above: the answer may be here that an interim response had to go out before.
        let mut progress = self.interpret_response(connection)?;
        let readable = connection.upstream.is_some_and(|link| link.is.readable);
        if progress == Progress::None && readable && wants_response(connection) {
            match self.fill(connection, Direction::Response) {
                Filled::Bytes => progress = Progress::Made,
                Filled::Blocked => {}
                Filled::Ended => progress = self.upstream_ended(connection)?,
                Filled::Failed => progress = self.upstream_failed(connection, Failure::Broke)?,
            }
        }
        progress = progress.or(self.interpret_response(connection)?);
        self.complete_first_read(connection)?;
        match self.drain(connection, Direction::Response) {
            Ok(drained) => Ok(progress.or(drained)),
            Err(WriteFailed) => Err(Gone::ClientLeft),
        }
    }
}

impl Progress {
    fn or(self, other: Self) -> Self {
        if self == Self::Made { self } else { other }
    }
}

/// Whether more of the client's bytes are wanted now. What is not wanted stays in the kernel,
/// and holds the client back.
fn wants_request(connection: &Connection) -> bool {
    let record = &connection.record;
    let flow = &record.streams.request;
    match record.exchange.phase {
        // What is here is tried first: it may be whole requests.
        Phase::Waiting => {
            record.streams.response.output() == 0
                && (flow.window.raw_len() == 0 || connection.raw == Raw::Seen)
        }
        Phase::Lingering => true,
        Phase::Answering => false,
        Phase::Exchanging | Phase::Tunnel => {
            record.exchange.upload != Upload::Complete && flow.output() == 0
        }
    }
}

/// Whether more of the server's bytes are wanted now.
fn wants_response(connection: &Connection) -> bool {
    let record = &connection.record;
    let flow = &record.streams.response;
    record.connecting == 0
        && flow.output() == 0
        && match record.exchange.download {
            // A head may come in parts.
            Download::Head => record.exchange.phase == Phase::Exchanging,
            Download::Complete => false,
            Download::Length | Download::Chunked | Download::UntilClose | Download::Open => true,
            Download::Decoded => flow.window.raw_len() == 0,
        }
}
