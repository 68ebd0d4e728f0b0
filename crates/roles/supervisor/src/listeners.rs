//! The listening sockets: bound once, held for as long as the gateway lives.
//!
//! Every other process gets copies. A new supervisor takes them back from the processes that
//! an earlier one left, so that the queue of connections nobody accepted yet is not lost. What a
//! socket is for is known by its address: a listener that gets another name keeps it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use mainstay_config::listeners::{Address, Listener};
use mainstay_os::{
    BindError, Endpoint, bind, bind_beside, local_endpoint, remove_if_there, set_backlog,
};
use rustix::net::sockopt::socket_acceptconn;
use tracing::{info, warn};

/// One place for each listener of the current generation, in the order of its configuration, and
/// those that an apply needs beside them.
#[derive(Debug)]
pub(crate) struct Listeners {
    places: Vec<Place>,
    /// Bound for a generation that is not current yet.
    beside: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    listener: Listener,
    socket: Option<OwnedFd>,
}

/// The names of listeners, and their sockets, in order.
pub(crate) type Named<'a> = (Vec<String>, Vec<BorrowedFd<'a>>);

/// Why a generation cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("listener {name:?} cannot be opened")]
    Bind { name: String, source: BindError },

    #[error(
        "listener {name:?} cannot be opened at {address} while listener {other:?} is open at \
         {other_address}: remove that one with an apply of its own"
    )]
    InTheWay { name: String, address: Endpoint, other: String, other_address: Endpoint },
}

impl Listeners {
    /// None bound yet.
    pub(crate) fn new(listeners: &[Listener]) -> Self {
        let place = |listener: &Listener| Place { listener: listener.clone(), socket: None };
        Self { places: listeners.iter().map(place).collect(), beside: Vec::new() }
    }

    /// Whether every one has its socket.
    pub(crate) fn is_complete(&self) -> bool {
        self.places.iter().all(|place| place.socket.is_some())
    }

    /// Takes a socket that another process held under this name, if it is what is configured now
    /// and still missing; else closes it.
    pub(crate) fn offer(&mut self, name: &str, socket: OwnedFd) {
        let all = self.places.iter_mut().chain(&mut self.beside);
        let mut missing = all.filter(|place| place.socket.is_none());
        let found =
            missing.find_map(|place| match is_as_configured(name, &socket, &place.listener) {
                Ok(true) => Some(place),
                Ok(false) => None,
                Err(error) => {
                    warn!(listener = name, %error, "cannot examine a listener");
                    None
                }
            });
        if let Some(place) = found {
            info!(listener = place.listener.name, address = %endpoint(&place.listener), "listener taken over");
            place.socket = Some(socket);
        }
    }

    /// Binds those of the current generation that are still missing.
    pub(crate) fn bind_missing(&mut self) -> Result<(), BindError> {
        self.beside.retain(|place| place.socket.is_some());
        for place in self.places.iter_mut().filter(|place| place.socket.is_none()) {
            place.socket = Some(open(&place.listener, bind)?);
        }
        Ok(())
    }

    /// Binds what `wanted` has and nobody listens on, beside what is there. If one cannot be
    /// bound, none is.
    pub(crate) fn open_beside(&mut self, wanted: &[Listener]) -> Result<Named<'_>, OpenError> {
        self.close_beside(wanted);
        let mut opened = Vec::new();
        for listener in wanted {
            if self.socket_for(listener).is_some() {
                continue;
            }
            match self.open_one(listener) {
                Ok(socket) => opened.push(Place { listener: listener.clone(), socket }),
                Err(error) => {
                    opened.iter().for_each(Place::remove_name);
                    return Err(error);
                }
            }
        }
        self.beside.extend(opened);
        let named = |listener: &Listener| Some((listener.name.clone(), self.socket_for(listener)?));
        Ok(wanted.iter().filter_map(named).unzip())
    }

    fn open_one(&self, listener: &Listener) -> Result<Option<OwnedFd>, OpenError> {
        if let Some(other) =
            self.places.iter().find(|other| listener.collides_with(&other.listener))
        {
            return Err(OpenError::InTheWay {
                name: listener.name.clone(),
                address: endpoint(listener),
                other: other.listener.name.clone(),
                other_address: endpoint(&other.listener),
            });
        }
        match open(listener, bind_beside) {
            Ok(socket) => Ok(Some(socket)),
            Err(source) => Err(OpenError::Bind { name: listener.name.clone(), source }),
        }
    }

    /// From here on the listeners are these: keeps what there is for them, closes the rest. Those
    /// of `next` are beside them.
    pub(crate) fn settle(&mut self, current: &[Listener], next: &[Listener]) {
        let mut had: Vec<Place> = self.places.drain(..).chain(self.beside.drain(..)).collect();
        let mut place = |listener: &Listener| {
            let is_it = |place: &Place| {
                place.socket.is_some() && place.listener.is_at_the_place_of(listener)
            };
            let kept = had.iter().position(is_it).map(|at| had.swap_remove(at));
            Place::new(listener, kept)
        };
        let is_new = |one: &&Listener| !current.iter().any(|other| other.is_at_the_place_of(one));
        self.places = current.iter().map(&mut place).collect();
        self.beside = next.iter().filter(is_new).map(&mut place).collect();
        for place in had.iter().filter(|place| place.socket.is_some()) {
            info!(listener = place.listener.name, address = %endpoint(&place.listener), "listener closed");
            place.remove_name();
        }
    }

    /// Closes what was bound beside and `wanted` does not have.
    fn close_beside(&mut self, wanted: &[Listener]) {
        self.beside.retain(|place| {
            let is_wanted = wanted.iter().any(|one| one.is_at_the_place_of(&place.listener));
            if !is_wanted {
                place.remove_name();
            }
            is_wanted
        });
    }

    fn socket_for(&self, listener: &Listener) -> Option<BorrowedFd<'_>> {
        let mut all = self.places.iter().chain(&self.beside);
        let place = all.find(|place| place.listener.is_at_the_place_of(listener))?;
        place.socket.as_ref().map(OwnedFd::as_fd)
    }

    /// The names of those of the current generation that are bound, and their sockets, in order.
    pub(crate) fn all(&self) -> Named<'_> {
        self.places
            .iter()
            .filter_map(|place| Some((place.listener.name.clone(), place.socket.as_ref()?.as_fd())))
            .unzip()
    }

    /// Removes the names of Unix sockets.
    pub(crate) fn remove_names(&self) {
        self.places.iter().chain(&self.beside).for_each(Place::remove_name);
    }
}

impl Place {
    /// With the socket of another place, which has the same address.
    fn new(listener: &Listener, kept: Option<Self>) -> Self {
        if let Some(Self { listener: before, socket: Some(socket) }) = &kept
            && before.backlog != listener.backlog
            && let Err(error) = set_backlog(socket, listener.backlog)
        {
            warn!(listener = listener.name, %error, "cannot set the backlog of a listener");
        }
        Self { listener: listener.clone(), socket: kept.and_then(|place| place.socket) }
    }

    /// Removes the name of a Unix socket, if it is ours.
    fn remove_name(&self) {
        let (Address::Unix(path), Some(_)) = (&self.listener.address, &self.socket) else { return };
        if let Err(error) = remove_if_there(path) {
            warn!(listener = self.listener.name, %error, "cannot remove a socket");
        }
    }
}

fn open(
    listener: &Listener,
    bind: impl FnOnce(&Endpoint, u32) -> Result<OwnedFd, BindError>,
) -> Result<OwnedFd, BindError> {
    let socket = bind(&endpoint(listener), listener.backlog)?;
    let address = local_endpoint(&socket).ok().flatten();
    let address = address.unwrap_or_else(|| endpoint(listener));
    info!(listener = listener.name, %address, "listening");
    Ok(socket)
}

fn endpoint(listener: &Listener) -> Endpoint {
    match &listener.address {
        Address::Tcp(address) => Endpoint::Tcp(*address),
        Address::Unix(path) => Endpoint::Unix(path.clone()),
    }
}

/// Whether clients of a listener reach this socket, which another process called `name`.
fn is_as_configured(name: &str, socket: &OwnedFd, listener: &Listener) -> io::Result<bool> {
    if !socket_acceptconn(socket)? {
        return Ok(false);
    }
    Ok(match (local_endpoint(socket)?, &listener.address) {
        // Port 0 is whatever port the kernel chose for this name.
        (Some(Endpoint::Tcp(bound)), Address::Tcp(wanted)) if wanted.port() == 0 => {
            bound.ip() == wanted.ip() && name == listener.name
        }
        (Some(Endpoint::Tcp(bound)), Address::Tcp(wanted)) => bound == *wanted,
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

    fn names(dir: &std::path::Path, places: &[(&str, &str)]) -> Vec<Listener> {
        let tables = places.iter().map(|(name, path)| {
            let path = dir.join(path);
            format!("[[listener]]\nname = \"{name}\"\naddress = \"unix:{}\"\n", path.display())
        });
        mainstay_config::listeners::parse(&tables.collect::<String>()).unwrap()
    }

    #[test]
    fn what_an_apply_needs_is_opened_beside_and_then_it_or_the_rest_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let is_there = |name: &str| dir.path().join(name).exists();
        let (first, second) = (
            names(dir.path(), &[("a", "one"), ("b", "two")]),
            names(dir.path(), &[("renamed", "one"), ("b", "three")]),
        );
        let mut listeners = Listeners::new(&first);
        listeners.bind_missing().unwrap();
        for outcome in [&first, &second] {
            listeners.settle(&first, &[]);
            let (opened, sockets) = listeners.open_beside(&second).unwrap();
            assert_eq!((opened, sockets.len()), (vec!["renamed".into(), "b".into()], 2));
            assert!(is_there("one") && is_there("two") && is_there("three"));
            listeners.settle(outcome, &[]);
            assert!(listeners.is_complete());
            assert!(is_there("one"), "it was kept");
            assert_eq!((is_there("two"), is_there("three")), {
                let is_first = std::ptr::eq(outcome, &first);
                (is_first, !is_first)
            });
        }
    }

    #[test]
    fn a_new_supervisor_is_given_what_is_next_too() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (
            names(dir.path(), &[("a", "one")]),
            names(dir.path(), &[("a", "two"), ("b", "three")]),
        );
        let mut former = Listeners::new(&first);
        former.bind_missing().unwrap();
        let (_, sockets) = former.open_beside(&second).unwrap();
        let copy = sockets[0].try_clone_to_owned().unwrap();

        let mut listeners = Listeners::new(&first);
        listeners.bind_missing().unwrap();
        listeners.settle(&first, &second);
        listeners.offer("a", copy);
        listeners.bind_missing().unwrap();
        assert_eq!(listeners.beside.len(), 1, "what nobody has is not next");
        listeners.settle(&second, &[]);
        assert!(!listeners.is_complete());
        assert!(dir.path().join("two").exists() && !dir.path().join("one").exists());
        assert!(dir.path().join("three").exists(), "it is another's");
    }

    #[test]
    fn what_cannot_be_opened_leaves_everything_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("taken"), "text").unwrap();
        let first = names(dir.path(), &[("a", "one")]);
        let mut listeners = Listeners::new(&first);
        listeners.bind_missing().unwrap();
        let wanted = names(dir.path(), &[("a", "one"), ("b", "two"), ("c", "taken")]);
        let error = listeners.open_beside(&wanted).unwrap_err();
        assert_eq!(error.to_string(), "listener \"c\" cannot be opened");
        assert!(!dir.path().join("two").exists(), "it was closed again");
        assert_eq!(listeners.all().0, ["a"]);
    }

    #[test]
    fn an_address_that_another_listener_covers_is_in_its_way() {
        let parse = |text: &str| mainstay_config::listeners::parse(text).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = |name: &str, address: &str| {
            let port = free.port();
            parse(&format!("[[listener]]\nname = {name:?}\naddress = \"{address}:{port}\"\n"))
        };
        let mut listeners = Listeners::new(&at("all", "0.0.0.0"));
        listeners.bind_missing().unwrap();
        let error = listeners.open_beside(&at("one", "127.0.0.1")).unwrap_err().to_string();
        assert!(error.starts_with("listener \"one\" cannot be opened at 127.0.0.1:"), "{error}");
        assert!(error.contains("while listener \"all\" is open at 0.0.0.0:"), "{error}");
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
