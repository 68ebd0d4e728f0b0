//! What an operator asks: is this configuration right ([`check`]), and what does the gateway
//! do ([`status`]).
//!
//! Neither changes anything.
//!
//! # Not here
//!
//! What is right: `mainstay-config`. What the answer is made of: the master.

#![forbid(unsafe_code)]

mod ask;
mod check;
mod status;
mod table;
mod text;

pub use check::{CheckOptions, check};
pub use status::{StatusOptions, status};
