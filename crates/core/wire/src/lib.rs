//! Every message that crosses a process boundary: a type for each direction of each channel,
//! its limits, and how it is written and read.
//!
//! | channel | from | to | socket |
//! | --- | --- | --- | --- |
//! | [`control`] | supervisor | master, workers | the child's standard input; an orphan connects to `supervisor.sock` |
//! | [`pair`] | master | workers | `master.sock` in the run directory; the worker connects |
//! | [`lane`] | master | one worker thread | a pair made by the worker, its sending end given to the master |
//! | [`estate`] | keeper | heir | `keepers/<pid>` in the run directory; the heir connects |
//! | [`command`] | operator | master | `admin.sock` in the run directory |
//! | [`broadcast`] | broadcast | master, workers | `broadcast.sock` in the run directory; they connect |
//! | [`upgrade`] | supervisor | operator, and the supervisor that follows it | `supervisor.sock`; the standard input of the program that is begun |
//! | [`caller`] | caller | broadcast | the command channel: lines on a stream |
//! | [`session`] | who logs users in | broadcast | the session channel: lines on a stream |
//!
//! All but the last two are `SOCK_SEQPACKET`: the kernel keeps the message boundaries. Holding the
//! socket, in a run directory that only its owner may enter, is the authentication.
//!
//! # Invariants
//!
//! 1. How many descriptors travel with a message is a function of the message.
//! 2. No message is longer than [`frame::MESSAGE_BYTES_MAX`].

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod broadcast;
pub mod caller;
pub mod command;
pub mod control;
pub mod estate;
pub mod event;
pub mod frame;
pub mod lane;
pub mod pair;
pub mod session;
pub mod upgrade;
