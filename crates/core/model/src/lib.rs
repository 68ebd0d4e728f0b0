//! Nouns that several crates share. Nothing else may live here: no machine, no message, no
//! setting.
//!
//! # Not here
//!
//! What the processes say to each other: `mainstay-wire`. What an operator may write:
//! `mainstay-config`.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod chain;
mod generation;
mod id;
mod instance;
mod process;
mod session;
mod slot;
mod time;

pub use chain::Chain;
pub use generation::Generation;
pub use id::{ConnectionId, ListenerId};
pub use instance::{InstanceUid, InstanceUidError};
pub use process::Process;
pub use session::{Claims, ClaimsError, NotASession, Session, SessionId, SessionKey};
pub use slot::Slot;
pub use time::{Timestamp, WallTime};
