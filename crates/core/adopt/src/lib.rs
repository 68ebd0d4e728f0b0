//! What a connection is while bytes pass through it, as plain data, and how another worker
//! carries it on.
//!
//! A connection has two sockets and two [`Flow`]s between them. Everything a worker knows of
//! it is written to the ledger; between the last note and the death of the worker at most a
//! few socket calls were made, and the kernel has counted those. [`reconcile`] puts the two
//! together.
//!
//! # Invariants
//!
//! 1. A read lands at [`Flow::landing`] and nowhere else, so an heir finds what was read.
//! 2. A write takes from [`Flow::output`], in that order, so an heir knows what was sent.
//! 3. What cannot be reconciled is refused, never guessed.
//!
//! # Not here
//!
//! The bytes themselves and the slots: `mainstay-ledger`. What the bytes mean:
//! `mainstay-http`. Asking the kernel: `mainstay-os`.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod reconcile;
mod state;

pub use reconcile::{Irreconcilable, Known, reconcile};
pub use state::{Cursors, Flow, Place, Span, Streams, Window};
