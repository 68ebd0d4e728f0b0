//! What an operator asks: is this configuration right ([`check`]), what does the gateway do
//! ([`status`]), to serve another configuration ([`apply`]) or an earlier one again
//! ([`rollback`], [`generations`]), orders to every process ([`swap`] and its neighbours),
//! who is logged in ([`session`]), another program for all of them ([`upgrade`]), or to be a pair or
//! one process ([`ha`]).
//!
//! # Not here
//!
//! What is right: `mainstay-config`. What the answer is made of: the master.

#![forbid(unsafe_code)]

mod alerts;
mod api;
mod apply;
mod ask;
mod check;
mod generations;
mod ha;
mod host_file;
mod order;
mod place;
mod session;
mod status;
mod steps;
mod table;
mod text;
mod upgrade;

pub use alerts::{AlertsOptions, alerts};
pub use api::Admin;
pub use apply::{ApplyOptions, RollbackOptions, apply, rollback};
pub use check::{CheckOptions, check};
pub use generations::{GenerationsOptions, generations};
pub use ha::{HaCommand, HaOptions, ha};
pub use order::{OrderOptions, esp_status, policy_refresh, purge, swap};
pub use session::{SessionCommand, session};
pub use status::{StatusOptions, status};
pub use upgrade::{UpgradeOptions, upgrade};
