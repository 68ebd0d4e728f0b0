//! One cookie: found where it lies, and taken out of what goes on.
//!
//! # Invariants
//!
//! 1. Other cookies go on as they came, in their order.
//!
//! # Not here
//!
//! What its value means: `mainstay-model` reads a session's id.
//!
//! Source: RFC 6265, 4.1.1 and 4.2.

use crate::hop::Kind;
use crate::request::Request;
use crate::rewrite::{HeadTooLong, Output};
use crate::token::trim;

impl<'b> Request<'_, 'b> {
    /// The value of the first cookie of that name, without the quotes that it may have.
    #[inline]
    pub fn cookie(&self, name: &str) -> Option<&'b [u8]> {
        let fields = self.fields.iter().zip(self.kinds);
        let cookies = fields.filter(|&(_, &kind)| kind == Kind::Cookie);
        cookies.flat_map(|(field, _)| pairs(field.value)).find_map(|pair| value_of(pair, name))
    }
}

/// Whether a `Cookie` field has a cookie of that name.
pub(crate) fn has_cookie(field: &[u8], name: &str) -> bool {
    pairs(field).any(|pair| value_of(pair, name).is_some())
}

/// Writes a `Cookie` field without the cookies of that name; nothing if there are no others.
pub(crate) fn write_others(
    field: &[u8],
    name: &str,
    out: &mut Output<'_>,
) -> Result<(), HeadTooLong> {
    let mut between = "Cookie: ";
    for pair in pairs(field).filter(|pair| value_of(pair, name).is_none()) {
        if !pair.is_empty() {
            out.put(between)?;
            out.put(pair)?;
            between = "; ";
        }
    }
    if between == "; " { out.put("\r\n") } else { Ok(()) }
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&byte| byte == b';').map(trim)
}

/// The value of a pair, if it has that name. Names are compared as they are.
#[inline]
fn value_of<'b>(pair: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let rest = trim(pair.strip_prefix(name.as_bytes())?);
    let value = trim(rest.strip_prefix(b"=")?);
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FieldSpace;
    use crate::framing::{HeadLimits, Parsed};
    use crate::request::parse_request;

    const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 40, target_bytes: 1024 };

    #[track_caller]
    fn check(fields: &str, expected: Option<&str>) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut space = FieldSpace::new();
        let Ok(Parsed::Complete(request)) = parse_request(text.as_bytes(), &mut space, &LIMITS)
        else {
            panic!("{text}");
        };
        assert_eq!(request.cookie("sid"), expected.map(str::as_bytes), "{fields}");
    }

    #[test]
    fn a_cookie_is_found_wherever_it_is() {
        check("", None);
        check("Cookie: sid=1\r\n", Some("1"));
        check("cookie: a=b; sid=1; c=d\r\n", Some("1"));
        check("Cookie: a=b;sid=1;c=d\r\n", Some("1"));
        check("Cookie: a=b\r\nCookie: sid=2\r\n", Some("2"));
        check("Cookie: sid=1\r\nCookie: sid=2\r\n", Some("1"));
        check("Cookie: sid=1; sid=2\r\n", Some("1"));
        check("Cookie: sid=\"1\"\r\n", Some("1"));
        check("Cookie: sid = 1 \r\n", Some("1"));
        check("Cookie: sid=\r\n", Some(""));
        check("Cookie: sid=\"\r\n", Some("\""));
        check("Cookie: sid=a=b\r\n", Some("a=b"));
        // Another name, whatever it has in common.
        check("Cookie: SID=1; xsid=1; sid2=1; sid\r\n", None);
        check("Cookie: a=sid=1\r\n", None);
        check("X-Cookie: sid=1\r\n", None);
        // Whoever takes the field away takes the session away.
        check("Connection: cookie\r\nCookie: sid=1\r\n", None);
    }

    #[test]
    fn the_other_cookies_stay() {
        let cases = [
            ("sid=1", ""),
            ("a=b; sid=1", "Cookie: a=b\r\n"),
            ("sid=1;a=b ;c; sid=2;;d=\"sid=3\"", "Cookie: a=b; c; d=\"sid=3\"\r\n"),
        ];
        for (field, expected) in cases {
            assert!(has_cookie(field.as_bytes(), "sid"));
            let mut buffer = [0; 100];
            let mut out = Output::new(&mut buffer);
            write_others(field.as_bytes(), "sid", &mut out).unwrap();
            let length = out.len();
            assert_eq!(str::from_utf8(&buffer[..length]), Ok(expected), "{field}");
        }
        assert!(!has_cookie(b"a=b; sidd=1", "sid"));
    }
}
