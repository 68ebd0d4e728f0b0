//! The data path: what a worker thread does with the connections it was given.
//!
//! One [`Lane`] per thread: its own poller, ledger region, upstream pools and access log, and
//! no locks between threads. A connection is a record in the ledger and a step function: an
//! event arrives, the step reads, interprets, rewrites and writes as far as it gets, and what
//! is left over is committed. There are no futures, so nothing about a connection lives where
//! an heir could not find it.
//!
//! # Invariants
//!
//! 1. What a transform made is committed before any of it is sent, and where a read will land
//!    is committed before it is done (`mainstay-adopt` depends on both).
//! 2. A request that may have reached a server is not given to another, unless repeating it
//!    does no harm (RFC 9110, 9.2.2).
//! 3. Every wait has a limit from the configuration.
//!
//! # Not here
//!
//! Which worker serves: `mainstay-pair`. What bytes mean: `mainstay-http`. Finding estates:
//! the worker's control thread.
//!
//! Source: RFC 9110, RFC 9112; decisions 0002, 0003 and 0004.

#![forbid(unsafe_code)]

mod accept;
mod access;
mod access_log;
mod adopt;
mod answer;
mod connection;
mod deadline;
mod exchange;
mod json;
mod lane;
mod pool;
mod relay;
mod reload;
mod request;
mod response;
mod sessions;
mod settings;
mod splice;
mod step;
mod token;
mod upstream;
mod wheel;

pub use accept::{Lease, Listening};
pub use access_log::{Origin, open_log};
pub use lane::{Command, Lane, LaneError, LaneHandle, LaneSetup, Report};
pub use reload::Loaded;
pub use sessions::{SessionChange, Sessions};
pub use settings::{BuildError, Drills, Settings};
