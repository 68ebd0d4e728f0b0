//! What a lane knows of a connection beside its record: things that an heir finds out anew.

use std::os::fd::OwnedFd;

use mainstay_ledger::{Direction, Record};
use mainstay_model::Timestamp;
use mainstay_os::Pipe;

/// What a socket is known to be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// A read may tell something: there has been no sign of the contrary since the last
    /// event.
    pub(crate) readable: bool,
    /// A write may get on.
    pub(crate) writable: bool,
    /// The peer has sent its last byte: reads go on until that is seen, however short.
    pub(crate) ended: bool,
}

impl Readiness {
    /// A socket of which the poller has said nothing yet.
    pub(crate) const UNKNOWN: Self = Self { readable: false, writable: true, ended: false };
}

/// One client connection of a lane.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) slot: u32,
    pub(crate) age: u16,
    /// What the ledger is to say; says already, unless `noted` is [`Noted::Behind`].
    pub(crate) record: Record,
    pub(crate) noted: Noted,
    pub(crate) client: OwnedFd,
    pub(crate) client_is: Readiness,
    pub(crate) upstream: Option<Link>,
    /// What a long response passes through.
    pub(crate) pipe: Option<Pipe>,
    /// The poller also tells when the client takes more.
    pub(crate) watch: Watch,
    /// When something last happened that a limit is counted from.
    pub(crate) moved: Timestamp,
    /// When the wait that it is in began, for limits that no traffic extends.
    pub(crate) since: Timestamp,
    pub(crate) deadline: Timestamp,
    /// When the wheel will ask for the deadline; `None` if it has no entry.
    pub(crate) armed: Option<Timestamp>,
    pub(crate) queued: Queued,
    pub(crate) ends: Ends,
    pub(crate) raw: Raw,
    pub(crate) standing: Standing,
    /// When what it does is given up, because its session has ended.
    pub(crate) ends_by: Option<Timestamp>,
    /// Its session had ended when it was taken over.
    pub(crate) lapsed: bool,
    /// The client's address without the port, as servers are told it.
    pub(crate) client_text: Box<str>,
}

/// Whether a worker has died of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Clear,
    Suspect,
}

/// Whether there are bytes of a client that were not tried as a request's head yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    Seen,
    New,
}

/// The upstream side of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Where the socket is among the lane's upstream sockets.
    pub(crate) index: u32,
    pub(crate) is: Readiness,
}

/// Whether the ledger has the whole of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    Up,
    Behind,
}

/// What the poller tells of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Nothing,
    Reads,
    ReadsAndWrites,
}

/// Whether a connection waits for another turn without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    No,
    Yes,
}

/// Which halves of a tunnel were ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) to_client: bool,
    pub(crate) to_upstream: bool,
}

/// Whether a part of a step got anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Made,
    None,
}

/// The connection is to be closed, and why, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Everything was said.
    Complete,
    /// The client went away, or broke off.
    ClientLeft,
    /// The client sent what cannot be understood after the response had begun.
    ClientBroke,
    /// The upstream broke off after the response had begun.
    UpstreamBroke,
    /// A limit passed.
    TimedOut,
    /// It was being worked on when a worker died by its own fault.
    Suspect,
    /// Its session did.
    SessionEnded,
    /// The worker ends.
    Stopping,
}

impl Gone {
    /// As the access log has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientLeft => "client_left",
            Self::ClientBroke => "client_broke",
            Self::UpstreamBroke => "upstream_broke",
            Self::TimedOut => "timed_out",
            Self::Suspect => "suspect",
            Self::SessionEnded => "session_ended",
            Self::Stopping => "stopping",
        }
    }
}

impl Connection {
    pub(crate) fn new(
        slot: u32,
        age: u16,
        record: Record,
        client: OwnedFd,
        now: Timestamp,
    ) -> Self {
        let address = record.peer.address();
        let client_text = match address {
            Some(address) => address.ip().to_string().into_boxed_str(),
            None => Box::from("unknown"),
        };
        Self {
            slot,
            age,
            record,
            noted: Noted::Behind,
            client,
            client_is: Readiness::UNKNOWN,
            upstream: None,
            pipe: None,
            watch: Watch::Nothing,
            moved: now,
            since: now,
            deadline: now,
            armed: None,
            queued: Queued::No,
            ends: Ends::default(),
            raw: Raw::New,
            standing: Standing::Clear,
            ends_by: None,
            lapsed: false,
            client_text,
        }
    }

    /// The record, to be changed: the ledger is behind from here.
    pub(crate) const fn change(&mut self) -> &mut Record {
        self.noted = Noted::Behind;
        &mut self.record
    }

    /// What is known of the socket that a direction reads from.
    pub(crate) fn source(&mut self, direction: Direction) -> Option<&mut Readiness> {
        match direction {
            Direction::Request => Some(&mut self.client_is),
            Direction::Response => self.upstream.as_mut().map(|link| &mut link.is),
        }
    }

    /// What is known of the socket that a direction writes to.
    pub(crate) fn sink(&mut self, direction: Direction) -> Option<&mut Readiness> {
        match direction {
            Direction::Request => self.upstream.as_mut().map(|link| &mut link.is),
            Direction::Response => Some(&mut self.client_is),
        }
    }
}
