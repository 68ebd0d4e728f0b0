//! The part of `gateway.toml` that supervisor and master read: where to listen, and how a
//! connection reaches a worker.
//!
//! They read nothing else of it, so that whatever is wrong with routes and upstreams happens
//! in a process that serves nobody. The order of the file is the order here: a listener's
//! index is its `ListenerId` in every message.

use std::ops::RangeInclusive;

pub use crate::address::Address;
use crate::address::{collide, read_listener};
use crate::names::Names;
use crate::problem::{Problem, Problems};
use crate::section::Section;

/// Most listeners of a gateway: all go to a worker in one message, which may carry 253
/// descriptors.
pub const LISTENERS_MAX: usize = 200;

/// Most listeners that are open at a time: while an apply is under way, those that it removes
/// are open beside those that it adds.
pub const OPEN_MAX: usize = 250;

/// The kernel's own default limit (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
const BACKLOGS: RangeInclusive<u32> = 1..=65_535;

/// A place where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub address: Address,
    pub accept: Accept,
    /// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    pub forwarded: Forwarded,
}

impl Listener {
    /// Whether clients of `other` come to this one: a socket that listens for the one listens for
    /// the other. Of port 0, each name has a port of its own.
    pub fn is_at_the_place_of(&self, other: &Self) -> bool {
        let is_chosen = matches!(&self.address, Address::Tcp(address) if address.port() == 0);
        self.address == other.address && (!is_chosen || self.name == other.name)
    }

    /// Whether a socket for this one cannot be bound while there is one for `other`.
    pub fn collides_with(&self, other: &Self) -> bool {
        !self.is_at_the_place_of(other) && collide(&self.address, &other.address)
    }
}

/// Who accepts a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// The active worker, by lease.
    Active,
    /// The master, who hands each to the active worker.
    Master,
}

/// What happens to the `Forwarded` and `X-Forwarded-*` fields of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// They are removed: the client may have made them up.
    Replace,
    /// They are kept and appended to: the client is a trusted proxy.
    Append,
}

/// Reads the listeners and nothing else. What is wrong elsewhere in the text goes unseen,
/// unless it is not TOML.
pub fn parse(text: &str) -> Result<Vec<Listener>, Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "gateway.toml", &problems)?;
    let (_, listeners) = read(&mut file);
    problems.check(listeners)
}

/// The same, and the indexes of those whose connections are tunnels.
pub fn parse_with_tunnels(text: &str) -> Result<(Vec<Listener>, Vec<usize>), Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "gateway.toml", &problems)?;
    let (_, listeners) = read(&mut file);
    let tables = file.tables("tcp", "[[tcp]]").unwrap_or_default();
    let tunnels = tables.into_iter().filter_map(|mut tcp| {
        let name = tcp.text("listener")?;
        listeners.iter().position(|listener| listener.name == *name.get_ref())
    });
    let tunnels = tunnels.collect();
    problems.check((listeners, tunnels))
}

/// Every `[[listener]]` of the file, with the names by which services call them.
pub(crate) fn read<'a>(file: &mut Section<'a>) -> (Names<'a>, Vec<Listener>) {
    let mut names = Names::new("listener");
    let mut listeners: Vec<Listener> = Vec::new();
    let sections = file.tables("listener", "[[listener]]");
    if sections.as_ref().is_some_and(Vec::is_empty) {
        let sentence = "there is no [[listener]]: nobody could connect".to_owned();
        file.problems().add(file.span(), sentence);
    }
    let sections = sections.unwrap_or_default();
    if let Some(surplus) = sections.get(LISTENERS_MAX) {
        let sentence = format!("there may be at most {LISTENERS_MAX} listeners");
        file.problems().add(surplus.span(), sentence);
    }
    for mut section in sections.into_iter().take(LISTENERS_MAX) {
        let name = names.read(&mut section);
        let address = read_address(&mut section, &listeners);
        listeners.push(Listener {
            name,
            address,
            accept: section.choice(
                "accept",
                Accept::Active,
                &[("active", Accept::Active), ("master", Accept::Master)],
            ),
            backlog: section.integer("backlog", BACKLOG, &BACKLOGS),
            forwarded: section.choice(
                "forwarded",
                Forwarded::Replace,
                &[("replace", Forwarded::Replace), ("append", Forwarded::Append)],
            ),
        });
        section.finish();
    }
    (names, listeners)
}

/// The address of a listener, which none of those before it may have.
fn read_address(section: &mut Section<'_>, before: &[Listener]) -> Address {
    // Stands in for one that was a problem; port 0 collides with nothing.
    let stand_in = Address::Tcp(([0, 0, 0, 0], 0).into());
    let Some(text) = section.text("address") else { return stand_in };
    let address = match read_listener(text.get_ref()) {
        Ok(address) => address,
        Err(error) => {
            section.problems().add(text.span(), format!("address {:?} {error}", text.get_ref()));
            return stand_in;
        }
    };
    if let Some(other) = before.iter().find(|other| collide(&other.address, &address)) {
        let sentence = format!(
            "address {:?} collides with listener {:?} at \"{}\"",
            text.get_ref(),
            other.name,
            other.address
        );
        section.problems().add(text.span(), sentence);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, address: &str) -> Listener {
        let text = format!("[[listener]]\nname = {name:?}\naddress = {address:?}\n");
        parse(&text).unwrap().remove(0)
    }

    #[test]
    fn tunnels_are_found_without_reading_what_else_there_is() {
        let text = "nonsense = 1\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n\
                    [[listener]]\nname = \"b\"\naddress = \"127.0.0.1:2\"\n\
                    [[tcp]]\nlistener = \"b\"\n[[tcp]]\nlistener = \"c\"\n";
        let (listeners, tunnels) = parse_with_tunnels(text).unwrap();
        assert_eq!((listeners.len(), tunnels), (2, vec![1]));
    }

    #[test]
    fn a_place_is_an_address_whatever_it_is_called() {
        let at = |one: &Listener, other: &Listener| {
            assert_eq!(one.is_at_the_place_of(other), other.is_at_the_place_of(one));
            (one.is_at_the_place_of(other), one.collides_with(other))
        };
        let web = one("web", "127.0.0.1:80");
        assert_eq!(at(&web, &one("other", "127.0.0.1:80")), (true, false), "renamed");
        assert_eq!(at(&web, &one("web", "127.0.0.1:81")), (false, false), "moved");
        assert_eq!(at(&web, &one("web", "0.0.0.0:80")), (false, true), "in the way");
        let (any, other) = (one("a", "127.0.0.1:0"), one("b", "127.0.0.1:0"));
        assert_eq!(at(&any, &any.clone()), (true, false));
        assert_eq!(at(&any, &other), (false, false));
        let (path, other) = (one("a", "unix:/x"), one("b", "unix:/y"));
        assert_eq!(at(&path, &one("b", "unix:/x")), (true, false));
        assert_eq!(at(&path, &other), (false, false));
    }
}
