//! Raw requests and what RFC 9110 and 9112 make of them; the laws that rows cannot cover.

use proptest::prelude::*;

use super::*;
use crate::table::rows;

const LIMITS: HeadLimits = HeadLimits { head_bytes: 1024, fields: 20, target_bytes: 200 };

fn outcome(bytes: &[u8]) -> String {
    let mut space = FieldSpace::new();
    match parse_request(bytes, &mut space, &LIMITS) {
        Ok(Parsed::Partial) => "partial".to_owned(),
        Ok(Parsed::Complete(request)) => describe(&request),
        Err(refusal) => format!("{} {}", refusal.status(), name(refusal)),
    }
}

fn describe(request: &Request<'_, '_>) -> String {
    let mut text = format!("{} {}", request.method_text, request.target);
    if request.path != request.target {
        text += &format!(" path={}", request.path);
    }
    text += &format!(" host={}", request.host);
    if request.authority != request.host {
        text += &format!(" authority={}", request.authority);
    }
    text += match request.version {
        Version::Http10 => " 1.0",
        Version::Http11 => "",
    };
    text += &match request.body {
        Body::None => String::new(),
        Body::Length(bytes) => format!(" length={bytes}"),
        Body::Chunked => " chunked".to_owned(),
        Body::UntilClose => panic!("a request never ends with its connection"),
    };
    text += match request.persistence {
        Persistence::KeepAlive => "",
        Persistence::Close => " close",
    };
    if let Some(protocols) = request.upgrade {
        text += &format!(" upgrade={protocols}");
    }
    if request.expectation == Expectation::Continue {
        text += " continue";
    }
    text
}

fn name(refusal: Refusal) -> String {
    match refusal {
        Refusal::Head(defect) => format!("{defect:?}"),
        Refusal::Length(defect) => format!("{defect:?}"),
        Refusal::Connection(defect) => format!("{defect:?}"),
        Refusal::Target(defect) => format!("{defect:?}"),
        Refusal::Host(defect) => format!("Host{defect:?}"),
        Refusal::TooManyLeadingLines
        | Refusal::RequestLine
        | Refusal::TargetTooLong
        | Refusal::MethodTooLong
        | Refusal::MethodNotAllowed
        | Refusal::VersionUnsupported
        | Refusal::ExpectationUnknown
        | Refusal::Loop => format!("{refusal:?}"),
    }
}

/// Runs the rows; every request that is accepted is also cut everywhere.
#[track_caller]
fn check(table: &str) {
    for (bytes, expected) in rows(table) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        assert_eq!(outcome(&bytes), expected, "for: {text:?}");
        if !expected.starts_with(|first: char| first.is_ascii_digit()) {
            let mut space = FieldSpace::new();
            let head = match parse_request(&bytes, &mut space, &LIMITS).unwrap() {
                Parsed::Partial => bytes.len(),
                Parsed::Complete(request) => request.head_bytes,
            };
            for end in 0..head {
                assert_eq!(outcome(&bytes[..end]), "partial", "at {end} of: {text:?}");
            }
        }
    }
}

#[test]
fn well_formed_requests_are_read() {
    check(
        r"
        GET / HTTP/1.1\r\nHost: a\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost:a\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nhOST: \t a \t\r\n\r\n => GET / host=a
        GET /x?y HTTP/1.1\r\nHost: a:8080\r\n\r\nrest => GET /x?y path=/x host=a authority=a:8080
        HEAD / HTTP/1.1\r\nHost: [::1]:1\r\n\r\n => HEAD / host=[::1] authority=[::1]:1
        PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n => PURGE /x host=a
        get / HTTP/1.1\r\nHost: a\r\n\r\n => get / host=a
        M!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n => M!#$%&'*+-.^_`|~ / host=a
        OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n => OPTIONS * path=/ host=a
        GET / HTTP/1.1\r\nHost: a\r\nX: \r\nY:\r\nZ: \xe9\t\xff\r\n\r\n => GET / host=a
        \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n => GET / host=a
        \r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n => GET / host=a

        GET / HTTP/1.0\r\n\r\n => GET / host= 1.0 close
        GET / HTTP/1.0\r\nHost: a\r\n\r\n => GET / host=a 1.0 close
        GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n => GET / host= 1.0
        GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n => GET / host= 1.0 close
        POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc => POST / host= 1.0 length=3 close
        GET http://a/x HTTP/1.0\r\n\r\n => GET /x host=a 1.0 close

        GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n => GET / host=a close
        GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n => GET / host=a close
        GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n => GET / host=a close
        GET / HTTP/1.1\r\nHost: a\r\nConnection: \r\n\r\n => GET / host=a
        ",
    );
}

#[test]
fn empty_lines_count_as_part_of_the_head() {
    let mut space = FieldSpace::new();
    let bytes = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let Ok(Parsed::Complete(request)) = parse_request(bytes, &mut space, &LIMITS) else {
        panic!("a request");
    };
    assert_eq!(&bytes[request.head_bytes..], b"rest");
}

#[test]
fn lengths_have_one_reading() {
    check(
        r"
        POST / HTTP/1.1\r\nHost: a\r\n\r\n => POST / host=a
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n => POST / host=a length=0
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello => POST / host=a length=5
        GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n => GET / host=a length=5
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n => POST / host=a chunked
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n => POST / host=a chunked

        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n => 400 LengthRepeated
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n => 400 LengthRepeated
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n => 400 LengthInvalid
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n => 400 LengthTooLarge
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n => 400 LengthAndCoding
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n => 400 LengthAndCoding
        POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n => 400 CodingInHttp10
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n => 400 CodingRepeated
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n => 400 CodingRepeated
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n => 400 CodingInvalid
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=1\r\n\r\n => 400 CodingInvalid
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n => 400 CodingInvalid
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n => 400 CodingInvalid
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n => 400 ControlCharacter
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n => 501 CodingUnknown
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n => 501 CodingUnknown
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n => 501 CodingUnknown
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n => 400 SpaceBeforeColon
        POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n => 400 SpaceBeforeColon
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n => 400 ObsoleteFold
        ",
    );
}

#[test]
fn heads_that_are_not_what_the_grammar_says_are_refused() {
    check(
        r"
        GET / HTTP/1.1\nHost: a\r\n\r\n => 400 BareLineFeed
        GET / HTTP/1.1\r\nHost: a\n\r\n => 400 BareLineFeed
        GET / HTTP/1.1\r\nHost: a\r\n\n => 400 BareLineFeed
        GET / HTTP/1.1\nHost: a\n\n => 400 BareLineFeed
        GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n => 400 BareLineFeed
        GET / HTTP/1.1\r\nX: y\nHost: a\r\n\r\n => 400 BareLineFeed
        GET / HTTP/1.1\r\nHost: a\nX: \0\r\n\r\n => 400 BareLineFeed
        GET / HTTP/1.0\n\r\n => 400 BareLineFeed
        GET / HTTP/1.0\r\n\n => 400 BareLineFeed
        GET / HTTP/1.0\nX y\r\n\r\n => 400 BareLineFeed
        \nGET / HTTP/1.1\r\nHost: a\r\n\r\n => 400 BareLineFeed
        \r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n => 400 BareLineFeed
        \rGET / HTTP/1.1\r\nHost: a\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\rHost: a\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\r\r\nHost: a\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\r\nHost: a\r\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\r\nHo\rst: a\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n => 400 BareCarriageReturn
        GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n => 400 ControlCharacter
        GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n => 400 ControlCharacter
        GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n => 400 ControlCharacter
        GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n => 400 ControlCharacter
        GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n => 400 ControlCharacter
        GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n => 400 ControlCharacter
        G\0T / HTTP/1.1\r\nHost: a\r\n\r\n => 400 ControlCharacter
        GET / HTTP/1.1\r\nHost : a\r\n\r\n => 400 SpaceBeforeColon
        GET / HTTP/1.1\r\nHost\t: a\r\n\r\n => 400 SpaceBeforeColon
        GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n => 400 SpaceBeforeColon
        GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n => 400 ObsoleteFold
        GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n => 400 ObsoleteFold
        GET / HTTP/1.1\r\nHost: a\r\nX:\r\n y\r\n\r\n => 400 ObsoleteFold
        GET / HTTP/1.1\r\n Host: a\r\n\r\n => 400 SpaceBeforeFirstField
        GET / HTTP/1.1\r\n\tHost: a\r\n\r\n => 400 SpaceBeforeFirstField
        GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n => 400 SpaceBeforeFirstField
        GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n => 400 FieldNameInvalid
        GET / HTTP/1.1\r\nHost: a\r\nX(y): x\r\n\r\n => 400 FieldNameInvalid
        GET / HTTP/1.1\r\nHost: a\r\nX\xe9: x\r\n\r\n => 400 FieldNameInvalid
        GET / HTTP/1.1\r\nHost: a\r\nX[]: x\r\n\r\n => 400 FieldNameInvalid
        GET / HTTP/1.1\r\nHost: a\r\nXyz\r\n\r\n => 400 ColonMissing
        \r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n => 400 TooManyLeadingLines
        ",
    );
}

#[test]
fn request_lines_are_read_strictly() {
    check(
        r"
        GET /\r\n\r\n => 400 RequestLine
        GET\r\n\r\n => 400 RequestLine
        GET  / HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET /  HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / HTTP/1.1 \r\nHost: a\r\n\r\n => 400 RequestLine
        \x20GET / HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET /a b HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / http/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / HTTP/1.10\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / HTTP/01.1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / HTTP/1,1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / HTTP/1\r\nHost: a\r\n\r\n => 400 RequestLine
        GET / HTTX/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        G(T / HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        G\xe9T / HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        \x16\x03\x01\x02\x00\x01 => 400 ControlCharacter
        GET / HTTP/1.2\r\nHost: a\r\n\r\n => 505 VersionUnsupported
        GET / HTTP/2.0\r\nHost: a\r\n\r\n => 505 VersionUnsupported
        GET / HTTP/0.9\r\n\r\n => 505 VersionUnsupported
        PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n => 505 VersionUnsupported
        CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n => 405 MethodNotAllowed
        TRACE / HTTP/1.1\r\nHost: a\r\n\r\n => 405 MethodNotAllowed
        {A*33} / HTTP/1.1\r\nHost: a\r\n\r\n => 501 MethodTooLong
        {A*33}( / HTTP/1.1\r\nHost: a\r\n\r\n => 501 MethodTooLong
        {A*32}( / HTTP/1.1\r\nHost: a\r\n\r\n => 400 RequestLine
        {A*33} / HTTP/1.1\r\nHost: a\r\n => 501 MethodTooLong
        {A*2000} => 501 MethodTooLong
        ",
    );
}

#[test]
fn targets_and_hosts_are_read_strictly() {
    check(
        r"
        GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n => GET /x?y path=/x host=a
        GET http://A:80/ HTTP/1.1\r\nHost: a\r\n\r\n => GET / host=A authority=A:80
        GET https://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n => GET / host=a
        GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n => GET ?y path=/ host=a
        OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n => OPTIONS * path=/ host=a
        GET http://a/ HTTP/1.1\r\n\r\n => 400 HostMissing
        GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n => 400 HostDisagrees
        GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n => 400 HostDisagrees
        GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n => 400 HostDisagrees
        GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n => 400 HostDisagrees
        GET / HTTP/1.1\r\n\r\n => 400 HostMissing
        GET / HTTP/1.1\r\nX: y\r\n\r\n => 400 HostMissing
        GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n => 400 HostRepeated
        GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n => 400 HostRepeated
        GET / HTTP/1.1\r\nHost:\r\n\r\n => 400 HostEmpty
        GET / HTTP/1.0\r\nHost: \r\n\r\n => 400 HostEmpty
        GET / HTTP/1.1\r\nHost: a, b\r\n\r\n => 400 HostInvalid
        GET / HTTP/1.1\r\nHost: a b\r\n\r\n => 400 HostInvalid
        GET / HTTP/1.1\r\nHost: a/b\r\n\r\n => 400 HostInvalid
        GET / HTTP/1.1\r\nHost: u@a\r\n\r\n => 400 HostInvalid
        GET / HTTP/1.1\r\nHost: a:x\r\n\r\n => 400 HostInvalid
        GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n => 400 HostInvalid
        GET / HTTP/1.1\r\nHost: {a*256}\r\n\r\n => 400 HostInvalid
        GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n => 400 HostInvalid
        GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n => 400 HostEmpty
        GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n => 400 SchemeUnknown
        GET /#x HTTP/1.1\r\nHost: a\r\n\r\n => 400 Fragment
        GET * HTTP/1.1\r\nHost: a\r\n\r\n => 400 AsteriskWithoutOptions
        GET x HTTP/1.1\r\nHost: a\r\n\r\n => 400 FormInvalid
        GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n => 400 FormInvalid
        GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n => 400 NotVisibleAscii
        GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n => 400 NotVisibleAscii
        GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n => 400 DotSegment
        GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n => 400 DotSegment
        GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n => 400 Backslash
        GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n => 400 EncodingInvalid
        ",
    );
}

#[test]
fn connections_expectations_and_upgrades() {
    check(
        r"
        GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n => 400 NamesProtectedField
        GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\nContent-Length: 1\r\n\r\n => 400 NamesProtectedField
        GET / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\n\r\n => 400 NamesProtectedField
        GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for\r\n\r\n => 400 NamesProtectedField
        GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n => 400 OptionInvalid
        GET / HTTP/1.1\r\nHost: a\r\nConnection: {a,*33}\r\n\r\n => 400 TooManyOptions

        PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n => PUT / host=a length=1 continue
        PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n => PUT / host=a chunked continue
        PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n => PUT / host=a
        PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n => PUT / host=a 1.0 length=1 close
        PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n => 417 ExpectationUnknown
        PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect:\r\n\r\n => 417 ExpectationUnknown
        PUT / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nExpect: 100-continue\r\n\r\n => 417 ExpectationUnknown

        GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n => GET / host=a upgrade=websocket
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a/1, b/2\r\n\r\n => GET / host=a upgrade=a/1, b/2
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n => GET / host=a length=0 upgrade=x
        GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n => GET / host=a
        GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n => GET / host=a 1.0 close
        POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n => POST / host=a length=1
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, H2C\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a b\r\n\r\n => GET / host=a

        GET / HTTP/1.1\r\nHost: a\r\nVia: {1.1 mainstay, *8}x\r\n\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost: a\r\nVia: {1.1 mainstay, *9}x\r\n\r\n => 508 Loop
        ",
    );
}

#[test]
fn limits_are_kept() {
    check(
        r"
        GET /{a*199} HTTP/1.1\r\nHost: a\r\n\r\n => GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa host=a
        GET /{a*200} HTTP/1.1\r\nHost: a\r\n\r\n => 414 TargetTooLong
        GET /{a*200} => 414 TargetTooLong
        GET /{a*200}\0 => 414 TargetTooLong
        GET /{a*200} HTTP/1.1\r\nHost: a\r\n => 414 TargetTooLong
        GET /{a*199}\0 => 400 ControlCharacter
        GET / HTTP/1.1\r\nHost: a\r\nX: {a*1000}\0\r\n\r\n => 431 TooLong
        GET /{a*2000} => 414 TargetTooLong
        GET /{a*199} => partial
        GET / HTTP/1.1\r\nHost: a\r\nX: {a*1000} => 431 TooLong
        GET / HTTP/1.1\r\nHost: a\r\nX: {a*1000}\r\n\r\n => 431 TooLong
        GET / HTTP/1.1\r\nHost: a\r\n{X: y\r\n*19}\r\n => GET / host=a
        GET / HTTP/1.1\r\nHost: a\r\n{X: y\r\n*20}\r\n => 431 TooManyFields
        GET / HTTP/1.1\r\nHost: a\r\n{X: y\r\n*128}\r\n => 431 TooManyFields
        ",
    );
}

#[test]
fn a_head_may_have_exactly_as_many_bytes_as_the_limit() {
    let head =
        |value: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(value));
    let fitting = LIMITS.head_bytes - head(0).len();
    assert_eq!(outcome(head(fitting).as_bytes()), "GET / host=a");
    assert_eq!(outcome(head(fitting + 1).as_bytes()), "431 TooLong");
}

/// Requests that are nearly right: pieces in any order, or right ones with a piece too many.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let piece = || {
        prop::sample::select(vec![
            "GET ",
            "POST ",
            "/",
            "/a?b",
            "*",
            "http://a/",
            " HTTP/1.1",
            " HTTP/1.0",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            "Host: a",
            "Host:",
            "Content-Length: 5",
            "\t",
            ",",
            "Transfer-Encoding: ",
            "chunked",
            "Connection: ",
            "close",
            "upgrade",
            "Upgrade: x",
            ":",
            " ",
            "X: y",
            "\0",
            "Expect: 100-continue",
            "Via: mainstay",
            "%2e",
            "..",
            "\u{e9}",
            "\r\nX: y",
        ])
    };
    let right = prop::sample::select(vec![
        "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
        "PUT /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a:80\r\n\r\n",
        "GET http://a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ]);
    prop_oneof![
        prop::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat().into_bytes()),
        (right, piece(), any::<prop::sample::Index>()).prop_map(|(right, piece, at)| {
            let (before, after) = right.split_at(at.index(right.len() + 1));
            [before, piece, after].concat().into_bytes()
        }),
        prop::collection::vec(any::<u8>(), 0..80),
    ]
}

proptest! {
    #[test]
    fn nothing_panics(bytes in any_message()) {
        outcome(&bytes);
    }

    /// What is refused stays refused, and what was read is not read otherwise.
    #[test]
    fn more_bytes_change_no_outcome(bytes in any_message(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(bytes.len() + 1);
        let (early, late) = (outcome(&bytes[..cut]), outcome(&bytes));
        if early.starts_with(|first: char| first.is_ascii_digit()) {
            prop_assert_eq!(early.get(..3), late.get(..3), "{} then {}", early, late);
        } else if early != "partial" {
            prop_assert_eq!(early, late);
        }
    }

    #[test]
    fn what_is_accepted_is_well_formed(bytes in any_message()) {
        let mut space = FieldSpace::new();
        if let Ok(Parsed::Complete(request)) = parse_request(&bytes, &mut space, &LIMITS) {
            let head = str::from_utf8(request.head).unwrap_or_default();
            prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']));
            prop_assert_eq!(head.matches("\r\n").count(), request.fields.len() + 2);
            for field in request.fields {
                prop_assert!(crate::token::is_token(field.name.as_bytes()));
                prop_assert!(field.value.iter().all(|&byte| crate::token::is_text(byte)));
            }
        }
    }
}
