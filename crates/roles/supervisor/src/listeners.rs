//! The listening sockets: bound once, held for as long as the gateway lives.
//!
//! Every other process gets copies. A new supervisor takes them back from the processes that
//! an earlier one left, so that the queue of connections nobody accepted yet is not lost.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use mainstay_config::listeners::{Address, Listener};
use mainstay_os::{BindError, Endpoint, bind, local_endpoint, remove_if_there};
use rustix::net::sockopt::socket_acceptconn;
use tracing::{info, warn};

/// One place for each configured listener, in the order of the configuration.
#[derive(Debug)]
pub(crate) struct Listeners {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    listener: Listener,
    socket: Option<OwnedFd>,
}

impl Listeners {
    /// None bound yet.
    pub(crate) fn new(listeners: &[Listener]) -> Self {
        let place = |listener: &Listener| Place { listener: listener.clone(), socket: None };
        Self { places: listeners.iter().map(place).collect() }
    }

    /// Whether every one has its socket.
    pub(crate) fn is_complete(&self) -> bool {
        self.places.iter().all(|place| place.socket.is_some())
    }

    /// Takes a socket that an orphan held under this name, if it is what is configured now
    /// and still missing; else closes it.
    pub(crate) fn offer(&mut self, name: &str, socket: OwnedFd) {
        let Some(place) = self.places.iter_mut().find(|place| place.listener.name == name) else {
            info!(listener = name, "listener is not configured any more");
            return;
        };
        if place.socket.is_some() {
            return;
        }
        match is_as_configured(&socket, &place.listener.address) {
            Ok(true) => {
                info!(listener = name, address = %endpoint(&place.listener), "listener taken over");
                place.socket = Some(socket);
            }
            Ok(false) => info!(listener = name, "listener has another address now"),
            Err(error) => warn!(listener = name, %error, "cannot examine a listener"),
        }
    }

    /// Binds those that are still missing.
    pub(crate) fn bind_missing(&mut self) -> Result<(), BindError> {
        for place in self.places.iter_mut().filter(|place| place.socket.is_none()) {
            let socket = bind(&endpoint(&place.listener), place.listener.backlog)?;
            let address = local_endpoint(&socket).ok().flatten();
            let address = address.unwrap_or_else(|| endpoint(&place.listener));
            info!(listener = place.listener.name, %address, "listening");
            place.socket = Some(socket);
        }
        Ok(())
    }

    /// The names of those that are bound, and their sockets, in order.
    pub(crate) fn all(&self) -> (Vec<String>, Vec<BorrowedFd<'_>>) {
        self.places
            .iter()
            .filter_map(|place| Some((place.listener.name.clone(), place.socket.as_ref()?.as_fd())))
            .unzip()
    }

    /// Removes the names of Unix sockets.
    pub(crate) fn remove_names(&self) {
        for place in &self.places {
            let Address::Unix(path) = &place.listener.address else { continue };
            if let Err(error) = remove_if_there(path) {
                warn!(listener = place.listener.name, %error, "cannot remove a socket");
            }
        }
    }
}

fn endpoint(listener: &Listener) -> Endpoint {
    match &listener.address {
        Address::Tcp(address) => Endpoint::Tcp(*address),
        Address::Unix(path) => Endpoint::Unix(path.clone()),
    }
}

/// Whether clients of `address` reach this socket.
fn is_as_configured(socket: &OwnedFd, address: &Address) -> io::Result<bool> {
    if !socket_acceptconn(socket)? {
        return Ok(false);
    }
    Ok(match (local_endpoint(socket)?, address) {
        // Port 0 is whatever port the kernel chose.
        (Some(Endpoint::Tcp(bound)), Address::Tcp(wanted)) => {
            bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())
        }
        (Some(Endpoint::Unix(bound)), Address::Unix(wanted)) => &bound == wanted && bound.exists(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(address: &str) -> Vec<Listener> {
        let text = format!("[[listener]]\nname = \"web\"\naddress = \"{address}\"\n");
        mainstay_config::listeners::parse(&text).unwrap()
    }

    #[test]
    fn a_listener_goes_from_one_supervisor_to_the_next() {
        let mut first = Listeners::new(&configured("127.0.0.1:0"));
        assert!(!first.is_complete());
        first.bind_missing().unwrap();
        let (names, sockets) = first.all();
        assert_eq!(names, ["web"]);
        let copy = sockets[0].try_clone_to_owned().unwrap();

        let mut second = Listeners::new(&configured("127.0.0.1:0"));
        second.offer("web", copy);
        assert!(second.is_complete());
    }

    #[test]
    fn a_socket_with_another_address_is_not_taken() {
        let mut first = Listeners::new(&configured("127.0.0.1:0"));
        first.bind_missing().unwrap();
        let copy = || first.all().1[0].try_clone_to_owned().unwrap();
        let mut second = Listeners::new(&configured("127.0.0.2:0"));
        second.offer("web", copy());
        second.offer("else", copy());
        assert!(!second.is_complete());
    }
}
