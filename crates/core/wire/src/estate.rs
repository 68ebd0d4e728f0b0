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

use crate::frame::Message;

/// Most descriptors in one offer. As many as the kernel carries in a message would take the
/// heir most of a millisecond, in which it answers nobody.
pub const OFFER_DESCRIPTORS_MAX: usize = 64;
const _: () = assert!(OFFER_DESCRIPTORS_MAX <= crate::frame::DESCRIPTORS_MAX);

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

/// One connection of an offer. Written as one number, for there can be ten thousand: the kind,
/// the lane and the slot, from the highest bits down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum Item {
    /// It has a slot in the ledger; the client's descriptor travels, and what belongs to it.
    Noted { lane: u16, slot: u32, with: With },
    /// It was accepted, and nothing was noted of it yet; its descriptor travels.
    Fresh,
}

/// What travels after a client's descriptor, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    Nothing,
    Upstream,
    /// The reading end of a pipe with a part of the response in it.
    Pipe,
    UpstreamAndPipe,
}

/// A number that stands for no connection of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an item of an offer")]
pub struct NotAnItem(u64);

const FRESH: u64 = 0;
/// And then in the order of [`With::ALL`].
const NOTED: u64 = 1;

impl From<Item> for u64 {
    fn from(item: Item) -> Self {
        let pack = |kind: Self, lane: u16, slot: u32| {
            kind << 48 | Self::from(lane) << 32 | Self::from(slot)
        };
        match item {
            Item::Fresh => FRESH,
            Item::Noted { lane, slot, with } => pack(NOTED + with as Self, lane, slot),
        }
    }
}

impl TryFrom<u64> for Item {
    type Error = NotAnItem;

    fn try_from(number: u64) -> Result<Self, NotAnItem> {
        let [_, kind, lane_high, lane_low, slot @ ..] = number.to_be_bytes();
        let lane = u16::from_be_bytes([lane_high, lane_low]);
        let slot = u32::from_be_bytes(slot);
        if number == FRESH {
            return Ok(Self::Fresh);
        }
        let with = usize::from(kind).checked_sub(1).and_then(|kind| With::ALL.get(kind));
        match with {
            Some(&with) if number >> 48 == u64::from(kind) => Ok(Self::Noted { lane, slot, with }),
            _ => Err(NotAnItem(number)),
        }
    }
}

impl With {
    const ALL: [Self; 4] = [Self::Nothing, Self::Upstream, Self::Pipe, Self::UpstreamAndPipe];
}

impl Item {
    /// How many descriptors this connection brings.
    pub const fn descriptors(&self) -> usize {
        match self {
            Self::Fresh | Self::Noted { with: With::Nothing, .. } => 1,
            Self::Noted { with: With::Upstream | With::Pipe, .. } => 2,
            Self::Noted { with: With::UpstreamAndPipe, .. } => 3,
        }
    }
}

impl Message for ToKeeper {
    fn descriptors(&self) -> usize {
        match self {
            Self::Claim { .. } => 1,
            Self::Taken { .. } => 0,
        }
    }
}

impl Message for ToHeir {
    fn descriptors(&self) -> usize {
        match self {
            Self::Estate { .. } => 1,
            Self::Offer { items, .. } => items.iter().map(Item::descriptors).sum(),
            Self::Settled => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_survives_its_number() {
        let items = [
            Item::Fresh,
            Item::Noted { lane: 0, slot: 0, with: With::Nothing },
            Item::Noted { lane: 63, slot: 9, with: With::Upstream },
            Item::Noted { lane: 63, slot: 9, with: With::Pipe },
            Item::Noted { lane: u16::MAX, slot: u32::MAX, with: With::UpstreamAndPipe },
        ];
        for item in items {
            assert_eq!(Item::try_from(u64::from(item)), Ok(item));
        }
        for number in [1, 5 << 48, 257 << 48, u64::MAX] {
            assert_eq!(Item::try_from(number), Err(NotAnItem(number)));
        }
    }
}
