//! The way to a server by TCP or UDP: its addresses, and a connection to the first that answers.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use mainstay_config::alerts::ServerAddress;

use crate::failure::DeliveryError;

/// As it stands in an error.
pub(crate) fn show(server: &ServerAddress) -> String {
    match server {
        ServerAddress::Ip(address) => address.to_string(),
        ServerAddress::Name { host, port } => format!("{host}:{port}"),
        ServerAddress::Unix(path) => path.display().to_string(),
    }
}

/// Every address of a server; at least one. A name is looked up each time: servers move.
pub(crate) fn addresses(server: &ServerAddress) -> Result<Vec<SocketAddr>, DeliveryError> {
    let found = match server {
        ServerAddress::Ip(address) => Ok(vec![*address]),
        ServerAddress::Name { host, port } => {
            (host.as_str(), *port).to_socket_addrs().map(Iterator::collect)
        }
        ServerAddress::Unix(_) => Ok(Vec::new()),
    };
    let found = found.and_then(|found: Vec<SocketAddr>| {
        if found.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(found) }
    });
    found.map_err(|source| DeliveryError::Resolve { server: show(server), source })
}

/// A connection whose every wait has this limit.
pub(crate) fn connect(server: &ServerAddress, limit: Duration) -> Result<TcpStream, DeliveryError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses(server)? {
        let attempt = || {
            let stream = TcpStream::connect_timeout(&address, limit)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match attempt() {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(DeliveryError::Connect { server: show(server), source: last })
}
