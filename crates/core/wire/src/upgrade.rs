//! What a supervisor says while it replaces the program of every process.
//!
//! An operator asks for it with [`crate::control::ToSupervisor::Upgrade`] and hears
//! [`ToOperator`] on the same socket. The supervisor becomes the new program itself, with the
//! same process number; what it leaves to the new program is a [`Handover`], which waits on the
//! socket pair that is its standard input.

use serde::{Deserialize, Serialize};

use crate::frame::Message;

/// Supervisor to whoever asked for the upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToOperator {
    /// One step of it is done.
    Step { sentence: String },
    /// Every process runs the new program.
    Done { version: String },
    /// It came to nothing, for this reason. Unless the reason says otherwise, every process runs
    /// the former program.
    Failed { reason: String },
}

/// A supervisor to the program that it becomes. Carries the channel of whoever asked, and the
/// program that it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Why the program that it was is given up, if this is the way back.
    pub failed: Option<String>,
}

impl Message for ToOperator {}

impl Message for Handover {
    fn descriptors(&self) -> usize {
        2
    }
}
