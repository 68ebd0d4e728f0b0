//! Raw responses, and what may be passed on of them.

use proptest::prelude::*;

use super::*;
use crate::table::rows;

const LIMITS: HeadLimits = HeadLimits { head_bytes: 1024, fields: 20, target_bytes: 0 };

fn outcome(bytes: &[u8], method: Method) -> String {
    let mut space = FieldSpace::new();
    match parse_response(bytes, &mut space, &LIMITS, method) {
        Ok(Parsed::Partial) => "partial".to_owned(),
        Ok(Parsed::Complete(response)) => {
            assert!(bytes[..response.head_bytes].ends_with(b"\r\n\r\n"));
            describe(&response)
        }
        Err(Fault::Head(defect)) => format!("fault {defect:?}"),
        Err(Fault::Length(defect)) => format!("fault {defect:?}"),
        Err(Fault::Connection(defect)) => format!("fault {defect:?}"),
        Err(fault) => format!("fault {fault:?}"),
    }
}

fn describe(response: &Response<'_, '_>) -> String {
    let mut text = response.status.to_string();
    if !response.reason.is_empty() {
        text += &format!(" {}", response.reason);
    }
    text += match response.version {
        Version::Http10 => " 1.0",
        Version::Http11 => "",
    };
    text += &match response.body {
        Body::None => " no content".to_owned(),
        Body::Length(bytes) => format!(" length={bytes}"),
        Body::Chunked => " chunked".to_owned(),
        Body::UntilClose => " until close".to_owned(),
    };
    text += match response.persistence {
        Persistence::KeepAlive => "",
        Persistence::Close => " close",
    };
    if let Some(protocol) = response.upgrade {
        text += &format!(" upgrade={protocol}");
    }
    text
}

#[track_caller]
fn check(method: Method, table: &str) {
    for (bytes, expected) in rows(table) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        assert_eq!(outcome(&bytes, method), expected, "for: {text:?}");
        if !expected.starts_with("fault") {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            for cut in 0..end.map_or(bytes.len(), |end| end + 4) {
                assert_eq!(outcome(&bytes[..cut], method), "partial", "at {cut} of: {text:?}");
            }
        }
    }
}

#[test]
fn responses_are_read() {
    check(
        Method::Get,
        r"
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi => 200 OK length=2
        HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi => 200 length=2
        HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi => 200 length=2
        HTTP/1.1 200 Tr\xe8s bien\r\nContent-Length: 2\r\n\r\nhi => 200 length=2
        HTTP/1.1 200 a b\tc\r\nContent-Length: 0\r\n\r\n => 200 a b	c length=0
        HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n => 999 Odd length=0
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n => 200 OK chunked
        HTTP/1.1 200 OK\r\n\r\n => 200 OK until close close
        HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n => 200 OK until close close
        HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n => 200 OK length=1 close
        HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n => 200 OK 1.0 length=1 close
        HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n => 200 OK 1.0 length=1
        HTTP/1.0 200 OK\r\n\r\n => 200 OK 1.0 until close close
        HTTP/1.1 204 No Content\r\n\r\n => 204 No Content no content
        HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n => 204 No Content no content
        HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n => 304 Not Modified no content
        HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n => 304 Not Modified no content
        HTTP/1.1 100 Continue\r\n\r\n => 100 Continue no content
        HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n => 103 Early Hints no content
        HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n => 101 Switching no content upgrade=websocket
        HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n => 200 OK length=0
        ",
    );
}

#[test]
fn the_answer_to_a_head_has_no_content() {
    check(
        Method::Head,
        r"
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n => 200 OK no content
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n => 200 OK no content
        HTTP/1.1 200 OK\r\n\r\n => 200 OK no content
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n => fault LengthRepeated
        ",
    );
}

#[test]
fn responses_with_two_readings_are_faults() {
    check(
        Method::Get,
        r"
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n => fault LengthRepeated
        HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n => fault LengthInvalid
        HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n => fault LengthInvalid
        HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n => fault LengthTooLarge
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n => fault LengthAndCoding
        HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n => fault CodingUnknown
        HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n => fault CodingUnknown
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n => fault CodingInvalid
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n => fault CodingRepeated
        HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n => fault CodingInHttp10
        HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n => fault ContentForbidden
        HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n => fault ContentForbidden
        HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n => fault ContentForbidden
        HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n => fault UpgradeMissing
        HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n => fault UpgradeMissing
        HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n => fault UpgradeMissing
        HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 0\r\n\r\n => fault NamesProtectedField
        HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n => fault BareLineFeed
        HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n => fault BareLineFeed
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n => fault BareLineFeed
        HTTP/1.1 200\nContent-Length: 0\r\n\r\n => fault BareLineFeed
        HTTP/1.1 204\n\r\n => fault BareLineFeed
        HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n => fault BareCarriageReturn
        HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n => fault ControlCharacter
        HTTP/1.1 200 OK\r\nX : a\r\n\r\n => fault SpaceBeforeColon
        HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n => fault ObsoleteFold
        HTTP/1.1 200 OK\r\n X: a\r\n\r\n => fault SpaceBeforeFirstField
        HTTP/1.1 200 OK\r\nX\r\n\r\n => fault ColonMissing
        HTTP/1.1 200 OK\r\n(: a\r\n\r\n => fault FieldNameInvalid
        HTTP/1.1 200 OK\r\n{X: y\r\n*21}\r\n => fault TooManyFields
        HTTP/1.1 200 OK\r\n{X: y\r\n*129}\r\n => fault TooManyFields
        HTTP/1.1 200 OK\r\nX: {a*1024}\r\n\r\n => fault TooLong
        HTTP/1.1 200 OK\r\nX: {a*1024} => fault TooLong
        HTTP/1.1 099 Odd\r\n\r\n => fault StatusLine
        HTTP/1.1 20 OK\r\n\r\n => fault StatusLine
        HTTP/1.1 2000 OK\r\n\r\n => fault StatusLine
        HTTP/1.1  200 OK\r\n\r\n => fault StatusLine
        HTTP/1.1 200 O\0K\r\n\r\n => fault StatusLine
        HTTP/1.1 200 O\rK\r\n\r\n => fault StatusLine
        \r\nHTTP/1.1 200 OK\r\n\r\n => fault StatusLine
        ICY 200 OK\r\n\r\n => fault StatusLine
        HTTX/1.1 200 OK\r\n\r\n => fault StatusLine
        HTTP/2.0 200 OK\r\n\r\n => fault VersionUnsupported
        HTTP/1.2 200 OK\r\n\r\n => fault VersionUnsupported
        ",
    );
}

proptest! {
    #[test]
    fn nothing_panics(start in "(HTTP/1.[01] [0-9]{3} ?[A-Z]{0,2}\r\n)?", rest in any::<Vec<u8>>()) {
        let bytes = [start.as_bytes(), &rest].concat();
        outcome(&bytes, Method::Get);
    }
}
