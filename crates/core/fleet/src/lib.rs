//! How agents and managers find, prove and follow each other.
//!
//! # Not here
//!
//! Clocks, luck, sockets and keys: arguments. Messages: `mainstay-opamp`. What is kept: the
//! managers' database, the agent's state directory.
//!
//! Source: DESIGN 10.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]
