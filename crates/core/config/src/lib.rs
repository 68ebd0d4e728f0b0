//! From text to a valid configuration, or every problem with its line.
//!
//! | file | read by | module |
//! | --- | --- | --- |
//! | `host.toml` | supervisor, master, workers, `status` | [`host`] |
//! | `gateway.toml`, listeners only | supervisor, master | [`listeners`] |
//! | `gateway.toml`, the watch after an apply | master | [`apply`] |
//! | `gateway.toml`, the whole | workers, `check` | [`gateway`] |
//! | `manager.toml` | managers | [`manager`] |
//!
//! [`difference`] says what one gateway changes of another.
//!
//! ```text
//! text ──toml──▶ tables with positions ──Section──▶ settings ──cross-checks──▶ Gateway, Host
//!                   │                       │                       │
//!                   └───────────────────────┴──── every Problem ────┘
//! ```
//!
//! The tables are read by hand (`section.rs`) and not by a derived `Deserialize`: that one
//! stops at the first unknown key or wrong type, and an operator wants all of them at once.
//!
//! # Invariants
//!
//! 1. A [`Gateway`] or a [`Host`] is valid: nothing downstream checks a setting again.
//! 2. A reader returns a stand-in value only after it noted a problem, and no value leaves
//!    this crate while there is one.
//! 3. Every number and every text has a limit, written in `docs/configuration.md`.
//!
//! # Not here
//!
//! Reading files and resolving host names: this crate sees text only. What is made of a
//! `Gateway` (routing tables, balancing): `mainstay-http` and `mainstay-proxy`.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod admin;
pub mod agent;
pub mod alerts;
pub mod apply;
pub mod difference;
pub mod gateway;
pub mod host;
pub mod kind;
pub mod listeners;
pub mod manager;

mod address;
mod entry;
mod ha;
mod hooks;
mod hostname;
mod limits;
mod names;
mod problem;
mod scalar;
mod section;
mod services;
mod session;
mod sessions;
mod suggest;
mod upstreams;

pub use difference::Difference;
pub use gateway::Gateway;
pub use host::Host;
pub use kind::Kind;
pub use problem::Problem;
pub use scalar::read_duration;

/// Longest text that is read as a configuration. A longer one is refused whole.
pub const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
