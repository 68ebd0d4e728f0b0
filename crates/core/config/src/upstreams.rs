//! Upstreams: named groups of servers, one of which answers a request.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use mainstay_model::Chain;

pub use crate::address::ServerAddress;
use crate::address::read_server;
use crate::entry::{Entry, Form, Text};
use crate::names::Names;
use crate::section::Section;

/// Most upstreams of a gateway.
pub const UPSTREAMS_MAX: usize = 10_000;

/// Most servers of an upstream.
pub const SERVERS_MAX: usize = 1_000;

const WEIGHT: u32 = 1;
const WEIGHTS: RangeInclusive<u32> = 1..=256;

const KEEPALIVE: usize = 512;
const KEEPALIVES: RangeInclusive<usize> = 0..=65_536;

/// Servers that are as good as each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub name: String,
    /// At least one; no two with the same address.
    pub servers: Vec<Server>,
    /// Idle connections kept by each worker thread, to all servers together; 0 keeps none.
    pub keepalive: usize,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: ServerAddress,
    /// From 1 to 256: how many requests it gets when each of the others gets its own weight.
    pub weight: u32,
    /// The address as the operator wrote it, for logs and metrics.
    pub text: String,
}

/// How a server is chosen. There is one way so far; the key exists so that a file can say so.
#[derive(Clone, Copy)]
enum Balance {
    RoundRobin,
}

/// Every `[[upstream]]` of the file, with the names by which routes call them.
pub(crate) fn read<'a>(file: &mut Section<'a>) -> (Names<'a>, Vec<Upstream>) {
    let mut names = Names::new("upstream");
    let mut upstreams = Vec::new();
    let sections = file.tables("upstream", "[[upstream]]").unwrap_or_default();
    if let Some(surplus) = sections.get(UPSTREAMS_MAX) {
        let sentence = format!("there may be at most {UPSTREAMS_MAX} upstreams");
        file.problems().add(surplus.span(), sentence);
    }
    for mut section in sections.into_iter().take(UPSTREAMS_MAX) {
        let name = names.read(&mut section);
        let servers = read_servers(&mut section);
        let Balance::RoundRobin =
            section.choice("balance", Balance::RoundRobin, &[("round-robin", Balance::RoundRobin)]);
        let keepalive = section.integer("keepalive", KEEPALIVE, &KEEPALIVES);
        section.finish();
        upstreams.push(Upstream { name, servers, keepalive });
    }
    (names, upstreams)
}

fn read_servers(section: &mut Section<'_>) -> Vec<Server> {
    let Some(entry) = section.required("servers") else { return Vec::new() };
    let span = entry.span();
    let entries = entry.array().unwrap_or_default();
    if entries.len() > SERVERS_MAX {
        let sentence = format!("an upstream may have at most {SERVERS_MAX} servers");
        section.problems().add(span, sentence);
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut servers = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some((text, weight)) = read_weighted(entry) else { continue };
        let address = match read_server(text.get_ref()) {
            Ok(address) => address,
            Err(error) => {
                let sentence = format!("server {:?} {}", text.get_ref(), Chain(&error));
                section.problems().add(text.span(), sentence);
                continue;
            }
        };
        if !seen.insert(address.clone()) {
            let sentence =
                format!("server {:?} is listed twice: give it a weight instead", text.get_ref());
            section.problems().add(text.span(), sentence);
        }
        servers.push(Server { address, weight, text: text.into_inner().into_owned() });
    }
    servers
}

/// `"10.0.0.11:8080"` or `{ address = "10.0.0.12:8080", weight = 2 }`.
fn read_weighted(entry: Entry<'_>) -> Option<(Text<'_>, u32)> {
    match entry.form("a server", "an address or { address = \"…\", weight = 2 }")? {
        Form::Short(address) => Some((address, WEIGHT)),
        Form::Long(mut section) => {
            let address = section.text("address");
            let weight = section.integer("weight", WEIGHT, &WEIGHTS);
            section.finish();
            address.map(|address| (address, weight))
        }
    }
}
