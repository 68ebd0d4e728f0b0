//! The way to another process, found again whenever it is lost.
//!
//! The death of a process that has a keeper is seen by its pidfd, for the keeper holds its end
//! of the channel open; of one that has none the end of its channel is its end.

use std::io;
use std::path::{Path, PathBuf};

use mainstay_model::Timestamp;
use mainstay_os::{Channel, Interest, Pidfd, Poller};

/// A connection to a process that listens in the run directory.
#[derive(Debug)]
pub struct Link {
    path: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    Connected {
        channel: Channel,
        process: Option<Pidfd>,
    },
    /// Looked for again at this instant.
    Searching(Timestamp),
    /// There is none, and none is looked for.
    Absent,
}

/// How often a process that is away is looked for.
const SEARCH: std::time::Duration = std::time::Duration::from_millis(2);

impl Link {
    /// A link that has yet to be made.
    pub fn searching(path: &Path, now: Timestamp) -> Self {
        Self { path: path.to_owned(), state: State::Searching(now) }
    }

    /// No link: of a part of a process whose other part speaks for both.
    pub fn absent() -> Self {
        Self { path: PathBuf::new(), state: State::Absent }
    }

    /// A link that was there from the start.
    pub fn connected(path: &Path, channel: Channel) -> Self {
        Self { path: path.to_owned(), state: State::Connected { channel, process: None } }
    }

    /// The channel, while there is one.
    pub const fn channel(&self) -> Option<&Channel> {
        match &self.state {
            State::Connected { channel, .. } => Some(channel),
            State::Searching(_) | State::Absent => None,
        }
    }

    /// Watches the channel under `token`, and the other process under `token + 1`.
    pub fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        if let State::Connected { channel, process } = &self.state {
            poller.add(channel, token, Interest::ReadLevel)?;
            if let Some(process) = process {
                poller.add(process, token + 1, Interest::ReadLevel)?;
            }
        }
        Ok(())
    }

    /// Looks for the other process, if it is time to. True if it was found.
    pub fn search(&mut self, now: Timestamp) -> bool {
        let State::Searching(at) = self.state else { return false };
        if now < at {
            return false;
        }
        match find(&self.path) {
            Ok((channel, process)) => {
                self.state = State::Connected { channel, process: Some(process) };
                true
            }
            // It is not there, or not any more: that is what searching is for.
            Err(_away) => {
                self.state = State::Searching(now + SEARCH);
                false
            }
        }
    }

    /// When to search next.
    pub const fn search_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Connected { .. } | State::Absent => None,
            State::Searching(at) => Some(*at),
        }
    }

    /// Lets go of a process that is gone, and begins to search for its successor.
    pub fn lose(&mut self, poller: &Poller, now: Timestamp) {
        if matches!(self.state, State::Absent) {
            return;
        }
        if let State::Connected { channel, process } = &self.state {
            // Other holders of these sockets would keep them in the poller.
            for gone in [Some(poller.remove(channel)), process.as_ref().map(|p| poller.remove(p))] {
                if let Some(Err(error)) = gone {
                    tracing::debug!(%error, "a lost channel was not watched");
                }
            }
        }
        self.state = State::Searching(now);
    }
}

/// Connects to whoever listens at `path`, if that process lives.
fn find(path: &Path) -> io::Result<(Channel, Pidfd)> {
    let channel = Channel::connect(path)?;
    let process = Pidfd::open(channel.peer_pid()?)?;
    if process.has_exited()? {
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    Ok((channel, process))
}
