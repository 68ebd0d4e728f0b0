//! The whole gateway from outside: real binary, real signals, real sockets.
//!
//! An [`Origin`] stands behind the gateway and counts what it executes, [`traffic`] stands
//! before it and checks every byte, and a [`Gateway`] owns the processes between them, so that
//! a test or [`torture`] can kill one and say afterwards what a client saw of it.
//!
//! Blocking threads and HTTP written by hand, on purpose: a client library that retries,
//! reconnects or hides a half-closed socket would hide exactly what these tests look for.
//!
//! # Invariants
//!
//! 1. Every wait has a name and a deadline ([`wait::until`]); nothing sleeps and hopes.
//! 2. Everything random comes from a seed that is printed.
//! 3. No process that was started here outlives its owner, orphans and keepers included.
//!
//! # Not here
//!
//! What the gateway decides in a crash: `mainstay-pair` and `mainstay-adopt`, simulated by
//! `mainstay-sim`.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness fails by panicking"
)]

pub mod administration;
pub mod administrator;
pub mod announcer;
pub mod api;
pub mod balancer;
pub mod caller;
pub mod children;
pub mod cli;
pub mod client;
pub mod crowd;
pub mod exchanges;
pub mod fleet;
pub mod gateway;
pub mod handshakes;
pub mod http;
pub mod latency;
pub mod limits;
pub mod luck;
pub mod network;
pub mod origin;
pub mod outages;
pub mod pattern;
pub mod pins;
pub mod receivers;
pub mod report;
pub mod rollout;
pub mod sessions;
pub mod socket;
pub mod torture;
pub mod traffic;
pub mod wait;
pub mod websocket;

pub use client::Client;
pub use gateway::{Gateway, Setup};
pub use origin::Origin;
pub use socket::Broken;
