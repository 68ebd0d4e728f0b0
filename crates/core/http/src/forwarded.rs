//! What a server is told about the client: `X-Forwarded-…`, `Forwarded` (RFC 7239), `Via`
//! (RFC 9110, 7.6.3) and the id of the request.
//!
//! By default what a client says under these names is taken away: a server believes them, and
//! only we know who is at the other end. Behind another proxy that does the same, they are
//! trusted and added to.
//!
//! # Invariants
//!
//! 1. `X-Forwarded-For` and `Forwarded` go upstream as one field each: many servers read one
//!    line only.
//! 2. `Via` is a list over several lines; ours is the last.

use crate::access::Identity;
use crate::framing::Version;
use crate::hop::Kind;
use crate::request::Request;
use crate::rewrite::{HeadTooLong, Output};

/// What is done with what a client says about who forwarded its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Taken away; what is said is ours alone.
    Replace,
    /// Trusted, and added to.
    Append,
}

/// What a request gets on its way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Onward<'a> {
    /// The client's address without the port, IPv6 without brackets; `unknown` if it has none.
    pub client: &'a str,
    /// That of the connection that the request came by: `http` or `https`.
    pub scheme: &'static str,
    /// What the server and our log know the request by. No bytes but visible ASCII.
    pub request_id: &'a str,
    pub forwarded: Forwarded,
    /// What `Host` says when an HTTP/1.0 request named none: the server's own address.
    pub server: &'a str,
    /// Where sessions are known; nothing where there are none.
    pub identity: Option<Identity<'a>>,
}

/// Writes the fields about the client, and the id.
#[inline]
pub(crate) fn write_forwarded(
    request: &Request<'_, '_>,
    onward: &Onward<'_>,
    out: &mut Output<'_>,
) -> Result<(), HeadTooLong> {
    match onward.forwarded {
        Forwarded::Replace => {
            out.put("X-Forwarded-For: ")?;
            out.put(onward.client)?;
            out.put("\r\nX-Forwarded-Proto: ")?;
            out.put(onward.scheme)?;
            if !request.authority.is_empty() {
                out.put("\r\nX-Forwarded-Host: ")?;
                out.put(request.authority)?;
            }
            out.put("\r\nForwarded: ")?;
        }
        Forwarded::Append => append(request, onward, out)?,
    }
    write_element(request, onward, out)?;
    out.put(match request.version {
        Version::Http10 => "\r\nVia: 1.0 mainstay\r\nX-Request-Id: ",
        Version::Http11 => "\r\nVia: 1.1 mainstay\r\nX-Request-Id: ",
    })?;
    out.put(onward.request_id)
}

/// Like the above, after what is there already. Ends where our element of `Forwarded` begins.
fn append(
    request: &Request<'_, '_>,
    onward: &Onward<'_>,
    out: &mut Output<'_>,
) -> Result<(), HeadTooLong> {
    out.put("X-Forwarded-For: ")?;
    join(request, Kind::ForwardedFor, out)?;
    out.put(onward.client)?;
    // The first proxy knows what the client used; the field is kept with the others.
    if !request.kinds.contains(&Kind::ForwardedProto) {
        out.put("\r\nX-Forwarded-Proto: ")?;
        out.put(onward.scheme)?;
    }
    if !request.kinds.contains(&Kind::ForwardedHost) && !request.authority.is_empty() {
        out.put("\r\nX-Forwarded-Host: ")?;
        out.put(request.authority)?;
    }
    out.put("\r\nForwarded: ")?;
    join(request, Kind::Forwarded, out)
}

/// The values of all fields of a kind, each with a comma after it.
fn join(request: &Request<'_, '_>, kind: Kind, out: &mut Output<'_>) -> Result<(), HeadTooLong> {
    for (field, _) in request.fields.iter().zip(request.kinds).filter(|&(_, &is)| is == kind) {
        if !field.value.is_empty() {
            out.put(field.value)?;
            out.put(", ")?;
        }
    }
    Ok(())
}

/// `for=192.0.2.1;host=example.com;proto=http`, quoted where it is not a token (RFC 7239, 4).
fn write_element(
    request: &Request<'_, '_>,
    onward: &Onward<'_>,
    out: &mut Output<'_>,
) -> Result<(), HeadTooLong> {
    if onward.client.contains(':') {
        out.put("for=\"[")?;
        out.put(onward.client)?;
        out.put("]\"")?;
    } else {
        out.put("for=")?;
        out.put(onward.client)?;
    }
    if !request.authority.is_empty() {
        if request.authority.contains(':') {
            out.put(";host=\"")?;
            out.put(request.authority)?;
            out.put("\";proto=")?;
        } else {
            out.put(";host=")?;
            out.put(request.authority)?;
            out.put(";proto=")?;
        }
    } else {
        out.put(";proto=")?;
    }
    out.put(onward.scheme)
}
