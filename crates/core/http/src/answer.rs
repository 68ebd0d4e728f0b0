//! The gateway's own answers: a small page for each status that no server sent.
//!
//! Nothing from the request is in them but the request's id, which is ours, and the address to
//! come back to after a login, which is encoded: there is nothing to inject.

use crate::rewrite::{BackConnection, HeadTooLong, Output};

/// Longest answer, for an id of at most 64 bytes and a sentence of at most 128.
pub const ANSWER_BYTES_MAX: usize = 1024;

/// The answer when nobody is ready to serve, for a process that interprets nothing: it is
/// right for any request but a HEAD, and ends the connection.
pub static UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 193\r\n\
    Cache-Control: no-store\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    \r\n\
    <!doctype html>\n\
    <html lang=\"en\">\n\
    <meta charset=\"utf-8\">\n\
    <title>503 Service Unavailable</title>\n\
    <h1>Service Unavailable</h1>\n\
    <p>The service is not available at the moment. Please try again.</p>\n";

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: u16,
    /// What the page says, such as the text of a [`crate::Refusal`]; it must be ours, for it is
    /// not escaped. Empty: what the status means.
    pub sentence: &'a str,
    /// Left out if it is empty or has anything but letters, digits and hyphens.
    pub request_id: &'a str,
    pub connection: BackConnection,
    pub body: AnswerBody,
    /// The time, as a `Date` says it.
    pub date: Option<&'a str>,
    /// For a 503: when to come again.
    pub retry_after_s: u32,
    pub aside: Aside<'a>,
}

/// What an answer says beside its status. It must be ours, for it is not escaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aside<'a> {
    #[default]
    Nothing,
    /// Where to go instead.
    Location(&'a str),
    /// What would let the request through.
    Challenge(&'a str),
}

/// Whether the page goes with the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    Page,
    /// To a HEAD: the same fields, and no page.
    HeadOnly,
    /// The sentence as it is, which is JSON: for the gateway's own requests.
    Json,
}

/// Writes an answer; returns its length, or 0 if it does not fit ([`ANSWER_BYTES_MAX`]).
pub fn write_answer(answer: &Answer<'_>, out: &mut [u8]) -> usize {
    let mut page = [0; ANSWER_BYTES_MAX];
    let body = match answer.body {
        AnswerBody::Page | AnswerBody::HeadOnly => write_page(answer, &mut page),
        AnswerBody::Json => write_sentence(answer, &mut page),
    };
    let written =
        body.and_then(|bytes| write_whole(answer, page.get(..bytes).unwrap_or_default(), out));
    written.unwrap_or(0)
}

fn write_whole(answer: &Answer<'_>, page: &[u8], out: &mut [u8]) -> Result<usize, HeadTooLong> {
    let mut out = Output::new(out);
    let (reason, _) = meaning(answer.status);
    out.put("HTTP/1.1 ")?;
    out.put_number(u64::from(answer.status))?;
    out.put(" ")?;
    out.put(reason)?;
    out.put("\r\nContent-Type: ")?;
    out.put(match answer.body {
        AnswerBody::Page | AnswerBody::HeadOnly => "text/html; charset=utf-8",
        AnswerBody::Json => "application/json",
    })?;
    out.put("\r\nContent-Length: ")?;
    out.put_number(page.len() as u64)?;
    out.put("\r\nCache-Control: no-store\r\n")?;
    if let Some(date) = answer.date {
        out.put("Date: ")?;
        out.put(date)?;
        out.put("\r\n")?;
    }
    match answer.status {
        405 => out.put("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n")?,
        503 => {
            out.put("Retry-After: ")?;
            out.put_number(u64::from(answer.retry_after_s))?;
            out.put("\r\n")?;
        }
        _ => {}
    }
    let (name, value) = match answer.aside {
        Aside::Nothing => ("", ""),
        Aside::Location(address) => ("Location: ", address),
        Aside::Challenge(challenge) => ("WWW-Authenticate: ", challenge),
    };
    if !name.is_empty() {
        out.put(name)?;
        out.put(value)?;
        out.put("\r\n")?;
    }
    if is_plain(answer.request_id) {
        out.put("X-Request-Id: ")?;
        out.put(answer.request_id)?;
        out.put("\r\n")?;
    }
    out.put(match answer.connection {
        BackConnection::Implied => "\r\n",
        BackConnection::KeepAlive => "Connection: keep-alive\r\n\r\n",
        BackConnection::Close => "Connection: close\r\n\r\n",
    })?;
    match answer.body {
        AnswerBody::Page | AnswerBody::Json => out.put(page)?,
        AnswerBody::HeadOnly => {}
    }
    Ok(out.len())
}

fn write_sentence(answer: &Answer<'_>, page: &mut [u8]) -> Result<usize, HeadTooLong> {
    let mut out = Output::new(page);
    out.put(answer.sentence)?;
    Ok(out.len())
}

fn write_page(answer: &Answer<'_>, page: &mut [u8]) -> Result<usize, HeadTooLong> {
    let mut out = Output::new(page);
    let (reason, sentence) = meaning(answer.status);
    out.put("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>")?;
    out.put_number(u64::from(answer.status))?;
    out.put(" ")?;
    out.put(reason)?;
    out.put("</title>\n<h1>")?;
    out.put(reason)?;
    out.put("</h1>\n<p>")?;
    if answer.sentence.is_empty() {
        out.put(sentence)?;
    } else {
        // A sentence of ours has no capital and no dot, for it may follow others in a log.
        let (first, rest) = answer.sentence.split_at_checked(1).unwrap_or(("", answer.sentence));
        out.put([first.bytes().next().unwrap_or(b' ').to_ascii_uppercase()])?;
        out.put(rest)?;
        out.put(".")?;
    }
    out.put("</p>\n")?;
    if is_plain(answer.request_id) {
        out.put("<p><small>Request ")?;
        out.put(answer.request_id)?;
        out.put("</small></p>\n")?;
    }
    Ok(out.len())
}

fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The reason phrase of a status, and a sentence for people.
const fn meaning(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("OK", "It works."),
        302 => ("Found", "The page is for those who are logged in."),
        400 => ("Bad Request", "The request cannot be understood."),
        401 => ("Unauthorized", "This is for those who are logged in."),
        403 => ("Forbidden", "Access is not allowed."),
        404 => ("Not Found", "There is nothing at this address."),
        405 => ("Method Not Allowed", "The method is not allowed here."),
        408 => ("Request Timeout", "The request took too long to arrive."),
        413 => ("Content Too Large", "The request is too large."),
        414 => ("URI Too Long", "The address is too long."),
        417 => ("Expectation Failed", "The expectation cannot be met."),
        421 => ("Misdirected Request", "This host is not served here."),
        431 => ("Request Header Fields Too Large", "The head of the request is too large."),
        500 => ("Internal Server Error", "Something went wrong here."),
        501 => ("Not Implemented", "The request needs something that is not supported."),
        502 => ("Bad Gateway", "The server gave no valid response."),
        503 => {
            ("Service Unavailable", "The service is not available at the moment. Please try again.")
        }
        504 => ("Gateway Timeout", "The server took too long to respond."),
        505 => ("HTTP Version Not Supported", "This version of HTTP is not supported."),
        508 => ("Loop Detected", "The request goes round in a loop."),
        _ => ("Error", "The request cannot be served."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldSpace;
    use crate::framing::{Body, HeadLimits, Parsed, Persistence};
    use crate::method::Method;
    use crate::response::parse_response;

    const STATUSES: [u16; 19] = [
        302, 400, 401, 403, 404, 405, 408, 413, 414, 417, 421, 431, 500, 501, 502, 503, 504, 505,
        508,
    ];

    fn answer(status: u16) -> Answer<'static> {
        Answer {
            status,
            sentence: "",
            request_id: "0123456789abcdef",
            connection: BackConnection::Close,
            body: AnswerBody::Page,
            date: Some("Thu, 01 Jan 1970 00:00:00 GMT"),
            retry_after_s: 5,
            aside: Aside::Nothing,
        }
    }

    fn written(answer: &Answer<'_>) -> String {
        let mut out = [0; ANSWER_BYTES_MAX];
        let bytes = write_answer(answer, &mut out);
        String::from_utf8(out[..bytes].to_vec()).unwrap()
    }

    #[track_caller]
    fn check(text: &str, status: u16) {
        let mut space = FieldSpace::new();
        let limits = HeadLimits { head_bytes: 1024, fields: 20, target_bytes: 0 };
        let parsed = parse_response(text.as_bytes(), &mut space, &limits, Method::Get);
        let Ok(Parsed::Complete(response)) = parsed else { panic!("{parsed:?} of {text}") };
        assert_eq!(response.status, status);
        assert_ne!(response.reason, "Error");
        assert_eq!(response.persistence, Persistence::Close);
        let content = (text.len() - response.head_bytes) as u64;
        assert_eq!(response.body, Body::Length(content), "{text}");
    }

    #[test]
    fn every_answer_is_a_response() {
        for status in STATUSES {
            check(&written(&answer(status)), status);
        }
        check(str::from_utf8(UNAVAILABLE).unwrap(), 503);
    }

    #[test]
    fn an_answer_says_what_it_must() {
        let text = written(&answer(503));
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        for line in [
            "Retry-After: 5",
            "Cache-Control: no-store",
            "X-Request-Id: 0123456789abcdef",
            "Connection: close",
            "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
        }
        assert!(written(&answer(405)).contains("\r\nAllow: GET, HEAD, "));
        assert!(!written(&answer(404)).contains("Retry-After"));
        let location = Aside::Location("/login?return=/");
        let text = written(&Answer { aside: location, ..answer(302) });
        assert!(text.contains("\r\nLocation: /login?return=/\r\n"), "{text}");
        let text = written(&Answer { aside: Aside::Challenge("Cookie"), ..answer(401) });
        assert!(text.contains("\r\nWWW-Authenticate: Cookie\r\n"), "{text}");
        let kept = Answer { connection: BackConnection::Implied, ..answer(404) };
        assert!(!written(&kept).contains("Connection"));
    }

    #[test]
    fn a_sentence_becomes_one() {
        let text = written(&Answer { sentence: "the path has a backslash", ..answer(400) });
        assert!(text.contains("<p>The path has a backslash.</p>"), "{text}");
    }

    #[test]
    fn the_answer_to_a_head_has_the_same_head() {
        let page = written(&answer(404));
        let head = written(&Answer { body: AnswerBody::HeadOnly, ..answer(404) });
        assert!(head.ends_with("\r\n\r\n") && page.starts_with(&head), "{head}");
    }

    #[test]
    fn the_gateway_tells_itself_how_it_is() {
        let json = Answer { sentence: "{\"pid\":7}", body: AnswerBody::Json, ..answer(200) };
        let text = written(&json);
        check(&text, 200);
        assert!(text.contains("\r\nContent-Type: application/json\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n{\"pid\":7}"), "{text}");
    }

    #[test]
    fn an_id_that_is_not_one_is_left_out() {
        let text = written(&Answer { request_id: "a<b\r\n", ..answer(404) });
        assert!(!text.contains("X-Request-Id") && !text.contains("a<b"), "{text}");
    }

    #[test]
    fn an_answer_that_does_not_fit_is_not_begun() {
        assert_eq!(write_answer(&answer(404), &mut [0; 300]), 0);
        assert_eq!(write_answer(&answer(404), &mut []), 0);
    }
}
