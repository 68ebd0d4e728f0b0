//! From a client's bytes to a request on its way: reading the head, choosing the route,
//! writing the head that goes upstream.

use mainstay_adopt::{Place, Span};
use mainstay_http::{
    Body, Exchange, FieldSpace, Mark, Onward, Parsed, Phase, Refusal, parse_request, write_request,
};
use mainstay_ledger::{BodySent, Counter, Direction};
use mainstay_model::{ListenerId, SessionKey};
use mainstay_wire::session::KEYS_MAX;

use crate::access::Admission;
use crate::answer::Plea;
use crate::connection::{Connection, Gone, Progress, Raw};
use crate::json::hex;
use crate::lane::Lane;
use crate::relay::{flow_mut, raw};
use crate::settings::Serves;

/// What a head turned out to be.
enum Read {
    Partial,
    Refused(Refusal),
    /// It is a request, but not one that goes upstream.
    Answered {
        plea: Plea,
        exchange: Exchange,
        head_bytes: u32,
    },
    Accepted {
        exchange: Exchange,
        route: u32,
        head_bytes: u32,
        rewritten: usize,
        session: Option<SessionKey>,
    },
}

/// What a drill takes at once, and how often: more than any share that it is tried with.
const HOARD_PIECE_BYTES: usize = 16 << 20;
const HOARD_PIECES_MAX: usize = 256;

impl Lane {
    /// Interprets what the client has sent and nobody has looked at.
    pub(crate) fn interpret_request(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Progress, Gone> {
        if connection.record.streams.request.window.raw_len() == 0 {
            return Ok(Progress::None);
        }
        match connection.record.exchange.phase {
            Phase::Waiting if connection.raw == Raw::Seen => Ok(Progress::None),
            // One exchange at a time: the last response goes out first.
            Phase::Waiting if connection.record.streams.response.output() > 0 => Ok(Progress::None),
            Phase::Waiting => {
                connection.raw = Raw::Seen;
                self.begin_request(connection)
            }
            Phase::Exchanging | Phase::Tunnel => self.pass_request(connection),
            // Nothing follows an answer to a request that is not whole.
            Phase::Answering => Ok(Progress::None),
            Phase::Lingering => {
                let window = &mut flow_mut(connection, Direction::Request).window;
                window.start = window.end;
                window.ready = window.end;
                self.tidy(connection, Direction::Request);
                Ok(Progress::Made)
            }
        }
    }

    /// Lets through what belongs to the request's body.
    fn pass_request(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        let window = connection.record.streams.request.window;
        let bytes = raw(&self.ledger.areas, window, Direction::Request);
        let passed = connection.change().exchange.pass_request(bytes);
        match passed {
            Ok(0) => Ok(Progress::None),
            Ok(count) => {
                let record = connection.change();
                record.streams.request.window.ready +=
                    u32::try_from(count).expect("areas are small");
                record.bytes_in += count as u64;
                self.check_body_limit(connection)?;
                Ok(Progress::Made)
            }
            // The server has the head already, and perhaps some of the body: without the rest
            // it must not take the request for whole, so its connection is closed.
            Err(refusal) => {
                self.ledger.count(Counter::Refused, 1);
                let plea = Plea::new(refusal.status(), &refusal.to_string());
                self.answer_or_close(connection, &plea, Gone::ClientBroke)?;
                Ok(Progress::Made)
            }
        }
    }

    /// A chunked body tells its length only at its end.
    fn check_body_limit(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        if connection.record.exchange.phase == Phase::Tunnel
            || connection.record.bytes_in <= self.settings.body_bytes
        {
            return Ok(());
        }
        self.ledger.count(Counter::Refused, 1);
        let plea = Plea::new(413, "the request's body is too large");
        self.answer_or_close(connection, &plea, Gone::ClientBroke)
    }

    fn begin_request(&mut self, connection: &mut Connection) -> Result<Progress, Gone> {
        let id = self.next_id();
        match self.read_request(connection, id) {
            Read::Partial => return Ok(Progress::None),
            Read::Refused(refusal) => {
                self.ledger.count(Counter::Refused, 1);
                self.start(connection, Exchange::WAITING, id);
                // Where this request ends is not known, so nothing can follow it.
                connection.change().exchange.client_persists = Mark::No;
                let plea = Plea::new(refusal.status(), &refusal.to_string());
                self.answer_or_close(connection, &plea, Gone::ClientBroke)?;
            }
            Read::Answered { plea, exchange, head_bytes } => {
                self.start(connection, exchange, id);
                self.consume_head(connection, head_bytes);
                if let Some(counter) = plea.counter() {
                    self.ledger.count(counter, 1);
                }
                self.answer_or_close(connection, &plea, Gone::ClientBroke)?;
            }
            Read::Accepted { exchange, route, head_bytes, rewritten, session } => {
                self.start(connection, exchange, id);
                if let Some(key) = session {
                    self.bind(connection, key);
                    if self.uses.len() >= KEYS_MAX {
                        self.tell_uses();
                    }
                }
                self.consume_head(connection, head_bytes);
                let areas = &mut self.ledger.areas;
                let place = areas.keep(Place::OUT, Direction::Request, 0..rewritten, 0);
                let end = u32::try_from(rewritten).expect("areas are small");
                let record = connection.change();
                record.head = Span { place, start: 0, end };
                record.streams.request.ahead = record.head;
                record.route = route;
                // What came with the head goes out with the head.
                if connection.record.streams.request.window.raw_len() > 0 {
                    self.pass_request(connection)?;
                }
                if connection.record.exchange.phase == Phase::Exchanging {
                    self.give_to_server(connection)?;
                }
            }
        }
        Ok(Progress::Made)
    }

    /// The name of the next exchange: no other has it, here or elsewhere.
    fn next_id(&mut self) -> [u64; 2] {
        self.requests = self.requests.wrapping_add(1);
        [self.seed, self.requests]
    }

    /// Notes the beginning of an exchange whose request cannot be read.
    pub(crate) fn start_anew(&mut self, connection: &mut Connection) {
        let id = self.next_id();
        self.start(connection, Exchange::WAITING, id);
    }

    /// Notes the beginning of an exchange.
    fn start(&mut self, connection: &mut Connection, exchange: Exchange, id: [u64; 2]) {
        let now = self.now.micros();
        let record = connection.change();
        record.exchange = exchange;
        record.request_id = id;
        record.begun = now;
        record.answered = 0;
        record.bytes_in = 0;
        record.bytes_out = 0;
        record.tries = 0;
        record.body_sent = BodySent::Nothing;
    }

    fn consume_head(&mut self, connection: &mut Connection, head_bytes: u32) {
        let record = connection.change();
        let window = &mut record.streams.request.window;
        window.ready += head_bytes;
        window.start = window.ready;
        self.tidy(connection, Direction::Request);
    }

    /// Reads the head at the start of what came in; writes the one that goes upstream to the
    /// area for what we make.
    fn read_request(&mut self, connection: &Connection, id: [u64; 2]) -> Read {
        let window = connection.record.streams.request.window;
        let (area, out) = self.ledger.areas.from_and_out(window.place, Direction::Request);
        let bytes = area.get(window.ready as usize..window.end as usize).unwrap_or_default();
        let mut space = FieldSpace::new();
        let request = match parse_request(bytes, &mut space, &self.settings.head) {
            Ok(Parsed::Complete(request)) => request,
            Ok(Parsed::Partial) => return Read::Partial,
            Err(refusal) => return Read::Refused(refusal),
        };
        self.settings.drills.perform(request.path);
        let exchange = Exchange::begin(&request);
        let head_bytes = u32::try_from(request.head_bytes).expect("areas are small");
        let answered = |plea| Read::Answered { plea, exchange, head_bytes };
        if let Body::Length(length) = request.body
            && length > self.settings.body_bytes
        {
            return answered(Plea::new(413, "the request's body is too large"));
        }
        if connection.record.listener == ListenerId::OWN.0 {
            return answered(Plea::serving(self.settings.configuration));
        }
        let listener = usize::from(connection.record.listener);
        let route = match self.settings.routes.find(listener, request.host, request.path) {
            Ok(route) => route.0,
            Err(none) => return answered(Plea::new(none.status(), &none.to_string())),
        };
        let visitor = match self.sessions.admit(&self.settings, &request, route, &mut self.uses) {
            Admission::Open => None,
            Admission::Visitor(visitor) => Some(visitor),
            Admission::Unknown => {
                return answered(Plea::new(503, "who is logged in is not known yet"));
            }
            Admission::Refused => return answered(self.settings.turn_away(connection, &request)),
        };
        let identity = self.settings.identity(visitor.as_ref());
        let written = self.settings.onward(connection, (route, id), |onward| {
            write_request(&request, &Onward { identity, ..*onward }, out)
        });
        let session = visitor.map(|visitor| visitor.key);
        match written {
            Ok(rewritten) => Read::Accepted { exchange, route, head_bytes, rewritten, session },
            Err(_too_long) => answered(Plea::new(431, "the request's head is too long")),
        }
    }
}

impl crate::settings::Drills {
    /// Does what a request for this path is to do, if anything.
    fn perform(&self, path: &str) {
        if self.abort.as_deref() == Some(path) {
            std::process::abort();
        }
        if self.hoard.as_deref() == Some(path) {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            while hoard.len() < HOARD_PIECES_MAX {
                hoard.push(vec![1; HOARD_PIECE_BYTES]);
            }
        }
    }
}

impl crate::settings::Settings {
    /// Calls `write` with what a request gets on its way.
    fn onward<T>(
        &self,
        connection: &Connection,
        (route, id): (u32, [u64; 2]),
        write: impl FnOnce(&Onward<'_>) -> T,
    ) -> T {
        let listener = self.listeners.get(usize::from(connection.record.listener));
        let forwarded = match listener.map(|listener| listener.serves) {
            Some(Serves::Http { forwarded }) => forwarded,
            Some(Serves::Tcp { .. }) | None => mainstay_http::Forwarded::Replace,
        };
        let mut text = [0; 32];
        for (half, number) in text.as_chunks_mut::<16>().0.iter_mut().zip(id) {
            *half = hex(number);
        }
        let upstream = self.targets.get(route as usize).map_or(0, |target| target.upstream);
        let server = self.upstreams.get(upstream).and_then(|upstream| upstream.servers.first());
        write(&Onward {
            client: &connection.client_text,
            scheme: "http",
            request_id: std::str::from_utf8(&text).expect("hexadecimal digits are text"),
            forwarded,
            server: server.map_or("", |server| &server.text),
            identity: None,
        })
    }
}
