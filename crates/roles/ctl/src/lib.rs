//! What an operator asks: is this configuration right ([`check`]), what does the gateway do
//! ([`status`]), and to serve another configuration ([`apply`]).
//!
//! # Not here
//!
//! What is right: `mainstay-config`. What the answer is made of: the master.

#![forbid(unsafe_code)]

mod apply;
mod ask;
mod check;
mod place;
mod status;
mod table;
mod text;

pub use apply::{ApplyOptions, apply};
pub use check::{CheckOptions, check};
pub use status::{StatusOptions, status};
