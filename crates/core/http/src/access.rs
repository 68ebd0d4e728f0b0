//! What is done with a request that may not go on without a session, and what a server is told
//! of one that may.
//!
//! # Invariants
//!
//! 1. What a server hears of an identity comes from us: a client's field of that name goes no
//!    further, nor one that differs in `_` for `-` alone, nor the session's cookie.
//! 2. Where a login may send its visitor back to is a path of the host that was asked for, or
//!    that whole address; never one that a browser would take for another host's.
//!
//! Source: RFC 9110, 10.2.2, 11.6.1 and 15.4.3; Fetch Metadata Request Headers, 2.3.

use crate::cookie::{has_cookie, write_others};
use crate::field::{FIELDS_MAX, Field};
use crate::hop::Kind;
use crate::method::Method;
use crate::request::Request;
use crate::rewrite::{HeadTooLong, Output};
use crate::token::{is_text, trim};

/// Longest address to come back to, as it stands in the query.
const RETURN_BYTES_MAX: usize = 2048;

/// What a server is told of whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The session's cookie, which is taken out.
    pub cookie: &'a str,
    /// The header that says it; taken out if the client sent one.
    pub subject_header: &'a str,
    /// What it says; nothing for a request that needs no session.
    pub subject: Option<&'a str>,
}

/// Where the address to come back to is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAddress<'a> {
    /// At a path of this host.
    Path(&'a str),
    /// At another site.
    Url(&'a str),
}

impl Request<'_, '_> {
    /// Whether a browser goes to this address, so that a page shown instead is seen.
    pub fn is_navigation(&self) -> bool {
        if !matches!(self.method, Method::Get | Method::Head) {
            return false;
        }
        let value = |name: &str| {
            let mut fields = self.fields.iter();
            fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
        };
        if let Some(mode) = value("sec-fetch-mode") {
            return mode == b"navigate";
        }
        value("accept").is_some_and(accepts_html)
            && value("x-requested-with").is_none()
            && value("upgrade").is_none()
    }

    /// The address of the login, with the one to come back to.
    pub fn location(&self, login: LoginAddress<'_>, scheme: &str) -> String {
        let (login, origin) = match login {
            LoginAddress::Path(path) => (path, String::new()),
            LoginAddress::Url(url) => (url, format!("{scheme}://{}", self.authority)),
        };
        let slash = if self.target.starts_with('?') { "/" } else { "" };
        let back = format!("{origin}{slash}{}", self.target);
        // A browser takes `//host` for another host.
        let elsewhere = back.starts_with("//") || back.starts_with("/\\");
        let encoded = encode(&back);
        if elsewhere || self.authority.is_empty() || encoded.len() > RETURN_BYTES_MAX {
            return login.to_owned();
        }
        let between = if login.contains('?') { '&' } else { '?' };
        format!("{login}{between}return={encoded}")
    }
}

fn accepts_html(accept: &[u8]) -> bool {
    let mut types = accept.split(|&byte| byte == b',');
    types.any(|one| {
        let name = one.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

/// For a query: all but what needs no encoding anywhere in one.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for half in [byte >> 4, byte & 0xf] {
                let digit = char::from_digit(half.into(), 16).unwrap_or('0');
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// The kinds of a request's fields, without those that only we may say. Cookies among which is
/// the session's are without it, too: [`write_identity`] writes the others.
pub(crate) fn strike_identity(
    identity: &Identity<'_>,
    fields: &[Field<'_>],
    kinds: &[Kind],
) -> [Kind; FIELDS_MAX] {
    let mut struck = [Kind::EndToEnd; FIELDS_MAX];
    for ((kind, field), to) in kinds.iter().zip(fields).zip(&mut struck) {
        let goes = match kind {
            Kind::Cookie => has_cookie(field.value, identity.cookie),
            Kind::EndToEnd | Kind::ForwardedOther => is_same(field.name, identity.subject_header),
            Kind::HopByHop
            | Kind::Host
            | Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::Connection
            | Kind::Upgrade
            | Kind::Expect
            | Kind::Date
            | Kind::Via
            | Kind::Forwarded
            | Kind::ForwardedFor
            | Kind::ForwardedHost
            | Kind::ForwardedProto
            | Kind::RequestId => false,
        };
        *to = if goes { Kind::HopByHop } else { *kind };
    }
    struck
}

/// Whether they differ in case, and in `_` for `-`, at the most: many servers make one variable
/// of both.
fn is_same(name: &str, ours: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == ours.len() && name.bytes().map(plain).eq(ours.bytes().map(plain))
}

/// Whether a header says it as it is: nothing ends the line, and no end of it gets lost.
fn is_value(subject: &str) -> bool {
    let bytes = subject.as_bytes();
    !bytes.is_empty() && trim(bytes) == bytes && bytes.iter().all(|&byte| is_text(byte))
}

/// Writes the other cookies, and whose request it is.
pub(crate) fn write_identity(
    identity: &Identity<'_>,
    request: &Request<'_, '_>,
    out: &mut Output<'_>,
) -> Result<(), HeadTooLong> {
    for (field, kind) in request.fields.iter().zip(request.kinds) {
        if *kind == Kind::Cookie && has_cookie(field.value, identity.cookie) {
            write_others(field.value, identity.cookie, out)?;
        }
    }
    match identity.subject {
        Some(subject) if is_value(subject) => {
            out.put(identity.subject_header)?;
            out.put(": ")?;
            out.put(subject)?;
            out.put("\r\n")
        }
        // Nobody rather than somebody else.
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldSpace;
    use crate::framing::{HeadLimits, Parsed};
    use crate::request::parse_request;

    const LIMITS: HeadLimits = HeadLimits { head_bytes: 8192, fields: 40, target_bytes: 4096 };

    #[track_caller]
    fn with<T>(head: &str, look: impl FnOnce(&Request<'_, '_>) -> T) -> T {
        let text = format!("{head}\r\nHost: a.example\r\n\r\n").replace('|', "\r\n");
        let mut space = FieldSpace::new();
        match parse_request(text.as_bytes(), &mut space, &LIMITS) {
            Ok(Parsed::Complete(request)) => look(&request),
            other => panic!("{other:?} of {text}"),
        }
    }

    #[test]
    fn a_browser_that_goes_somewhere_is_told_apart() {
        let navigations = [
            "GET / HTTP/1.1|Sec-Fetch-Mode: navigate",
            "HEAD / HTTP/1.1|Sec-Fetch-Mode: navigate|Accept: */*",
            "GET / HTTP/1.1|Accept: text/html,application/xhtml+xml;q=0.9",
            "GET / HTTP/1.0|Accept: application/xml, TEXT/HTML;level=1",
        ];
        for head in navigations {
            assert!(with(head, |request| request.is_navigation()), "{head}");
        }
        let others = [
            "GET / HTTP/1.1",
            "GET / HTTP/1.1|Accept: */*",
            "GET / HTTP/1.1|Accept: text/htmlx",
            "POST / HTTP/1.1|Sec-Fetch-Mode: navigate",
            "GET / HTTP/1.1|Sec-Fetch-Mode: cors|Accept: text/html",
            "GET / HTTP/1.1|Sec-Fetch-Mode: websocket|Accept: text/html",
            "GET / HTTP/1.1|Accept: text/html|X-Requested-With: XMLHttpRequest",
            "GET / HTTP/1.1|Accept: text/html|Connection: upgrade|Upgrade: websocket",
        ];
        for head in others {
            assert!(!with(head, |request| request.is_navigation()), "{head}");
        }
    }

    #[test]
    fn the_way_back_is_in_the_query() {
        let path = LoginAddress::Path("/login");
        let url = LoginAddress::Url("https://login.example/?client=1");
        let cases = [
            (path, "GET /a/b?x=1&y=%20 HTTP/1.1", "/login?return=/a/b%3Fx%3D1%26y%3D%2520"),
            (
                url,
                "GET /a?x=1 HTTP/1.1",
                "https://login.example/?client=1&return=https%3A//a.example/a%3Fx%3D1",
            ),
            (path, "GET http://a.example?x HTTP/1.1", "/login?return=/%3Fx"),
            // A browser would go to another host.
            (path, "GET //evil.example/ HTTP/1.1", "/login"),
        ];
        for (login, head, expected) in cases {
            assert_eq!(with(head, |request| request.location(login, "https")), expected);
        }
        let long = format!("GET /{} HTTP/1.1", "?".repeat(1000));
        assert_eq!(with(&long, |request| request.location(path, "http")), "/login");
    }
}
