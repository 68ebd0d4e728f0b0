//! The gateway's own answers.

use mainstay_adopt::{Place, Span};
use mainstay_http::{
    Answer, AnswerBody, BackConnection, Mark, Method, Phase, Upload, write_answer,
};

use crate::connection::{Connection, Gone};
use crate::json::hex;
use crate::lane::Lane;

/// What is answered, and why in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plea {
    pub(crate) status: u16,
    pub(crate) sentence: String,
    pub(crate) told: Told,
}

/// What is said beside that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    /// Where to go instead.
    Location(String),
    /// What would let the request through.
    Challenge(String),
}

/// The one status of ours that is no failure.
const SERVING: u16 = 200;

/// Seconds after which a client may try again what was answered with 503.
const RETRY_AFTER_S: u32 = 1;

impl Plea {
    pub(crate) fn new(status: u16, sentence: &str) -> Self {
        Self { status, sentence: sentence.to_owned(), told: Told::Nothing }
    }

    /// The answer to the gateway itself: who serves, and by what.
    pub(crate) fn serving(configuration: u64) -> Self {
        let pid = std::process::id();
        let sentence = format!("{{\"pid\":{pid},\"generation\":{configuration}}}");
        Self { status: SERVING, sentence, told: Told::Nothing }
    }
}

impl Lane {
    /// Answers in the place of a server; where a response has begun, or there is nobody to
    /// answer in HTTP, the connection is `gone`.
    pub(crate) fn answer_or_close(
        &mut self,
        connection: &mut Connection,
        plea: &Plea,
        gone: Gone,
    ) -> Result<(), Gone> {
        let exchange = &connection.record.exchange;
        if exchange.response_begun == Mark::Yes || exchange.phase == Phase::Tunnel {
            return Err(gone);
        }
        self.drop_upstream(connection);
        let ahead = connection.record.streams.response.ahead;
        if !ahead.is_empty() {
            // An interim response is on its way, and half of it may be gone.
            return Err(gone);
        }
        let window = connection.record.streams.response.window;
        let now = self.now.micros();
        let record = connection.change();
        record.streams.response.window = mainstay_adopt::Window::EMPTY;
        record.exchange.answer(plea.status);
        record.answered = now;
        let body_follows = record.exchange.upload != Upload::Complete;
        if body_follows || self.stopping.is_some() {
            record.exchange.client_persists = Mark::No;
        }
        let end = write(&connection.record, plea, &mut self.ledger.areas);
        connection.change().streams.response.ahead = Span { place: Place::OUT, start: 0, end };
        self.release(window.place);
        self.discard_request(connection);
        Ok(())
    }
}

fn write(record: &mainstay_ledger::Record, plea: &Plea, areas: &mut mainstay_ledger::Areas) -> u32 {
    let exchange = &record.exchange;
    let mut id = [0; 32];
    for (half, number) in id.as_chunks_mut::<16>().0.iter_mut().zip(record.request_id) {
        *half = hex(number);
    }
    let answer = Answer {
        status: plea.status,
        sentence: &plea.sentence,
        request_id: std::str::from_utf8(&id).expect("hexadecimal digits are text"),
        connection: match (exchange.client_persists, exchange.client_is_old()) {
            (Mark::No, _) => BackConnection::Close,
            (Mark::Yes, true) => BackConnection::KeepAlive,
            (Mark::Yes, false) => BackConnection::Implied,
        },
        body: match (plea.status, &exchange.method) {
            (SERVING, _) => AnswerBody::Json,
            (_, Method::Head) => AnswerBody::HeadOnly,
            _ => AnswerBody::Page,
        },
        date: None,
        retry_after_s: RETRY_AFTER_S,
        aside: plea.told.aside(),
    };
    let out = areas.at_mut(Place::OUT, mainstay_ledger::Direction::Response);
    u32::try_from(write_answer(&answer, out)).expect("areas are small")
}
