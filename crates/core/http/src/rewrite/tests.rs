//! What goes on in place of what came, and the law that it reads the same.

use proptest::prelude::*;

use super::*;
use crate::access::Identity;
use crate::field::FieldSpace;
use crate::framing::{HeadLimits, Parsed};
use crate::method::Method;
use crate::request::parse_request;
use crate::response::parse_response;
use crate::table::unescape;

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 40, target_bytes: 1024 };

const ONWARD: Onward<'static> = Onward {
    client: "192.0.2.1",
    scheme: "http",
    request_id: "id7",
    forwarded: Forwarded::Replace,
    server: "10.0.0.1:8080",
    identity: None,
};

const BACK: Back<'static> =
    Back { framing: BackFraming::AsReceived, connection: BackConnection::Implied, date: None };

fn rewrite_request(bytes: &[u8], onward: &Onward<'_>) -> String {
    let mut space = FieldSpace::new();
    let parsed = parse_request(bytes, &mut space, &LIMITS);
    let Ok(Parsed::Complete(request)) = parsed else {
        panic!("{parsed:?} of {}", String::from_utf8_lossy(bytes));
    };
    let mut out = [0; 8192];
    let length = write_request(&request, onward, &mut out).unwrap();
    for short in [0, 1, length / 2, length - 1] {
        assert_eq!(write_request(&request, onward, &mut out[..short]), Err(HeadTooLong));
    }
    let length = write_request(&request, onward, &mut out).unwrap();
    String::from_utf8(out[..length].to_vec()).unwrap()
}

fn rewrite_response(bytes: &[u8], back: &Back<'_>) -> String {
    let mut space = FieldSpace::new();
    let parsed = parse_response(bytes, &mut space, &LIMITS, Method::Get);
    let Ok(Parsed::Complete(response)) = parsed else {
        panic!("{parsed:?} of {}", String::from_utf8_lossy(bytes));
    };
    let mut out = [0; 8192];
    let length = write_response(&response, back, &mut out).unwrap();
    for short in [0, 1, length / 2, length - 1] {
        assert_eq!(write_response(&response, back, &mut out[..short]), Err(HeadTooLong));
    }
    let length = write_response(&response, back, &mut out).unwrap();
    String::from_utf8(out[..length].to_vec()).unwrap()
}

/// Compares with `expected`, given one line a line; `~` is a space at the end of one.
#[track_caller]
fn assert_head(written: &str, expected: &str) {
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .flat_map(|line| [line, "\r\n"])
        .collect();
    assert_eq!(written, expected.replace('~', " ") + "\r\n");
}

#[test]
fn a_request_says_who_forwarded_it() {
    let request = unescape(
        r"GET /a?b HTTP/1.1\r\nUser-Agent: x\r\nHost: shop.example.com\r\nAccept: */*\r\n\r\n",
    );
    assert_head(
        &rewrite_request(&request, &ONWARD),
        "
        GET /a?b HTTP/1.1
        Host: shop.example.com
        User-Agent: x
        Accept: */*
        X-Forwarded-For: 192.0.2.1
        X-Forwarded-Proto: http
        X-Forwarded-Host: shop.example.com
        Forwarded: for=192.0.2.1;host=shop.example.com;proto=http
        Via: 1.1 mainstay
        X-Request-Id: id7
        ",
    );
}

#[test]
fn fields_of_the_connection_and_claims_of_the_client_are_taken_away() {
    let request = unescape(
        r"POST / HTTP/1.1\r\nHost: a:81\r\nConnection: keep-alive, X-Mine, te\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTransfer-Encoding: chunked\r\nTrailer: Expires\r\nUpgrade: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: theirs\r\nVia: 1.0 other\r\nContent_Length: 7\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_head(
        &rewrite_request(&request, &ONWARD),
        "
        POST / HTTP/1.1
        Host: a:81
        Trailer: Expires
        Via: 1.0 other
        Expect: 100-continue
        Transfer-Encoding: chunked
        X-Forwarded-For: 192.0.2.1
        X-Forwarded-Proto: http
        X-Forwarded-Host: a:81
        Forwarded: for=192.0.2.1;host=\"a:81\";proto=http
        Via: 1.1 mainstay
        X-Request-Id: id7
        ",
    );
}

#[test]
fn a_trusted_client_is_added_to() {
    let request = unescape(
        r"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-For:\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 3.3.3.3\r\nForwarded: for=2.2.2.2\r\nX-Forwarded-Port: 443\r\nX-Request-Id: theirs\r\n\r\n",
    );
    let onward = Onward { client: "2001:db8::1", forwarded: Forwarded::Append, ..ONWARD };
    assert_head(
        &rewrite_request(&request, &onward),
        "
        GET / HTTP/1.1
        Host: a
        X-Forwarded-Proto: https
        X-Forwarded-Port: 443
        X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 2001:db8::1
        X-Forwarded-Host: a
        Forwarded: for=1.1.1.1, for=2.2.2.2, for=\"[2001:db8::1]\";host=a;proto=http
        Via: 1.1 mainstay
        X-Request-Id: id7
        ",
    );
}

const IDENTITY: Identity<'static> =
    Identity { cookie: "sid", subject_header: "X-Forwarded-User", subject: Some("alice") };

#[test]
fn only_we_say_whose_request_it_is() {
    let request = unescape(
        r"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: root\r\nCookie: a=b; sid=x\r\nX_Forwarded_User: root\r\nx-forwarded_user: root\r\nX-Forwarded-Users: 2\r\nCookie: sid=y\r\nCookie: c=d\r\n\r\n",
    );
    let trusted = Onward { forwarded: Forwarded::Append, ..ONWARD };
    let head = "
        GET / HTTP/1.1
        Host: a
        X-Forwarded-Users: 2
        Cookie: c=d
        Cookie: a=b
        X-Forwarded-User: alice
        X-Forwarded-For: 192.0.2.1
        X-Forwarded-Proto: http
        X-Forwarded-Host: a
        Forwarded: for=192.0.2.1;host=a;proto=http
        Via: 1.1 mainstay
        X-Request-Id: id7
        ";
    let onward = Onward { identity: Some(IDENTITY), ..trusted };
    assert_head(&rewrite_request(&request, &onward), head);
    // Where nobody is known, nobody is named.
    for subject in [None, Some(""), Some("a\r\nb"), Some(" a"), Some("a\t"), Some("a\0")] {
        let identity = Some(Identity { subject, ..IDENTITY });
        let nobody = head.replace("X-Forwarded-User: alice\n", "");
        assert_head(&rewrite_request(&request, &Onward { identity, ..trusted }), &nobody);
    }
    // A name of any other shape is found, too.
    let request =
        unescape(r"GET / HTTP/1.1\r\nHost: a\r\nREMOTE-USER: root\r\nRemote_User: root\r\n\r\n");
    let identity = Identity { subject_header: "Remote-User", ..IDENTITY };
    let written = rewrite_request(&request, &Onward { identity: Some(identity), ..ONWARD });
    assert!(!written.contains("root") && written.contains("Remote-User: alice\r\n"), "{written}");
}

#[test]
fn an_old_request_becomes_a_new_one() {
    let request = unescape(
        r"PUT / HTTP/1.0\r\nContent-Length:  3\t\r\nExpect: 100-continue\r\nX:y\r\nEmpty: \t\r\nZ: z\r\nConnection: keep-alive\r\n\r\n",
    );
    assert_head(
        &rewrite_request(&request, &ONWARD),
        "
        PUT / HTTP/1.1
        Host: 10.0.0.1:8080
        Content-Length: 3
        X: y
        Empty:~
        Z: z
        X-Forwarded-For: 192.0.2.1
        X-Forwarded-Proto: http
        Forwarded: for=192.0.2.1;proto=http
        Via: 1.0 mainstay
        X-Request-Id: id7
        ",
    );
}

#[test]
fn an_upgrade_goes_on() {
    let request = unescape(
        r"GET http://h?x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
    );
    let written = rewrite_request(&request, &ONWARD);
    assert!(written.starts_with("GET /?x HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\n"));
    assert!(written.contains("\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"), "{written}");
}

#[test]
fn a_response_loses_what_concerns_the_connection() {
    let response = unescape(
        r"HTTP/1.0 200 Fine\r\nServer: x\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nContent-Length: 3\r\nX-Request-Id: theirs\r\nSet-Cookie: a\r\nSet-Cookie:b\r\n\r\n",
    );
    assert_head(
        &rewrite_response(&response, &BACK),
        "
        HTTP/1.1 200 Fine
        Server: x
        Content-Length: 3
        X-Request-Id: theirs
        Set-Cookie: a
        Set-Cookie: b
        ",
    );
}

#[test]
fn a_client_is_told_about_its_connection() {
    let chunked = unescape(
        r"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
    );
    let date = Some("Thu, 01 Jan 1970 00:00:00 GMT");
    assert_head(
        &rewrite_response(&chunked, &Back { date, ..BACK }),
        "
        HTTP/1.1 200 OK
        Date: Thu, 01 Jan 1970 00:00:00 GMT
        Transfer-Encoding: chunked
        ",
    );
    let decoded = Back { framing: BackFraming::Decoded, connection: BackConnection::Close, date };
    let dated = unescape(r"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: today\r\n\r\n");
    assert_head(
        &rewrite_response(&dated, &decoded),
        "
        HTTP/1.1 200 OK
        Date: today
        Connection: close
        ",
    );
    let kept = Back { connection: BackConnection::KeepAlive, ..BACK };
    assert_head(
        &rewrite_response(&unescape(r"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), &kept),
        "
        HTTP/1.1 200~
        Content-Length: 0
        Connection: keep-alive
        ",
    );
}

#[test]
fn responses_without_content_have_no_length() {
    let close = Back { connection: BackConnection::Close, date: Some("now"), ..BACK };
    assert_head(
        &rewrite_response(&unescape(r"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n"), &close),
        "HTTP/1.1 100 Continue",
    );
    assert_head(
        &rewrite_response(&unescape(r"HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n"), &close),
        "
        HTTP/1.1 204 None
        Date: now
        Connection: close
        ",
    );
    assert_head(
        &rewrite_response(&unescape(r"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n"), &BACK),
        "
        HTTP/1.1 304 Same
        Content-Length: 9
        ",
    );
}

#[test]
fn a_switch_of_protocols_is_passed_on() {
    let switching = unescape(
        r"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n",
    );
    assert_head(
        &rewrite_response(&switching, &Back { connection: BackConnection::Close, ..BACK }),
        "
        HTTP/1.1 101 Switching
        X: y
        Connection: upgrade
        Upgrade: websocket
        ",
    );
}

/// A request that is accepted, with any mixture of fields.
fn any_request() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: a",
        "POST /x?y HTTP/1.1\r\nHost: a:8080",
        "GET http://[::1]:7/z HTTP/1.1\r\nHost: [::1]:7",
        "GET http://h?q HTTP/1.1\r\nHost: H:80",
        "OPTIONS * HTTP/1.1\r\nHost: a",
        "PUT /p HTTP/1.0\r\nHost: a",
    ]);
    let body = prop::sample::select(vec!["", "\r\nContent-Length: 12", "\r\nContent-Length:0 "]);
    let field = prop::sample::select(vec![
        "X: y",
        "X:y",
        "X:  y  ",
        "Empty:",
        "Empty: ",
        "Accept: */*",
        "Connection: close",
        "Connection: x, keep-alive",
        "Connection: upgrade",
        "Upgrade: websocket",
        "TE: trailers",
        "Expect: 100-continue",
        "Via: 1.1 mainstay",
        "X-Forwarded-For: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Forwarded-Proto: gopher",
        "X-Request-Id: theirs",
        "Content_Length: 3",
        "Date: today",
        "Cookie: a=b",
        "Cookie: a=b; sid=c;d",
        "Cookie: sid=c",
        "X-Forwarded-User: root",
    ]);
    (line, body, prop::collection::vec(field, 0..12)).prop_map(|(line, body, fields)| {
        let fields: String = fields.iter().flat_map(|field| ["\r\n", field]).collect();
        format!("{line}{body}{fields}\r\n\r\n")
    })
}

proptest! {
    #[test]
    fn same_framing(
        text in any_request(),
        trusted in any::<bool>(),
        known in any::<bool>(),
    ) {
        let identity = known.then_some(IDENTITY);
        let forwarded = if trusted { Forwarded::Append } else { Forwarded::Replace };
        let written = rewrite_request(text.as_bytes(), &Onward { forwarded, identity, ..ONWARD });
        let (mut before_space, mut after_space) = (FieldSpace::new(), FieldSpace::new());
        let before = parse_request(text.as_bytes(), &mut before_space, &LIMITS);
        let after = parse_request(written.as_bytes(), &mut after_space, &LIMITS);
        let (Ok(Parsed::Complete(before)), Ok(Parsed::Complete(after))) = (before, after) else {
            panic!("{text:?} became {written:?}");
        };
        prop_assert_eq!(after.head_bytes, written.len());
        prop_assert_eq!(before.method_text, after.method_text);
        prop_assert_eq!(before.target, after.target.trim_start_matches(
            if before.target.starts_with('?') { "/" } else { "" }
        ));
        prop_assert_eq!(before.path, after.path);
        prop_assert_eq!(before.authority, after.authority);
        prop_assert_eq!(before.body, after.body);
        prop_assert_eq!(before.upgrade, after.upgrade);
        prop_assert_eq!(before.expectation, after.expectation);
        prop_assert_eq!(after.persistence, crate::framing::Persistence::KeepAlive);
        for ours in ["\r\nX-Request-Id: ", "\r\nX-Forwarded-For: ", "\r\nForwarded: "] {
            prop_assert_eq!(written.matches(ours).count(), 1, "{}", ours);
        }
        prop_assert!(!known || (!written.contains("root") && !written.contains("sid")));
    }
}
