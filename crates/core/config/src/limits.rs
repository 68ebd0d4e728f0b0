//! `[timeouts]` and `[limits]`: how long a connection may wait and how much it may take.
//!
//! Every one has a default. None can be switched off: what may wait forever will.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use crate::section::Section;

/// What a timeout may be.
const DURATIONS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);

const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
const HEAD_BYTES: RangeInclusive<u64> = 1_024..=61_440;
const PIPES: RangeInclusive<usize> = 0..=4_096;
const FIELDS: RangeInclusive<usize> = 1..=128;
const TARGET_BYTES_MIN: u64 = 64;
const BODY_BYTES: RangeInclusive<u64> = 0..=1024 << 40;

/// How long a worker waits, for each thing that it can wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head.
    pub request_head: Duration,
    /// Between a response and the next request.
    pub keepalive: Duration,
    /// Between two reads of a request's body.
    pub client_read: Duration,
    /// Between two writes to a client that takes nothing.
    pub client_write: Duration,
    /// For a connection to a server.
    pub connect: Duration,
    /// From the end of a request to the head of its response.
    pub response_head: Duration,
    /// Between two reads of a response's body.
    pub upstream_read: Duration,
    /// Between two writes to a server that takes nothing.
    pub upstream_write: Duration,
    /// For how long an idle connection to a server is kept.
    pub upstream_idle: Duration,
    /// For how long a tunnel may carry nothing in either direction.
    pub tunnel_idle: Duration,
    /// For how long a client's bytes are still read after the last byte to it.
    pub linger: Duration,
    /// For how long a server that refused a connection is set aside.
    pub server_retry: Duration,
}

/// How much a worker accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections of each worker thread.
    pub connections: usize,
    /// The head of a request or a response; from 1 KiB to 60 KiB.
    pub head_bytes: usize,
    /// Fields of a head; at most 128.
    pub fields: usize,
    /// The target of a request; never more than `head_bytes`.
    pub target_bytes: usize,
    /// The body of a request.
    pub body_bytes: BodyLimit,
    /// Pipes of each worker thread, for bodies that pass unseen; 0 for none.
    pub pipes: usize,
}

/// The longest body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    Unlimited,
    Bytes(u64),
}

pub(crate) fn read_timeouts(file: &mut Section<'_>) -> Timeouts {
    let mut section = file.table("timeouts", "[timeouts]");
    let mut seconds =
        |key, seconds| section.duration(key, Duration::from_secs(seconds), &DURATIONS);
    let timeouts = Timeouts {
        request_head: seconds("request_head", 10),
        keepalive: seconds("keepalive", 60),
        client_read: seconds("client_read", 60),
        client_write: seconds("client_write", 60),
        connect: seconds("connect", 5),
        response_head: seconds("response_head", 60),
        upstream_read: seconds("upstream_read", 60),
        upstream_write: seconds("upstream_write", 60),
        upstream_idle: seconds("upstream_idle", 60),
        tunnel_idle: seconds("tunnel_idle", 60 * 60),
        linger: seconds("linger", 5),
        server_retry: seconds("server_retry", 1),
    };
    section.finish();
    timeouts
}

pub(crate) fn read_limits(file: &mut Section<'_>) -> Limits {
    let mut section = file.table("limits", "[limits]");
    let connections = section.integer("connections", 16_384, &CONNECTIONS);
    let head_bytes = section.placed("head_bytes", 16 * 1024, |entry| entry.size(&HEAD_BYTES));
    // A target is a part of a head; if that was a problem, of the longest.
    let head_bytes = head_bytes.map_or(*HEAD_BYTES.end(), Spanned::into_inner);
    let fields = section.integer("fields", 100, &FIELDS);
    let target_bytes =
        section.size("target_bytes", head_bytes.min(8 * 1024), &(TARGET_BYTES_MIN..=head_bytes));
    let body_bytes = read_body_limit(&mut section);
    let pipes = section.integer("pipes", 64, &PIPES);
    section.finish();
    Limits {
        connections,
        head_bytes: usize::try_from(head_bytes).unwrap_or(usize::MAX),
        fields,
        target_bytes: usize::try_from(target_bytes).unwrap_or(usize::MAX),
        body_bytes,
        pipes,
    }
}

fn read_body_limit(section: &mut Section<'_>) -> BodyLimit {
    match section.optional("body_bytes") {
        Some(entry) if !entry.is("unlimited") => {
            entry.size(&BODY_BYTES).map_or(BodyLimit::Unlimited, BodyLimit::Bytes)
        }
        Some(_) | None => BodyLimit::Unlimited,
    }
}
