//! What an event means to an operator, and what is told of it.
//!
//! ```text
//!                         raises                    clears
//!   event ──▶ meaning ──▶ (not there) ──▶ standing ──▶ (not there)
//!                │                         │    ▲
//!                │ merely happens          └────┘ again: counted, and told
//!                ▼                                after the repeat interval
//!             told, unless the same was told within the repeat interval
//! ```
//!
//! # Invariants
//!
//! 1. The standing alerts are those that were raised and not cleared.
//! 2. Between two raises of one alert it was cleared.
//! 3. What is suppressed is counted, and the count is told at the latest one repeat interval
//!    after what it repeats.
//! 4. Time is an argument.
//!
//! # Not here
//!
//! Whether a death is a crash loop: `mainstay-supervise`. Formats and ways out:
//! `mainstay-events`.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

mod alerts;
mod meaning;

pub use alerts::{Alerts, LATEST_MAX, Moment, Policy};
pub use meaning::{SUMMARY_BYTES_MAX, alert_severity, can_stand};
