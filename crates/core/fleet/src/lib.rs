//! How agents and managers find, prove and follow each other.
//!
//! | module | who decides | what |
//! | --- | --- | --- |
//! | [`chain`] | managers | whether a request is the next of its agent, a repeat, or something else |
//!
//! # Not here
//!
//! Clocks, luck, sockets and keys: arguments. Messages: `mainstay-opamp`. What is kept: the
//! managers' database, the agent's state directory.
//!
//! Source: DESIGN 10.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod chain;
