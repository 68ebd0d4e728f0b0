//! How agents and managers find, prove and follow each other.
//!
//! | module | who decides | what |
//! | --- | --- | --- |
//! | [`endpoint`] | agents | which manager to speak to |
//! | [`backoff`] | agents | when to try again |
//! | [`chain`] | managers | whether a request is the next of its agent, a repeat, or something else |
//! | [`enroll`] | managers | what is done with it: serve, register anew, become another agent |
//! | [`admission`] | managers | who is let in now, and when the others should come back |
//! | [`online`] | managers | who is late, offline or gone |
//! | [`pin`] | managers | whether agents still find one when another certificate is shown |
//! | [`rollout`] | managers | which gateway is offered a version next, and when to stop |
//!
//! # Not here
//!
//! Clocks, luck, sockets and keys: arguments. Messages: `mainstay-opamp`. What is kept: the
//! managers' database, the agent's state directory.
//!
//! Source: DESIGN 10.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod admission;
pub mod backoff;
pub mod chain;
pub mod endpoint;
pub mod enroll;
pub mod online;
pub mod pin;
pub mod rollout;
