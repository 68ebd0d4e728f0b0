//! Who believes whom, and why: keys, signatures, pins, certificates, and the bundle that makes
//! another manager.
//!
//! ```text
//!   agent  ── the certificate is one of the copies that I hold, byte for byte ──▶  manager
//!   manager ── the request is signed with the key that the database has ────────▶  agent
//! ```
//!
//! | module | content |
//! | --- | --- |
//! | [`pin`] | the manager's certificate, compared with copies (TLS) |
//! | [`shown`] | the certificate that a manager shows, which may change while it serves |
//! | [`certificate`] | the certificate that all managers share: making, reading, what is in it |
//! | [`key`] | an agent's Ed25519 key |
//! | [`signature`] | signed requests (RFC 9421) |
//! | [`digest`] | SHA-256, and the digest of a body (RFC 9530) |
//! | [`token`] | random bytes as text, and codes that only the managers can make |
//! | [`password`] | what is kept of a user's password |
//! | [`bundle`] | the three files that a further manager needs |
//! | [`file`](mod@file) | files that only their owner may read |
//!
//! # Invariants
//!
//! 1. No name, no address, no authority and no clock decides about trust.
//! 2. What is secret is not printed, and not read from a file that others may read.
//! 3. Every decoder of outside bytes has a limit, and a fuzz target.
//!
//! # Not here
//!
//! Which pins there are and when they change, and what a sequence and its token mean: pure
//! machines of core. HTTP.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod certificate;
pub mod digest;
pub mod file;
pub mod key;
pub mod password;
pub mod pin;
pub mod shown;
pub mod signature;
pub mod token;
