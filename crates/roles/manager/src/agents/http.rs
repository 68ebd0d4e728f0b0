//! From an HTTP request to an HTTP response.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use mainstay_fleet::admission::Verdict;
use mainstay_opamp::refusal::{self, Refusal};
use mainstay_opamp::{CONTENT_TYPE as PROTOBUF, PATH, wire};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::debug;

use super::exchange::{Asked, carry_out, named};
use super::refused::Refused;
use crate::fleet::Fleet;

/// What a request to register anew has to bring as its nonce.
const CHALLENGE: &str = "mainstay-challenge";

/// Room for exchanges.
#[derive(Debug)]
pub(super) struct Exchanges {
    room: Semaphore,
    at_a_time: usize,
}

impl Exchanges {
    pub(super) fn new(at_a_time: usize) -> Self {
        Self { room: Semaphore::new(at_a_time), at_a_time }
    }
}

/// Answers one request.
pub(super) async fn answer(
    fleet: &Fleet,
    exchanges: &Exchanges,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let begun = Instant::now();
    if request.uri().path() != PATH {
        return Ok(plain(StatusCode::NOT_FOUND, "agents are served at /v1/opamp\n"));
    }
    if request.method() != Method::POST {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "an exchange is a POST\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let (parts, body) = request.into_parts();
    let media_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if media_type != Some(PROTOBUF.as_bytes()) {
        let sentence = "an exchange is application/x-protobuf\n";
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    // Before the body: who is sent away has sent little.
    let _room = match room(fleet, exchanges) {
        Ok(room) => room,
        Err(refused) => return Ok(refuse(fleet, &refused, None)),
    };
    let body = match read(fleet, body).await {
        Ok(body) => body,
        Err(status) => return Ok(plain(status, "the body is too long or too slow\n")),
    };
    let body = match parts.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => body,
        Some(b"gzip") => match inflate(&body, fleet.settings.agents.body_bytes) {
            Some(inflated) => inflated,
            None => return Ok(plain(StatusCode::BAD_REQUEST, "the body is not gzip\n")),
        },
        Some(_) => {
            return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body may be gzip\n"));
        }
    };
    let asked = Asked { headers: &parts.headers, body: &body, peer };
    let response = match carry_out(fleet, asked).await {
        Ok(message) => reply(StatusCode::OK, message.into()),
        Err(refused) => {
            debug!(%peer, refusal = %refused.refusal, reason = refused.sentence, "exchange refused");
            refuse(fleet, &refused, Some(&body))
        }
    };
    fleet.figures.exchange_time.add(begun.elapsed());
    Ok(response)
}

/// A place among the exchanges, if this manager takes any.
fn room<'a>(fleet: &Fleet, exchanges: &'a Exchanges) -> Result<SemaphorePermit<'a>, Refused> {
    let overloaded = || Refused::later(fleet, Refusal::Overloaded, "too much is to be done");
    if !fleet.duty.is_serving() {
        return Err(Refused::later(fleet, Refusal::Overloaded, "agents are sent away from here"));
    }
    let free = exchanges.room.available_permits();
    match fleet.crowd.judge(exchanges.at_a_time.saturating_sub(free)) {
        Verdict::Admit => exchanges.room.try_acquire().map_err(|_full| overloaded()),
        Verdict::Later { after } => Err(Refused::in_a_row(after)),
        Verdict::Overloaded { after } => Err(Refused { retry_after: Some(after), ..overloaded() }),
    }
}

/// The whole body, within its limits.
async fn read(fleet: &Fleet, body: Incoming) -> Result<Bytes, StatusCode> {
    let limits = &fleet.settings.agents;
    match timeout(limits.timeout, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_elapsed) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// What was compressed, if it is not more than a body may be.
fn inflate(body: &[u8], bytes_max: usize) -> Option<Bytes> {
    let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut inflated = Vec::new();
    GzDecoder::new(body).take(one_more).read_to_end(&mut inflated).ok()?;
    (inflated.len() <= bytes_max).then(|| inflated.into())
}

fn refuse(fleet: &Fleet, refused: &Refused, body: Option<&[u8]>) -> Response<Full<Bytes>> {
    fleet.figures.refused(refused.refusal);
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = refused.message(body.and_then(named));
    let mut response = reply(status, wire::encode(&message).into());
    let headers = response.headers_mut();
    let word = HeaderValue::from_static(refused.refusal.as_str());
    headers.insert(HeaderName::from_static(refusal::HEADER), word);
    if let Some(wait) = refused.retry_after {
        headers.insert(RETRY_AFTER, seconds(wait).into());
    }
    if let Some(challenge) = refused.challenge.as_deref().and_then(|text| text.parse().ok()) {
        headers.insert(HeaderName::from_static(CHALLENGE), challenge);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // Who is refused for lack of room must not keep its place.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    response
}

fn plain(status: StatusCode, sentence: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(sentence.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_small_body_cannot_become_a_large_one() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 1_000_000]).unwrap();
        let small = encoder.finish().unwrap();
        assert!(small.len() < 2_000);
        assert_eq!(inflate(&small, 1_000_000).map(|body| body.len()), Some(1_000_000));
        assert_eq!(inflate(&small, 999_999), None);
        assert_eq!(inflate(b"no gzip", 10), None);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
    }
}
