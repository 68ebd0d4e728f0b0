//! Listening sockets and what they accept.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, acceptfrom_with,
    getpeername, getsockname, ipproto, listen, socket_with, sockopt,
};

use crate::channel::close_listener;
use crate::file::remove_if_there;

/// An address that can be listened on or connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Endpoint {
    /// Whether a connection whose own end is `local` came in at this listening address.
    pub fn covers(&self, local: &Self) -> bool {
        match (self, local) {
            (Self::Tcp(listener), Self::Tcp(local)) => {
                listener.port() == local.port()
                    && (listener.ip().is_unspecified()
                        || listener.ip().to_canonical() == local.ip().to_canonical())
            }
            (Self::Unix(listener), Self::Unix(local)) => listener == local,
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }
}

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}")]
pub struct BindError {
    pub endpoint: Endpoint,
    pub source: io::Error,
}

/// Listens on `endpoint`, with room for `backlog` connections that nobody accepted yet.
///
/// What it accepts sends small segments at once (`TCP_NODELAY` is inherited).
pub fn bind(endpoint: &Endpoint, backlog: u32) -> Result<OwnedFd, BindError> {
    let attempt = || -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match endpoint {
            Endpoint::Tcp(address) => {
                let family =
                    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
                sockopt::set_socket_reuseaddr(&socket, true)?;
                sockopt::set_tcp_nodelay(&socket, true)?;
                rustix::net::bind(&socket, address)?;
                socket
            }
            Endpoint::Unix(path) => {
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                remove_if_there(path)?;
                rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
                socket
            }
        };
        listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(socket)
    };
    attempt().map_err(|source| BindError { endpoint: endpoint.clone(), source })
}

/// The same beside what is there: a file at the path of a Unix socket is left alone, unless it is
/// a socket on which nobody listens any more.
pub fn bind_beside(endpoint: &Endpoint, backlog: u32) -> Result<OwnedFd, BindError> {
    if let Endpoint::Unix(path) = endpoint {
        let is_free = is_free(path).and_then(|is_free| match is_free {
            true => Ok(()),
            false => Err(io::ErrorKind::AddrInUse.into()),
        });
        is_free.map_err(|source| BindError { endpoint: endpoint.clone(), source })?;
    }
    bind(endpoint, backlog)
}

fn is_free(path: &Path) -> io::Result<bool> {
    let status = match std::fs::symlink_metadata(path) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    if !status.file_type().is_socket() {
        return Ok(false);
    }
    match connect(&Endpoint::Unix(path.to_owned())) {
        // One whose queue is full listens too.
        Ok(_) => Ok(false),
        Err(error) => Ok(error.kind() == io::ErrorKind::ConnectionRefused),
    }
}

/// Has a listening socket hold another number of connections from here on.
pub fn set_backlog(listener: impl AsFd, backlog: u32) -> io::Result<()> {
    Ok(listen(listener, i32::try_from(backlog).unwrap_or(i32::MAX))?)
}

/// Ends a listening socket in every process that holds a copy, after `take` was given what had
/// come by then. Nobody can come to a Unix socket any more before its queue is emptied. TCP has
/// no such step: a handshake that completes between the last look at the queue and the end, which
/// are two system calls, is reset.
///
/// # Errors
///
/// If connections that wait cannot be accepted. Then it has not ended, unless it is a Unix
/// socket, to which nobody comes any more.
pub fn end_listener(
    listener: impl AsFd,
    mut take: impl FnMut(OwnedFd, Option<SocketAddr>),
) -> io::Result<()> {
    let is_unix = sockopt::socket_domain(&listener)? == AddressFamily::UNIX;
    if is_unix {
        close_listener(&listener)?;
    }
    while let Some((socket, peer)) = accept(&listener)? {
        take(socket, peer);
    }
    if is_unix { Ok(()) } else { close_listener(&listener) }
}

/// The next connection of a listening socket, if there is one, and its client's address if it
/// has one. A connection that its client gave up in the meantime is passed over.
pub fn accept(listener: impl AsFd) -> io::Result<Option<(OwnedFd, Option<SocketAddr>)>> {
    loop {
        match acceptfrom_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((socket, address)) => {
                let peer = address.and_then(|address| SocketAddr::try_from(address).ok());
                return Ok(Some((socket, peer.map(plain))));
            }
            // It was closed by another holder of it (`close_listener`): nobody comes any more.
            Err(Errno::AGAIN | Errno::INVAL) => return Ok(None),
            Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether a connection is there already.
#[derive(Debug)]
pub enum Connecting {
    Done(OwnedFd),
    /// It is being established: it is, or has failed, when it can be written to.
    Begun(OwnedFd),
}

/// Begins a connection to `endpoint`.
pub fn connect(endpoint: &Endpoint) -> io::Result<Connecting> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, begun) = match endpoint {
        Endpoint::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
            sockopt::set_tcp_nodelay(&socket, true)?;
            let begun = rustix::net::connect(&socket, address);
            (socket, begun)
        }
        Endpoint::Unix(path) => {
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            let begun = rustix::net::connect(&socket, &SocketAddrUnix::new(path)?);
            (socket, begun)
        }
    };
    match begun {
        Ok(()) => Ok(Connecting::Done(socket)),
        Err(Errno::INPROGRESS) => Ok(Connecting::Begun(socket)),
        Err(errno) => Err(errno.into()),
    }
}

/// How a connection that had begun turned out.
pub fn connected(socket: impl AsFd) -> io::Result<()> {
    sockopt::socket_error(socket)?.map_err(io::Error::from)
}

/// Tells the peer that nothing more will be sent. A peer that is gone need not be told.
pub fn end_writing(socket: impl AsFd) -> io::Result<()> {
    match rustix::net::shutdown(socket, rustix::net::Shutdown::Write) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends a connection whoever else holds a copy of it: the peer is told, and every copy reads the
/// end. A connection that is gone need not be ended.
pub fn end(socket: impl AsFd) -> io::Result<()> {
    match rustix::net::shutdown(socket, rustix::net::Shutdown::Both) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Breaks a connection off, whoever else holds a copy of it: the peer is told that what it has
/// is not whole. One that cannot be told so is closed as any other.
pub fn reset(socket: impl AsFd) -> io::Result<()> {
    match rustix::net::connect_unspec(socket) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The address that `socket` is bound to; `None` for a Unix socket without a name.
pub fn local_endpoint(socket: impl AsFd) -> io::Result<Option<Endpoint>> {
    endpoint(getsockname(socket)?)
}

/// The peer's address and port; `None` for a Unix socket.
pub fn peer_address(socket: impl AsFd) -> io::Result<Option<SocketAddr>> {
    match endpoint(getpeername(socket)?.unwrap_or_else(|| SocketAddrUnix::new_unnamed().into()))? {
        Some(Endpoint::Tcp(address)) => Ok(Some(plain(address))),
        Some(Endpoint::Unix(_)) | None => Ok(None),
    }
}

fn endpoint(address: SocketAddrAny) -> io::Result<Option<Endpoint>> {
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(Some(Endpoint::Tcp(address)));
    }
    let unix = SocketAddrUnix::try_from(address)?;
    let path = unix.path().map(|path| {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()))
    });
    Ok(path.map(Endpoint::Unix))
}

/// An IPv4 client of an IPv6 socket, as the IPv4 client that it is.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(IpAddr::V4(ip), address.port()),
            None => address,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_socket_knows_its_listener_and_its_peer() {
        let endpoint = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
        let listener = bind(&endpoint, 8).unwrap();
        let Some(Endpoint::Tcp(address)) = local_endpoint(&listener).unwrap() else { panic!() };
        assert!(accept(&listener).unwrap().is_none());
        let client = std::net::TcpStream::connect(address).unwrap();
        let (socket, peer) = accept(&listener).unwrap().unwrap();
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        assert_eq!(local_endpoint(&socket).unwrap(), Some(Endpoint::Tcp(address)));
        assert_eq!(peer_address(&socket).unwrap(), Some(client.local_addr().unwrap()));
    }

    #[test]
    fn a_connection_that_ended_has_ended_for_every_copy_of_it() {
        use std::io::Read as _;

        let listener = bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()), 8).unwrap();
        let Some(Endpoint::Tcp(address)) = local_endpoint(&listener).unwrap() else { panic!() };
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let (socket, _) = accept(&listener).unwrap().unwrap();
        let copy = socket.try_clone().unwrap();
        end(&socket).unwrap();
        drop(socket);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the peer is told");
        assert_eq!(rustix::io::read(&copy, &mut [0; 8]).unwrap(), 0, "the copy is of no use");
    }

    #[test]
    fn a_connection_is_known_by_the_listener_it_came_in_at() {
        let tcp = |text: &str| Endpoint::Tcp(text.parse().unwrap());
        assert!(tcp("0.0.0.0:80").covers(&tcp("192.0.2.1:80")));
        assert!(tcp("[::]:80").covers(&tcp("192.0.2.1:80")));
        assert!(tcp("127.0.0.1:80").covers(&tcp("[::ffff:127.0.0.1]:80")));
        assert!(!tcp("127.0.0.1:80").covers(&tcp("127.0.0.1:81")));
        assert!(!tcp("127.0.0.1:80").covers(&tcp("127.0.0.2:80")));
        assert!(!tcp("127.0.0.1:80").covers(&Endpoint::Unix("/run/a".into())));
    }

    #[test]
    fn what_waits_when_a_listener_ends_is_taken_and_who_comes_later_is_refused() {
        use std::io::Write as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let tcp = bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()), 8).unwrap();
        let unix = bind(&Endpoint::Unix(path.clone()), 8).unwrap();
        let Some(Endpoint::Tcp(address)) = local_endpoint(&tcp).unwrap() else { panic!() };
        let mut by_tcp = std::net::TcpStream::connect(address).unwrap();
        let mut by_path = std::os::unix::net::UnixStream::connect(&path).unwrap();
        by_tcp.write_all(b"x").unwrap();
        by_path.write_all(b"x").unwrap();
        for listener in [&tcp, &unix] {
            let copy = listener.try_clone().unwrap();
            let mut taken = Vec::new();
            end_listener(listener, |socket, _| taken.push(socket)).unwrap();
            assert_eq!(taken.len(), 1);
            assert_eq!(rustix::io::read(&taken[0], &mut [0; 8]).unwrap(), 1);
            assert!(accept(&copy).unwrap().is_none(), "for every copy of it");
        }
        assert!(std::net::TcpStream::connect(address).is_err());
        assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
    }

    #[test]
    fn a_path_that_somebody_uses_is_not_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = |name: &str| Endpoint::Unix(dir.path().join(name));
        let first = bind_beside(&endpoint("s"), 8).unwrap();
        let error = bind_beside(&endpoint("s"), 8).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind_beside(&endpoint("s"), 8).unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        bind_beside(&endpoint("file"), 8).unwrap_err();
        assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "text");
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()), 8).unwrap();
        let taken = local_endpoint(&first).unwrap().unwrap();
        let error = bind(&taken, 8).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {taken}"));
    }
}
