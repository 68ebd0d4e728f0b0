//! What the ledger says of one connection.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use mainstay_adopt::{Span, Streams};
use mainstay_http::Exchange;
use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// One connection, as plain data. All zeroes, but for its exchange, is a free slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Record {
    /// The client socket's cookie; 0 in a free slot.
    pub id: u64,
    /// The upstream socket's cookie; 0 without one.
    pub upstream_id: u64,
    /// The number of the pipe that bytes of the response are in; 0 without one.
    pub pipe_id: u64,
    pub client_fd: i32,
    /// -1 without one.
    pub upstream_fd: i32,
    pub streams: Streams,
    pub exchange: Exchange,
    /// When the exchange began, in microseconds on the monotonic clock.
    pub begun: u64,
    /// When its response began; 0 before.
    pub answered: u64,
    /// Names the exchange, here and upstream.
    pub request_id: [u64; 2],
    /// The key of the session that the exchange belongs to; all zeroes without one.
    pub session: [u8; SESSION_BYTES],
    /// Bytes of this exchange that came from the client and went to it.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub peer: Peer,
    /// The request's head as it goes upstream. Kept until the exchange ends, for a second
    /// try and for the log.
    pub head: Span,
    /// Index of the route, or of the TCP service.
    pub route: u32,
    /// Index of the listener.
    pub listener: u16,
    /// Index of the server within its upstream.
    pub server: u16,
    /// How often this exchange was given to a server.
    pub tries: u8,
    /// The upstream connection is not established yet.
    pub connecting: u8,
    /// The upstream connection had carried an exchange before this one.
    pub reused: u8,
    /// While nothing of the body has left, another server can be given the whole request.
    pub body_sent: BodySent,
    /// How often another worker took this connection over.
    pub adoptions: u32,
    /// Exchanges that this connection carried before this one.
    pub exchanges: u32,
    /// The reading end of the pipe; -1 without one.
    pub pipe_fd: i32,
}

/// Bytes of a session's key.
pub const SESSION_BYTES: usize = 32;
/// No session.
pub const NO_SESSION: [u8; SESSION_BYTES] = [0; SESSION_BYTES];

/// Whether any of a request's body has left for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(u8)]
pub enum BodySent {
    Nothing,
    Something,
}

impl Record {
    /// A slot without a connection.
    pub const FREE: Self = Self {
        id: 0,
        upstream_id: 0,
        pipe_id: 0,
        client_fd: -1,
        upstream_fd: -1,
        streams: Streams::EMPTY,
        exchange: Exchange::WAITING,
        begun: 0,
        answered: 0,
        request_id: [0; 2],
        session: NO_SESSION,
        bytes_in: 0,
        bytes_out: 0,
        peer: Peer::NONE,
        head: Span::EMPTY,
        route: 0,
        listener: 0,
        server: 0,
        tries: 0,
        connecting: 0,
        reused: 0,
        body_sent: BodySent::Nothing,
        adoptions: 0,
        exchanges: 0,
        pipe_fd: -1,
    };
}

/// A client's address, as plain data; all zeroes for a client on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Peer {
    ip: [u8; 16],
    port: u16,
    known: u16,
}

impl Peer {
    /// No address.
    pub const NONE: Self = Self { ip: [0; 16], port: 0, known: 0 };

    /// The address itself.
    pub fn address(&self) -> Option<SocketAddr> {
        (self.known != 0).then(|| {
            let ip = Ipv6Addr::from(self.ip);
            let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
            SocketAddr::new(ip, self.port)
        })
    }
}

impl From<Option<SocketAddr>> for Peer {
    fn from(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::NONE, |address| {
            let ip = match address.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            Self { ip: ip.octets(), port: address.port(), known: 1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_ledger() {
        for text in ["192.0.2.7:4711", "[2001:db8::1]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer::from(Some(address)).address(), Some(address));
        }
        assert_eq!(Peer::from(None).address(), None);
    }
}
