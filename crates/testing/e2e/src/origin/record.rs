//! What an origin remembers: executions by id, open connections, bytes, held requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// Shared by all threads of an origin.
#[derive(Debug, Default)]
pub(super) struct Record {
    requests: AtomicU64,
    executed: Mutex<HashMap<String, u32>>,
    connections: Mutex<Connections>,
    held: Mutex<Held>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    phase: Phase,
    next: u64,
    open: BTreeMap<u64, TcpStream>,
    /// In the order in which the connections were accepted.
    taps: Vec<Tap>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    Recording,
    Over,
}

#[derive(Debug, Default)]
struct Held {
    waiting: BTreeMap<String, usize>,
    released: BTreeSet<String>,
    over: bool,
}

/// A growing copy of what arrived on one connection.
pub(super) type Tap = Arc<Mutex<Vec<u8>>>;

impl Record {
    /// Notes a new connection: its number, and where a copy of its bytes goes. None if it is
    /// over.
    pub(super) fn open(&self, stream: &TcpStream) -> Option<(u64, Option<Tap>)> {
        let mut connections = self.connections.lock().unwrap();
        let tap = match connections.phase {
            Phase::Over => return None,
            Phase::Serving => None,
            Phase::Recording => {
                let tap = Tap::default();
                connections.taps.push(Arc::clone(&tap));
                Some(tap)
            }
        };
        connections.next += 1;
        let number = connections.next;
        connections.open.insert(number, stream.try_clone().unwrap());
        Some((number, tap))
    }

    pub(super) fn close(&self, number: u64) {
        let closed = self.connections.lock().unwrap().open.remove(&number);
        // The descriptor kept here would hold the connection open after its thread ended it.
        if let Some(stream) = closed {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Ends every connection and lets no new one in.
    pub(super) fn end(&self) {
        let mut connections = self.connections.lock().unwrap();
        connections.phase = Phase::Over;
        for stream in connections.open.values() {
            stream.shutdown(Shutdown::Both).ok();
        }
        drop(connections);
        self.held.lock().unwrap().over = true;
        self.released.notify_all();
    }

    pub(super) fn close_all(&self) {
        for stream in self.connections.lock().unwrap().open.values() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.lock().unwrap().open.len()
    }

    pub(super) fn tap_connections(&self) {
        self.connections.lock().unwrap().phase = Phase::Recording;
    }

    pub(super) fn received(&self) -> Vec<Vec<u8>> {
        let connections = self.connections.lock().unwrap();
        connections.taps.iter().map(|tap| tap.lock().unwrap().clone()).collect()
    }

    /// Counts a request whose last byte was read.
    pub(super) fn execute(&self, id: Option<&str>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(id) = id {
            *self.executed.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn executed(&self, id: &str) -> u32 {
        self.executed.lock().unwrap().get(id).copied().unwrap_or(0)
    }

    pub(super) fn executed_twice(&self) -> Vec<String> {
        let executed = self.executed.lock().unwrap();
        let mut twice: Vec<String> =
            executed.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id.clone()).collect();
        twice.sort();
        twice
    }

    /// Waits until `key` is released.
    pub(super) fn hold(&self, key: &str) {
        let mut held = self.held.lock().unwrap();
        *held.waiting.entry(key.to_owned()).or_default() += 1;
        let held =
            self.released.wait_while(held, |held| !held.over && !held.released.contains(key));
        *held.unwrap().waiting.get_mut(key).unwrap() -= 1;
    }

    pub(super) fn held(&self, key: &str) -> usize {
        self.held.lock().unwrap().waiting.get(key).copied().unwrap_or(0)
    }

    pub(super) fn release(&self, key: &str) {
        self.held.lock().unwrap().released.insert(key.to_owned());
        self.released.notify_all();
    }
}
