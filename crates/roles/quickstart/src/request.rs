//! The little HTTP that a demo application behind a gateway needs.
//!
//! The gateway has checked what it forwards, so this reads heads, passes over bodies that
//! have a length, and nothing else.

use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::net::TcpStream;

/// Largest head of a request.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// Most fields of one.
const FIELDS_MAX: usize = 128;

/// A request, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The key of one that wants a WebSocket.
    pub(crate) websocket_key: Option<String>,
    content_length: u64,
}

/// Reads the next request, its body included; `None` when the gateway closes the connection.
pub(crate) fn read(input: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    let mut limited = input.take(HEAD_BYTES_MAX);
    while !head.ends_with(b"\r\n\r\n") {
        if limited.read_until(b'\n', &mut head)? == 0 {
            return if head.is_empty() { Ok(None) } else { Err(invalid()) };
        }
    }
    let request = parse(&head).ok_or_else(invalid)?;
    let body = &mut input.take(request.content_length);
    if io::copy(body, &mut io::sink())? < request.content_length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(request))
}

fn parse(head: &[u8]) -> Option<Request> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    if parsed.parse(head).ok()?.is_partial() {
        return None;
    }
    let target = parsed.path?;
    let mut request = Request {
        path: target.split('?').next().unwrap_or(target).to_owned(),
        ..Request::default()
    };
    for field in parsed.headers {
        let value = std::str::from_utf8(field.value).ok()?;
        if field.name.eq_ignore_ascii_case("content-length") {
            request.content_length = value.trim_ascii().parse().ok()?;
        } else if field.name.eq_ignore_ascii_case("sec-websocket-key") {
            request.websocket_key = Some(value.to_owned());
        }
    }
    Some(request)
}

/// Writes a whole response.
pub(crate) fn respond(
    output: &mut impl Write,
    status: &str,
    kind: &str,
    body: &[u8],
) -> io::Result<()> {
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n\r\n",
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(body);
    output.write_all(&response)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_path_its_key_and_its_length() {
        let head = b"GET /echo?x=1 HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: abc\r\n\r\n";
        let request = parse(head).unwrap();
        assert_eq!(
            (request.path.as_str(), request.websocket_key.as_deref()),
            ("/echo", Some("abc"))
        );
        let head = b"POST / HTTP/1.1\r\ncontent-length: 12\r\n\r\n";
        assert_eq!(parse(head).unwrap().content_length, 12);
        assert_eq!(parse(b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), None);
    }
}
