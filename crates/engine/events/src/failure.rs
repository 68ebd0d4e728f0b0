//! Why a record was not delivered, and whether it is of use to try again.

use std::io;

/// Why a record was not delivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error("cannot write {path}")]
    File { path: String, source: io::Error },

    #[error("cannot find {server}")]
    Resolve { server: String, source: io::Error },

    #[error("cannot connect to {server}")]
    Connect { server: String, source: io::Error },

    #[error("cannot send to {server}")]
    Send { server: String, source: io::Error },

    #[error("no answer of {server}")]
    Answer { server: String, source: io::Error },

    #[error("{server} answered something that is not HTTP")]
    NotHttp { server: String },

    #[error("{server} answered {status}")]
    Status { server: String, status: u16 },
}

/// Whether it may go well later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prospect {
    Later,
    /// The other side understood, and does not want it.
    Never,
}

impl DeliveryError {
    pub(crate) const fn prospect(&self) -> Prospect {
        match self {
            // 408 and 429 say to try again.
            Self::Status { status: 408 | 429, .. } => Prospect::Later,
            Self::Status { status: 400..=499, .. } => Prospect::Never,
            Self::Status { .. }
            | Self::File { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Send { .. }
            | Self::Answer { .. }
            | Self::NotHttp { .. } => Prospect::Later,
        }
    }
}
