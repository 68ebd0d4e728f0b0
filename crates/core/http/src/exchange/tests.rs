//! Exchanges told as conversations: what each side says, and what passes.

use proptest::prelude::*;

use super::*;
use crate::{FieldSpace, HeadLimits, Parsed, parse_request, parse_response};

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 32, target_bytes: 1024 };

/// The exchange that begins with this request, and what of the bytes followed its head.
fn begin(request: &str) -> (Exchange, &[u8]) {
    let mut space = FieldSpace::new();
    match parse_request(request.as_bytes(), &mut space, &LIMITS).unwrap() {
        Parsed::Complete(parsed) => {
            (Exchange::begin(&parsed), &request.as_bytes()[parsed.head_bytes..])
        }
        Parsed::Partial => panic!("a whole head, not {request:?}"),
    }
}

fn respond(exchange: &mut Exchange, response: &str) -> Result<Turn, Fault> {
    let mut space = FieldSpace::new();
    match parse_response(response.as_bytes(), &mut space, &LIMITS, exchange.method)? {
        Parsed::Complete(parsed) => exchange.begin_response(&parsed),
        Parsed::Partial => panic!("a whole head, not {response:?}"),
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const EXPECT: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// What follows each response, to each request, when both are whole.
#[test]
fn what_follows_an_exchange() {
    for (request, response, next) in [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Next::NextRequest),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n", Next::NextRequest),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Next::NextRequest),
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Next::NextRequest),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Next::NextRequest),
        (OLD, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Next::NextRequest),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Next::Wait),
        (GET, "HTTP/1.1 200 OK\r\n\r\n", Next::Wait),
        // The body of the request is still to come.
        (POST, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Next::Wait),
        // … and may never come.
        (EXPECT, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", Next::Linger),
    ] {
        let (mut exchange, _) = begin(request);
        assert_eq!(respond(&mut exchange, response), Ok(Turn::Final), "{request:?} {response:?}");
        assert_eq!(exchange.next(), next, "{request:?} {response:?}");
    }
}

#[test]
fn a_client_that_is_told_to_go_on_keeps_its_connection() {
    let (mut exchange, _) = begin(EXPECT);
    assert_eq!(respond(&mut exchange, "HTTP/1.1 100 Continue\r\n\r\n"), Ok(Turn::Interim));
    assert_eq!(exchange.pass_request(b"hello"), Ok(5));
    respond(&mut exchange, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(exchange.next(), Next::NextRequest);
}

#[test]
fn an_old_client_gets_no_interim_response_and_no_chunks() {
    let (mut exchange, _) = begin(OLD);
    assert_eq!(respond(&mut exchange, "HTTP/1.1 103 Early Hints\r\n\r\n"), Ok(Turn::Dropped));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(respond(&mut exchange, chunked), Ok(Turn::Final));
    let mut output = [0; 16];
    let (taken, written) = exchange.decode_response(b"3\r\nabc\r\n0\r\n\r\n", &mut output).unwrap();
    assert_eq!((taken, &output[..written]), (13, &b"abc"[..]));
    assert_eq!(exchange.next(), Next::Close);
}

#[test]
fn a_tunnel_ends_when_both_sides_have() {
    let (mut exchange, _) = begin(UPGRADE);
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(respond(&mut exchange, switching), Ok(Turn::Switched));
    assert_eq!(exchange.pass_request(b"anything"), Ok(8));
    assert_eq!(exchange.client_ended(), ClientEnd::HalfClosed);
    assert_eq!(exchange.next(), Next::Wait);
    assert_eq!(exchange.pass_response(b"more"), Ok(4));
    assert_eq!(exchange.upstream_ended(), UpstreamEnd::Complete);
    assert_eq!(exchange.next(), Next::Close);
}

#[test]
fn nobody_is_switched_who_did_not_ask() {
    let (mut exchange, _) = begin(GET);
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(respond(&mut exchange, switching), Err(Fault::UpgradeUnasked));
}

/// What the end of each side's bytes means, at each point.
#[test]
fn an_end_means_what_the_framing_says() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    for (response, end) in [
        (None, UpstreamEnd::NoAnswer),
        (Some(length), UpstreamEnd::Truncated),
        (Some(chunked), UpstreamEnd::Truncated),
        (Some(open), UpstreamEnd::Complete),
    ] {
        let (mut exchange, _) = begin(GET);
        if let Some(response) = response {
            respond(&mut exchange, response).unwrap();
        }
        assert_eq!(exchange.upstream_ended(), end, "{response:?}");
        assert_eq!(exchange.upstream_persists, Mark::No);
    }
    assert_eq!(Exchange::WAITING.clone().client_ended(), ClientEnd::Idle);
    assert_eq!(begin(GET).0.client_ended(), ClientEnd::HalfClosed);
    assert_eq!(begin(POST).0.client_ended(), ClientEnd::Aborted);
}

#[test]
fn an_answer_of_our_own_ends_a_connection_whose_request_is_not_whole() {
    for (request, next) in [(GET, Next::NextRequest), (POST, Next::Linger)] {
        let (mut exchange, _) = begin(request);
        exchange.answer(502);
        assert_eq!(exchange.next(), next, "{request:?}");
    }
}

/// What nobody looked at counts like what was read.
#[test]
fn a_body_with_a_length_may_pass_unseen() {
    let (mut exchange, _) = begin(GET);
    respond(&mut exchange, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap();
    assert_eq!(exchange.pass_response(b"ab"), Ok(2));
    assert_eq!(exchange.unseen_response(), 7);
    assert_eq!(exchange.pass_unseen_response(4), 4);
    assert_eq!(exchange.next(), Next::Wait);
    assert_eq!(exchange.pass_unseen_response(4), 3);
    assert_eq!(exchange.next(), Next::NextRequest);
    assert_eq!((exchange.unseen_response(), exchange.pass_unseen_response(4)), (0, 0));
}

#[test]
fn what_has_to_be_looked_at_does_not_pass_unseen() {
    for response in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let (mut exchange, _) = begin(GET);
        assert_eq!(exchange.unseen_response(), 0, "before the head");
        respond(&mut exchange, response).unwrap();
        assert_eq!((exchange.unseen_response(), exchange.pass_unseen_response(1)), (0, 0));
    }
}

proptest! {
    /// A body passes the same, however it is cut.
    #[test]
    fn splits_do_not_matter(
        body in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(1_usize..40, 0..40),
        chunked in any::<bool>(),
        surplus in "[A-Z]{0,20}",
    ) {
        let (head, mut bytes) = if chunked {
            let mut bytes = Vec::new();
            for chunk in body.chunks(7) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            ("Transfer-Encoding: chunked".to_owned(), bytes)
        } else {
            (format!("Content-Length: {}", body.len()), body)
        };
        let whole = bytes.len();
        bytes.extend(surplus.bytes());

        let (mut exchange, _) = begin(&format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n"));
        let mut passed = 0;
        let mut cuts = cuts.into_iter().cycle();
        let mut end = 0;
        while end < bytes.len() {
            end = (end + cuts.next().unwrap_or(usize::MAX / 2)).min(bytes.len());
            passed += exchange.pass_request(&bytes[passed..end]).unwrap();
        }
        prop_assert_eq!(passed, whole);
        prop_assert_eq!(exchange.upload, Upload::Complete);
    }
}
