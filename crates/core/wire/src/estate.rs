//! What a keeper and the heir of its process say to each other.
//!
//! ```text
//!  heir                                   keeper of the process that died
//!   │ Claim + the heir's own ledger ─────────▶ │
//!   │ ◀───────────────── Estate + the ledger   │
//!   │ ◀──────────────── Offer + descriptors ×n │   up to OFFERS_OPEN_MAX unanswered
//!   │ Taken ─────────────────────────────▶ ×n  │   the keeper closes its copies
//!   │ ◀─────────────────────────────── Settled │   and exits
//! ```
//!
//! The heir commits an offer to its own ledger before it answers. When the heir dies between
//! the two, the keeper looks into the heir's ledger, which came with the claim: what is there
//! was taken. So a connection is never offered to two.

use serde::{Deserialize, Serialize};

/// Most descriptors in one offer: what the kernel carries in a message.
pub const OFFER_DESCRIPTORS_MAX: usize = crate::frame::DESCRIPTORS_MAX;

/// Most offers that a keeper sends ahead of the answers.
pub const OFFERS_OPEN_MAX: usize = 8;

/// Heir to keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToKeeper {
    /// The first message, with the heir's ledger.
    Claim { pid: u32 },
    /// This offer is committed in the heir's ledger.
    Taken { offer: u32 },
}

/// Keeper to heir.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToHeir {
    /// Answers `Claim`, with the dead process's ledger.
    Estate { pid: u32 },
    /// Connections, and their descriptors in the order of `items`.
    Offer { offer: u32, items: Vec<Item> },
    /// Everything was offered and taken.
    Settled,
}

/// One connection of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// It has a slot in the ledger; the client's descriptor travels.
    Client { lane: u16, slot: u32 },
    /// It has a slot in the ledger; the client's and the upstream's descriptor travel.
    Both { lane: u16, slot: u32 },
    /// It was accepted, and nothing was noted of it yet; its descriptor travels.
    Fresh,
}

impl Item {
    /// How many descriptors this connection brings.
    pub const fn descriptors(&self) -> usize {
        match self {
            Self::Client { .. } | Self::Fresh => 1,
            Self::Both { .. } => 2,
        }
    }
}

impl ToKeeper {
    /// How many descriptors travel with the message; any other number is refused.
    pub const fn descriptors(&self) -> usize {
        match self {
            Self::Claim { .. } => 1,
            Self::Taken { .. } => 0,
        }
    }
}

impl ToHeir {
    /// How many descriptors travel with the message; any other number is refused.
    pub fn descriptors(&self) -> usize {
        match self {
            Self::Estate { .. } => 1,
            Self::Offer { items, .. } => items.iter().map(Item::descriptors).sum(),
            Self::Settled => 0,
        }
    }
}
