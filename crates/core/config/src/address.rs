//! Where a listener listens and where a server is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::hostname::{HostnameError, read_name};

/// Longest path of a Unix socket: `sun_path` less the final zero (`unix(7)`).
pub(crate) const UNIX_PATH_BYTES_MAX: usize = 107;

/// What a Unix socket's address begins with.
const UNIX_PREFIX: &str = "unix:";

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// Absolute, at most 107 bytes.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerAddress {
    Ip(SocketAddr),
    /// To be resolved.
    Name {
        /// In lower case.
        host: String,
        port: u16,
    },
    /// Absolute, at most 107 bytes.
    Unix(PathBuf),
}

/// What is wrong with an address; the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("must be \"IP:PORT\", \"[IPv6]:PORT\" or \"unix:/PATH\"")]
    Listener,
    #[error("must be \"HOST:PORT\", \"IP:PORT\", \"[IPv6]:PORT\" or \"unix:/PATH\"")]
    Server,
    #[error("must not be a URL: write \"HOST:PORT\"")]
    Url,
    #[error("needs a port from 1 to 65535")]
    Port,
    #[error("must have an absolute path after \"unix:\"")]
    RelativePath,
    #[error("has a path longer than the {UNIX_PATH_BYTES_MAX} bytes that a Unix socket may have")]
    LongPath,
    #[error("has a zero byte in its path")]
    ZeroByte,
    #[error("has no valid host")]
    Host { source: HostnameError },
}

/// The address of a listener. Port 0 lets the kernel choose.
pub(crate) fn read_listener(text: &str) -> Result<Address, AddressError> {
    match text.strip_prefix(UNIX_PREFIX) {
        Some(path) => unix_path(path).map(Address::Unix),
        None => text.parse().map(Address::Tcp).or(Err(AddressError::Listener)),
    }
}

/// The address of a server.
pub(crate) fn read_server(text: &str) -> Result<ServerAddress, AddressError> {
    if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
        return unix_path(path).map(ServerAddress::Unix);
    }
    if text.contains("://") {
        return Err(AddressError::Url);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err(AddressError::Port)
        } else {
            Ok(ServerAddress::Ip(address))
        };
    }
    // More than one colon is an IPv6 address gone wrong, not a name.
    if text.contains('[') || text.matches(':').count() > 1 {
        return Err(AddressError::Server);
    }
    let (host, port) = text.split_once(':').ok_or(AddressError::Port)?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|&port| digits && port != 0).ok_or(AddressError::Port)?;
    let host = read_name(host).map_err(|source| AddressError::Host { source })?;
    Ok(ServerAddress::Name { host, port })
}

/// Whether two listeners cannot both be bound.
pub(crate) fn collide(one: &Address, two: &Address) -> bool {
    match (one, two) {
        (Address::Unix(one), Address::Unix(two)) => one == two,
        // The kernel gives each listener of port 0 a port of its own.
        (Address::Tcp(one), Address::Tcp(two)) => {
            one.port() != 0
                && one.port() == two.port()
                && (one.ip() == two.ip()
                    || covers(one.ip(), two.ip())
                    || covers(two.ip(), one.ip()))
        }
        (Address::Tcp(_), Address::Unix(_)) | (Address::Unix(_), Address::Tcp(_)) => false,
    }
}

/// Whether who listens on `all` gets the connections to `one` too. `::` is IPv4 as well, as
/// long as nobody changed `net.ipv6.bindv6only`.
const fn covers(all: IpAddr, one: IpAddr) -> bool {
    match all {
        IpAddr::V4(all) => all.is_unspecified() && one.is_ipv4(),
        IpAddr::V6(all) => all.is_unspecified(),
    }
}

fn unix_path(text: &str) -> Result<PathBuf, AddressError> {
    if !Path::new(text).is_absolute() {
        Err(AddressError::RelativePath)
    } else if text.len() > UNIX_PATH_BYTES_MAX {
        Err(AddressError::LongPath)
    } else if text.contains('\0') {
        Err(AddressError::ZeroByte)
    } else {
        Ok(PathBuf::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners() {
        use AddressError as E;
        let long = format!("unix:/{}", "a".repeat(107));
        let cases = [
            ("127.0.0.1:8080", Ok(())),
            ("0.0.0.0:0", Ok(())),
            ("[::]:8080", Ok(())),
            ("[fe80::1%2]:80", Ok(())),
            ("unix:/run/web.sock", Ok(())),
            (":8080", Err(E::Listener)),
            ("8080", Err(E::Listener)),
            ("localhost:8080", Err(E::Listener)),
            ("127.0.0.1", Err(E::Listener)),
            ("127.0.0.1:65536", Err(E::Listener)),
            ("::1:8080", Err(E::Listener)),
            ("", Err(E::Listener)),
            ("unix:web.sock", Err(E::RelativePath)),
            ("unix:", Err(E::RelativePath)),
            ("unix:/a\0b", Err(E::ZeroByte)),
            (&long, Err(E::LongPath)),
        ];
        for (text, expected) in cases {
            let address = read_listener(text);
            if let Ok(address) = &address {
                assert_eq!(address.to_string(), text);
            }
            assert_eq!(address.map(drop), expected, "{text:?}");
        }
    }

    #[test]
    fn servers() {
        use AddressError as E;
        let name = |host: &str, port| Ok(ServerAddress::Name { host: host.to_owned(), port });
        let cases = [
            ("10.0.0.11:8080", Ok(ServerAddress::Ip(([10, 0, 0, 11], 8080).into()))),
            ("App.internal:80", name("app.internal", 80)),
            ("localhost:1", name("localhost", 1)),
            ("unix:/run/app.sock", Ok(ServerAddress::Unix(PathBuf::from("/run/app.sock")))),
            ("http://10.0.0.1:80", Err(E::Url)),
            ("10.0.0.1:0", Err(E::Port)),
            ("app", Err(E::Port)),
            ("app:", Err(E::Port)),
            ("app:0", Err(E::Port)),
            ("app:+80", Err(E::Port)),
            ("app:http", Err(E::Port)),
            ("app:65536", Err(E::Port)),
            ("::1:80", Err(E::Server)),
            ("[::1]", Err(E::Server)),
            (":80", Err(E::Host { source: HostnameError::Empty })),
            ("10.0.0.300:80", Err(E::Host { source: HostnameError::NotAnAddress })),
            ("*.internal:80", Err(E::Host { source: HostnameError::Character })),
        ];
        for (text, expected) in cases {
            assert_eq!(read_server(text), expected, "{text:?}");
        }
    }

    #[test]
    fn which_listeners_collide() {
        let cases = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "127.0.0.1:80", false),
        ];
        for (one, two, expected) in cases {
            let [one, two] = [one, two].map(|text| read_listener(text).unwrap());
            assert_eq!(collide(&one, &two), expected, "{one:?} {two:?}");
            assert_eq!(collide(&two, &one), expected, "{two:?} {one:?}");
        }
    }
}
