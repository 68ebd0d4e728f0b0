//! Exchanges: however the bytes of both sides are cut, the same goes to each side, and it ends
//! the same.
//!
//! The first eight bytes of the input say how much each read takes. The rest is a script: 0x01
//! stands before what the client sends, 0x02 before what the server sends, 0x03 and 0x04 where
//! the client and the server have sent their last byte.
//!
//! The machine is driven as `mainstay-proxy` drives it (`step.rs`, `request.rs`,
//! `response.rs`), between sockets that take everything at once and without a second try. Each
//! exchange has a server of its own: what a server sends before a request, or after its answer,
//! answers no other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_http::{
    Answer, AnswerBody, Aside, Back, BackConnection, BackFraming, ClientEnd, Download, Exchange,
    Fault, FieldSpace, Forwarded, HeadDefect, HeadLimits, Mark, Method, Next, Onward, Parsed,
    Persistence, Phase, Refusal, Sink, Turn, Upload, UpstreamEnd, parse_request, parse_response,
    write_answer, write_request, write_response,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes: 1024, fields: 16, target_bytes: 256 };

/// For what was rewritten, which is longer.
const LIMITS_AFTER: HeadLimits = HeadLimits { head_bytes: 8192, fields: 128, target_bytes: 257 };

const ONWARD: Onward<'_> = Onward {
    client: "192.0.2.1",
    scheme: "http",
    request_id: "0123456789abcdef",
    forwarded: Forwarded::Replace,
    server: "10.0.0.1:8080",
    identity: None,
};

/// A path that no route takes.
const NOWHERE: &str = "/404";

/// Longest script that is read byte by byte too: heads are read anew at each.
const SLOW_BYTES_MAX: usize = 600;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, script)) = input.split_first_chunk::<8>() else { return };
    let whole = run(script, &[usize::MAX]);
    for told in &whole.told {
        told.is_one_request();
        told.is_one_response();
    }
    run(script, &cuts.map(|cut| usize::from(cut) + 1)).agrees_with(&whole);
    if script.len() <= SLOW_BYTES_MAX {
        run(script, &[1]).agrees_with(&whole);
    }
});

/// What came of a script.
#[derive(Debug)]
struct Outcome {
    told: Vec<Told>,
    /// None: it would go on.
    end: Option<End>,
}

/// What both sides were told in one exchange.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    server: Vec<u8>,
    client: Vec<u8>,
    /// As it was at the end.
    exchange: Exchange,
    defect: Option<Defect>,
}

/// A body that broke off in the middle: how much of it went on before is not determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    Request,
    Response,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Linger,
    Idle,
    ClientLeft,
    ClientBroke,
    ServerBroke,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    None,
    Made,
}

/// What one side says.
#[derive(Debug, Default)]
struct Side {
    /// Sent, and not read.
    sent: Vec<u8>,
    /// Read, and not interpreted.
    raw: Vec<u8>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Bytes,
    Blocked,
    Ended,
}

#[derive(Debug)]
struct Connection<'c> {
    cuts: std::iter::Cycle<std::slice::Iter<'c, usize>>,
    client: Side,
    /// None: no request is given to one, or it was closed.
    server: Option<Side>,
    /// Something was read since the head was last looked at.
    unseen: bool,
    /// What was made for the client waits to go out.
    is_ahead: bool,
    now: Told,
    told: Vec<Told>,
}

fn run(script: &[u8], cuts: &[usize]) -> Outcome {
    let mut connection = Connection {
        cuts: cuts.iter().cycle(),
        client: Side::default(),
        server: None,
        unseen: false,
        is_ahead: false,
        now: Told::NOTHING,
        told: Vec::new(),
    };
    let end = connection.follow(script).err();
    connection.note();
    Outcome { told: connection.told, end }
}

impl Side {
    fn fill(&mut self, limit: usize) -> Filled {
        match (self.sent.len(), self.ended) {
            (0, true) => Filled::Ended,
            (0, false) => Filled::Blocked,
            (length, _) => {
                self.raw.extend(self.sent.drain(..limit.min(length)));
                Filled::Bytes
            }
        }
    }
}

impl Connection<'_> {
    fn follow(&mut self, script: &[u8]) -> Result<(), End> {
        let mut events = script.chunk_by(|_, next| !matches!(next, 1..=4)).peekable();
        while let Some(event) = events.next() {
            self.arrive(event);
            // An end comes together with the last bytes before it.
            let next = events.peek().and_then(|event| event.first());
            if !matches!((event.first(), next), (Some(1), Some(3)) | (Some(2), Some(4))) {
                while self.turn()? == Progress::Made {}
            }
        }
        Ok(())
    }

    fn arrive(&mut self, event: &[u8]) {
        let (server, said) = (self.server.as_mut(), event.get(1..).unwrap_or_default());
        match (event.first(), server) {
            (Some(1), _) => self.client.sent.extend(said),
            (Some(2), Some(server)) if !server.ended => server.sent.extend(said),
            (Some(3), _) => self.client.ended = true,
            (Some(4), Some(server)) => server.ended = true,
            _ => {}
        }
    }

    fn turn(&mut self) -> Result<Progress, End> {
        let moved = [self.pump_request()?, self.pump_response()?, self.turn_over()?];
        Ok(if moved == [Progress::None; 3] { Progress::None } else { Progress::Made })
    }

    fn cut(&mut self) -> usize {
        self.cuts.next().copied().expect("there are cuts")
    }

    fn pump_request(&mut self) -> Result<Progress, End> {
        // What is here first: the end of what comes does not make it void.
        if self.interpret_request()? == Progress::Made {
            return Ok(Progress::Made);
        }
        let exchange = &mut self.now.exchange;
        let wanted = match exchange.phase {
            Phase::Waiting => true,
            Phase::Exchanging | Phase::Tunnel => exchange.upload != Upload::Complete,
            Phase::Answering | Phase::Lingering => false,
        };
        let limit = if wanted { self.cut() } else { 0 };
        let filled = if wanted { self.client.fill(limit) } else { Filled::Blocked };
        match filled {
            Filled::Bytes => self.unseen = true,
            Filled::Blocked => {}
            Filled::Ended => match self.now.exchange.client_ended() {
                ClientEnd::Idle => return Err(End::Idle),
                ClientEnd::Aborted => return Err(End::ClientLeft),
                ClientEnd::HalfClosed => {}
            },
        }
        let interpreted = self.interpret_request()?;
        Ok(if filled == Filled::Blocked { interpreted } else { Progress::Made })
    }

    fn interpret_request(&mut self) -> Result<Progress, End> {
        if self.client.raw.is_empty() {
            return Ok(Progress::None);
        }
        match self.now.exchange.phase {
            Phase::Waiting if !self.unseen => Ok(Progress::None),
            Phase::Waiting => self.begin_request(),
            Phase::Exchanging | Phase::Answering | Phase::Tunnel => self.pass_request(),
            Phase::Lingering => unreachable!("the script is over then"),
        }
    }

    fn begin_request(&mut self) -> Result<Progress, End> {
        self.unseen = false;
        let mut space = FieldSpace::new();
        let request = match parse_request(&self.client.raw, &mut space, &LIMITS) {
            Ok(Parsed::Complete(request)) => request,
            Ok(Parsed::Partial) => {
                assert!(self.client.raw.len() < LIMITS.head_bytes);
                return Ok(Progress::None);
            }
            Err(refusal) => {
                self.now.exchange.client_persists = Mark::No;
                // The sentence may depend on how much of a broken line was there.
                self.answer_or_close(refusal.status(), "", End::ClientBroke)?;
                return Ok(Progress::Made);
            }
        };
        let (nowhere, head_bytes) = (request.path == NOWHERE, request.head_bytes);
        let mut out = vec![0; LIMITS_AFTER.head_bytes];
        let length = write_request(&request, &ONWARD, &mut out).expect("a buffer that is large");
        self.now.exchange = Exchange::begin(&request);
        self.client.raw.drain(..head_bytes);
        if nowhere {
            self.answer_or_close(404, "there is nothing at this path", End::ClientBroke)?;
            return Ok(Progress::Made);
        }
        self.now.server = out[..length].to_vec();
        self.server = Some(Side::default());
        // What came with the head goes out with the head.
        self.pass_request()?;
        Ok(Progress::Made)
    }

    fn pass_request(&mut self) -> Result<Progress, End> {
        match self.now.exchange.pass_request(&self.client.raw) {
            Ok(0) => Ok(Progress::None),
            Ok(count) => {
                let passed = self.client.raw.drain(..count);
                match self.now.exchange.sink {
                    Sink::Upstream => self.now.server.extend(passed),
                    Sink::Nowhere => drop(passed),
                }
                Ok(Progress::Made)
            }
            Err(refusal) => {
                self.now.defect = Some(Defect::Request);
                self.answer_or_close(refusal.status(), &refusal.to_string(), End::ClientBroke)?;
                Ok(Progress::Made)
            }
        }
    }

    fn answer_or_close(&mut self, status: u16, sentence: &str, end: End) -> Result<(), End> {
        let exchange = &mut self.now.exchange;
        if exchange.response_begun == Mark::Yes || exchange.phase == Phase::Tunnel {
            return Err(end);
        }
        self.server = None;
        exchange.answer(status);
        let answer = Answer {
            status,
            sentence,
            request_id: ONWARD.request_id,
            connection: connection(exchange),
            body: match exchange.method {
                Method::Head => AnswerBody::HeadOnly,
                _ => AnswerBody::Page,
            },
            date: None,
            retry_after_s: 1,
            aside: Aside::Nothing,
        };
        let mut out = vec![0; LIMITS_AFTER.head_bytes];
        let length = write_answer(&answer, &mut out);
        assert!(length > 0, "{answer:?} fits");
        self.now.client.extend(&out[..length]);
        Ok(())
    }

    fn pump_response(&mut self) -> Result<Progress, End> {
        // As above: an interim response had to go out before the answer.
        let mut progress = self.interpret_response()?;
        if progress == Progress::None {
            progress = self.read_response()?;
        }
        self.is_ahead = false;
        Ok(progress)
    }

    fn read_response(&mut self) -> Result<Progress, End> {
        let limit = self.cut();
        let exchange = &mut self.now.exchange;
        let Some(server) = &mut self.server else { return Ok(Progress::None) };
        let wanted = match exchange.download {
            Download::Head => exchange.phase == Phase::Exchanging,
            Download::Complete => false,
            Download::Length | Download::Chunked | Download::UntilClose | Download::Open => true,
            Download::Decoded => server.raw.is_empty(),
        };
        let filled = if wanted { server.fill(limit) } else { Filled::Blocked };
        if filled == Filled::Ended {
            match exchange.upstream_ended() {
                UpstreamEnd::NoAnswer | UpstreamEnd::Truncated => self.server_failed()?,
                UpstreamEnd::Complete if exchange.phase == Phase::Tunnel => {}
                UpstreamEnd::Complete => self.server = None,
            }
        }
        let interpreted = self.interpret_response()?;
        Ok(if filled == Filled::Blocked { interpreted } else { Progress::Made })
    }

    fn server_failed(&mut self) -> Result<(), End> {
        self.answer_or_close(502, "the server failed", End::ServerBroke)
    }

    fn interpret_response(&mut self) -> Result<Progress, End> {
        let mut progress = Progress::None;
        while self.server.as_ref().is_some_and(|server| !server.raw.is_empty()) {
            let made = match self.now.exchange.download {
                Download::Head | Download::Decoded if self.is_ahead => Progress::None,
                Download::Head => self.begin_response()?,
                Download::Decoded => self.decode_response()?,
                Download::Complete => self.drop_surplus(),
                Download::Length | Download::Chunked | Download::UntilClose | Download::Open => {
                    self.pass_response()?
                }
            };
            match made {
                Progress::None => break,
                Progress::Made => progress = Progress::Made,
            }
        }
        Ok(progress)
    }

    fn begin_response(&mut self) -> Result<Progress, End> {
        let Some(server) = &mut self.server else { return Ok(Progress::None) };
        let mut out = vec![0; LIMITS_AFTER.head_bytes];
        match read_response(&server.raw, self.now.exchange, &mut out) {
            Ok(Parsed::Partial) => {
                assert!(server.raw.len() < LIMITS.head_bytes);
                Ok(Progress::None)
            }
            Ok(Parsed::Complete(read)) => {
                server.raw.drain(..read.head_bytes);
                self.now.exchange = read.exchange;
                if read.turn != Turn::Dropped {
                    self.now.client.extend(&out[..read.rewritten]);
                    self.is_ahead = true;
                }
                Ok(Progress::Made)
            }
            Err(_fault) => {
                self.server_failed()?;
                Ok(Progress::Made)
            }
        }
    }

    fn pass_response(&mut self) -> Result<Progress, End> {
        let Some(server) = &mut self.server else { return Ok(Progress::None) };
        match self.now.exchange.pass_response(&server.raw) {
            Ok(0) => Ok(Progress::None),
            Ok(count) => {
                self.now.client.extend(server.raw.drain(..count));
                Ok(Progress::Made)
            }
            Err(_refusal) => self.response_broke(),
        }
    }

    fn decode_response(&mut self) -> Result<Progress, End> {
        let limit = self.cut();
        let Some(server) = &mut self.server else { return Ok(Progress::None) };
        let mut out = vec![0; limit.min(server.raw.len())];
        match self.now.exchange.decode_response(&server.raw, &mut out) {
            Ok((taken, written)) => {
                assert!(written <= taken);
                server.raw.drain(..taken);
                self.now.client.extend(&out[..written]);
                self.is_ahead = written > 0;
                Ok(if taken == 0 { Progress::None } else { Progress::Made })
            }
            Err(_refusal) => self.response_broke(),
        }
    }

    fn response_broke(&mut self) -> Result<Progress, End> {
        self.now.defect = Some(Defect::Response);
        self.server_failed()?;
        Ok(Progress::Made)
    }

    fn drop_surplus(&mut self) -> Progress {
        self.now.exchange.upstream_persists = Mark::No;
        if let Some(server) = &mut self.server {
            server.raw.clear();
        }
        Progress::Made
    }

    fn turn_over(&mut self) -> Result<Progress, End> {
        match self.now.exchange.next() {
            Next::Wait => Ok(Progress::None),
            Next::NextRequest => {
                self.note();
                self.server = None;
                self.unseen = true;
                Ok(Progress::Made)
            }
            Next::Close => Err(End::Close),
            Next::Linger => Err(End::Linger),
        }
    }

    /// Notes what came of an exchange.
    fn note(&mut self) {
        // What a server sent too much may have come with its answer, or after it.
        let clean =
            |server: &Side| server.raw.is_empty() && server.sent.is_empty() && !server.ended;
        if !self.server.as_ref().is_some_and(clean) {
            self.now.exchange.upstream_persists = Mark::No;
        }
        self.told.push(std::mem::replace(&mut self.now, Told::NOTHING));
    }
}

/// A response's head that was understood.
struct Read {
    turn: Turn,
    exchange: Exchange,
    head_bytes: usize,
    rewritten: usize,
}

fn read_response(
    raw: &[u8],
    mut exchange: Exchange,
    out: &mut [u8],
) -> Result<Parsed<Read>, Fault> {
    let mut space = FieldSpace::new();
    let Parsed::Complete(response) = parse_response(raw, &mut space, &LIMITS, exchange.method)?
    else {
        return Ok(Parsed::Partial);
    };
    let turn = exchange.begin_response(&response)?;
    let back = Back {
        framing: match exchange.download {
            Download::Decoded => BackFraming::Decoded,
            _ => BackFraming::AsReceived,
        },
        connection: connection(&exchange),
        date: None,
    };
    let rewritten = write_response(&response, &back, out).map_err(|_| HeadDefect::TooLong)?;
    Ok(Parsed::Complete(Read { turn, exchange, head_bytes: response.head_bytes, rewritten }))
}

fn connection(exchange: &Exchange) -> BackConnection {
    match (exchange.client_persists, exchange.client_is_old()) {
        (Mark::No, _) => BackConnection::Close,
        (Mark::Yes, true) => BackConnection::KeepAlive,
        (Mark::Yes, false) => BackConnection::Implied,
    }
}

impl Outcome {
    fn agrees_with(&self, whole: &Self) {
        assert_eq!(self.end, whole.end, "{self:#?} {whole:#?}");
        assert_eq!(self.told.len(), whole.told.len(), "{self:#?} {whole:#?}");
        for (cut, whole) in self.told.iter().zip(&whole.told) {
            cut.agrees_with(whole);
        }
    }
}

impl Told {
    const NOTHING: Self =
        Self { server: Vec::new(), client: Vec::new(), exchange: Exchange::WAITING, defect: None };

    fn agrees_with(&self, whole: &Self) {
        assert_eq!(self.defect, whole.defect, "{self:#?} {whole:#?}");
        match whole.defect {
            None => assert_eq!(self, whole),
            Some(Defect::Request) => {
                // All of it, or nothing at all if the head was not given to a server yet.
                assert!(self.server.starts_with(&whole.server), "{self:#?} {whole:#?}");
                assert_eq!(self.client, whole.client);
            }
            Some(Defect::Response) => {
                assert!(self.client.starts_with(&whole.client), "{self:#?} {whole:#?}");
                assert_eq!(self.server, whole.server);
            }
        }
        assert_eq!(self.exchange.status, whole.exchange.status);
        assert_eq!(self.exchange.phase, whole.exchange.phase);
    }

    /// What the server was told is one request, and nothing after it that could be another.
    fn is_one_request(&self) {
        let mut space = FieldSpace::new();
        let request = match parse_request(&self.server, &mut space, &LIMITS_AFTER) {
            Ok(Parsed::Complete(request)) => request,
            Ok(Parsed::Partial) if self.server.is_empty() => return,
            // Ours is one passage more.
            Err(Refusal::Loop) => return,
            other => panic!("{other:?} of {self:#?}"),
        };
        let mut again = Exchange::begin(&request);
        let body = &self.server[request.head_bytes..];
        if self.exchange.phase != Phase::Tunnel {
            assert_eq!(again.pass_request(body), Ok(body.len()), "{self:#?}");
            if self.defect.is_none() {
                let ended = |upload| upload == Upload::Complete;
                assert_eq!(ended(again.upload), ended(self.exchange.upload), "{self:#?}");
            }
        }
    }

    /// What the client was told is one response, and interim ones before it.
    fn is_one_response(&self) {
        let mut again = Exchange::WAITING;
        again.method = self.exchange.method;
        again.download = Download::Head;
        let mut rest = &self.client[..];
        let persistence = loop {
            let mut space = FieldSpace::new();
            match parse_response(rest, &mut space, &LIMITS_AFTER, again.method) {
                Ok(Parsed::Complete(response)) => {
                    rest = &rest[response.head_bytes..];
                    if response.status == 101 {
                        return assert_eq!(self.exchange.phase, Phase::Tunnel, "{self:#?}");
                    }
                    if again.begin_response(&response) != Ok(Turn::Interim) {
                        break response.persistence;
                    }
                }
                Ok(Parsed::Partial) if rest.is_empty() => {
                    return assert_eq!(self.exchange.response_begun, Mark::No, "{self:#?}");
                }
                other => panic!("{other:?} of {self:#?}"),
            }
        };
        let persists = persistence == Persistence::KeepAlive;
        assert_eq!(persists, self.exchange.client_persists == Mark::Yes, "{self:#?}");
        assert_eq!(again.status, self.exchange.status);
        assert_eq!(again.pass_response(rest), Ok(rest.len()), "{self:#?}");
        // A response is never whole for the client that was not whole for us, unless it has no
        // other end than that of the connection.
        if again.download != Download::UntilClose {
            assert_eq!(again.download, self.exchange.download, "{self:#?}");
        }
    }
}
