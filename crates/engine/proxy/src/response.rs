//! From a server's bytes to a response on its way: reading the head, writing the one that the
//! client gets, letting the body through.

use mainstay_adopt::{Place, Span};
use mainstay_http::{
    Back, BackConnection, BackFraming, Download, Exchange, Fault, FieldSpace, Mark, Parsed, Phase,
    Turn, UpstreamEnd, parse_response, write_response,
};
use mainstay_ledger::Direction;

use crate::connection::{Connection, Gone, Progress};
use crate::lane::Lane;
use crate::relay::{flow_mut, raw};
use crate::upstream::Failure;

/// What a head turned out to be.
enum Read {
    Partial,
    Faulty(Fault),
    Understood { turn: Turn, exchange: Exchange, head_bytes: u32, rewritten: usize },
}

impl Lane {
    /// Interprets what the server has sent and nobody has looked at.
    pub(crate) fn interpret_response(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Progress, Gone> {
        let mut progress = Progress::None;
        while connection.record.streams.response.window.raw_len() > 0 {
            let made = match connection.record.exchange.download {
                Download::Head => self.begin_response(connection)?,
                Download::Decoded => self.decode_response(connection)?,
                Download::Complete => self.drop_surplus(connection),
                Download::Length | Download::Chunked | Download::UntilClose | Download::Open => {
                    self.pass_response(connection)?
                }
            };
            match made {
                Progress::None => break,
                Progress::Made => progress = Progress::Made,
            }
        }
        Ok(progress)
    }

    fn begin_response(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        // What was made before (an interim response) goes out first.
        if !connection.record.streams.response.ahead.is_empty() {
            return Ok(Progress::None);
        }
        let (turn, exchange, head_bytes, rewritten) = match self.read_response(connection) {
            Read::Partial => return Ok(Progress::None),
            Read::Faulty(fault) => {
                tracing::debug!(%fault, "response refused");
                return self.upstream_failed(connection, Failure::Faulty);
            }
            Read::Understood { turn, exchange, head_bytes, rewritten } => {
                (turn, exchange, head_bytes, rewritten)
            }
        };
        let now = self.now.micros();
        let record = connection.change();
        record.exchange = exchange;
        let flow = &mut record.streams.response;
        flow.window.ready += head_bytes;
        flow.window.start = flow.window.ready;
        if turn != Turn::Dropped {
            let end = u32::try_from(rewritten).expect("areas are small");
            flow.ahead = Span { place: Place::OUT, start: 0, end };
        }
        if turn == Turn::Final || turn == Turn::Switched {
            record.answered = now;
        }
        Ok(Progress::Made)
    }

    /// Reads the head at the start of what came in; writes the one for the client to the area
    /// for what we make.
    fn read_response(&mut self, connection: &Connection) -> Read {
        let window = connection.record.streams.response.window;
        let mut exchange = connection.record.exchange;
        let stopping = self.is_stopping();
        let (area, out) = self.ledger.areas.from_and_out(window.place, Direction::Response);
        let bytes = area.get(window.ready as usize..window.end as usize).unwrap_or_default();
        let mut space = FieldSpace::new();
        let parsed = parse_response(bytes, &mut space, &self.settings.head, exchange.method);
        let response = match parsed {
            Ok(Parsed::Complete(response)) => response,
            Ok(Parsed::Partial) => return Read::Partial,
            Err(fault) => return Read::Faulty(fault),
        };
        let turn = match exchange.begin_response(&response) {
            Ok(turn) => turn,
            Err(fault) => return Read::Faulty(fault),
        };
        if stopping && turn == Turn::Final {
            exchange.client_persists = Mark::No;
        }
        let back = Back {
            framing: match exchange.download {
                Download::Decoded => BackFraming::Decoded,
                _ => BackFraming::AsReceived,
            },
            connection: match (exchange.client_persists, exchange.client_is_old()) {
                (Mark::No, _) => BackConnection::Close,
                (Mark::Yes, true) => BackConnection::KeepAlive,
                (Mark::Yes, false) => BackConnection::Implied,
            },
            date: None,
        };
        let head_bytes = u32::try_from(response.head_bytes).expect("areas are small");
        match write_response(&response, &back, out) {
            Ok(rewritten) => Read::Understood { turn, exchange, head_bytes, rewritten },
            Err(_too_long) => Read::Faulty(mainstay_http::HeadDefect::TooLong.into()),
        }
    }

    /// Lets through what belongs to the response's body.
    fn pass_response(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        let window = connection.record.streams.response.window;
        let passed = if window.place == Place::PIPE {
            Ok(connection.change().exchange.pass_unseen_response(window.raw_len()))
        } else {
            let bytes = raw(&self.ledger.areas, window, Direction::Response);
            connection.change().exchange.pass_response(bytes)
        };
        match passed {
            Ok(0) => Ok(Progress::None),
            Ok(count) => {
                let window = &mut flow_mut(connection, Direction::Response).window;
                window.ready += u32::try_from(count).expect("areas are small");
                Ok(Progress::Made)
            }
            Err(_refusal) => self.upstream_failed(connection, Failure::Faulty),
        }
    }

    /// Takes chunks apart, for a client that knows none.
    fn decode_response(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        if !connection.record.streams.response.ahead.is_empty() {
            return Ok(Progress::None);
        }
        let window = connection.record.streams.response.window;
        let (area, out) = self.ledger.areas.from_and_out(window.place, Direction::Response);
        let bytes = area.get(window.ready as usize..window.end as usize).unwrap_or_default();
        let decoded = connection.change().exchange.decode_response(bytes, out);
        let Ok((taken, written)) = decoded else {
            return self.upstream_failed(connection, Failure::Faulty);
        };
        let flow = flow_mut(connection, Direction::Response);
        flow.window.ready += u32::try_from(taken).expect("areas are small");
        flow.window.start = flow.window.ready;
        let end = u32::try_from(written).expect("areas are small");
        flow.ahead = Span { place: Place::OUT, start: 0, end };
        Ok(if taken == 0 { Progress::None } else { Progress::Made })
    }

    /// Bytes after the end of a response: whoever sent them cannot be asked again.
    fn drop_surplus(&mut self, connection: &mut Connection) -> Progress {
        let record = connection.change();
        record.exchange.upstream_persists = Mark::No;
        let window = &mut record.streams.response.window;
        window.end = window.ready;
        self.tidy(connection, Direction::Response);
        Progress::Made
    }

    /// The server will send nothing more.
    pub(crate) fn upstream_ended(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        match connection.change().exchange.upstream_ended() {
            UpstreamEnd::NoAnswer | UpstreamEnd::Truncated => {
                self.upstream_failed(connection, Failure::Broke)
            }
            UpstreamEnd::Complete => {
                if connection.record.exchange.phase != Phase::Tunnel {
                    self.drop_upstream(connection);
                }
                Ok(Progress::Made)
            }
        }
    }
}
