//! A worker's connections in shared memory, and how they pass to another process.
//!
//! The **ledger** is a memory file: mapped by the worker, open in the descriptor table that
//! it shares with its **keeper**. It holds the state of every connection and every byte that
//! was read and has not gone out. When the worker dies, the keeper offers the connections to
//! the **heir**, which copies each into a ledger of its own and carries on.
//!
//! # Invariants
//!
//! 1. Outside a step of a lane, what the ledger says of a connection is the truth. Inside a
//!    step it is at most a few socket calls behind, and the kernel knows those.
//! 2. A record is committed by one atomic store: it can be read at any instruction boundary.
//! 3. A connection is in one ledger that counts: the keeper takes it from its estate only
//!    when the heir has committed it.
//!
//! # Not here
//!
//! What a connection does next: `mainstay-proxy`. The rules of reconciling: `mainstay-adopt`.

#![forbid(unsafe_code)]

mod areas;
mod counter;
mod estate;
mod heir;
mod keeper;
mod kept;
mod lane;
mod layout;
mod observer;
mod record;
mod scan;

pub use areas::{Areas, Direction};
pub use counter::Counter;
pub use heir::{AdoptError, Adoptee, Claim, Configuration, Left, Offer, Receipt};
pub use keeper::{KeeperSetup, keep};
pub use kept::{Adoption, KeepError, Kept, KeptSetup};
pub use lane::{Header, LaneLedger, Ledger, LedgerState};
pub use layout::{AREA_BYTES, Layout, PIPE_BYTES, SMALL_BYTES, VERSION};
pub use observer::{ObserveError, Observer, Totals};
pub use record::{BodySent, NO_SESSION, Peer, Record, SESSION_BYTES};
