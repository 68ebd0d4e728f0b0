//! The sessions of a gateway on disk: every update in order, and now and then the whole table.
//!
//! ```text
//!  sessions/
//!    lock               held by the broadcast that writes here
//!    snapshot.4096      the table after update 4096
//!    tail.4096          the updates that follow it; the last one grows
//! ```
//!
//! One thread writes: it takes all updates that have gathered, writes them as one **batch** and
//! waits for the disk once. When the tail is long enough a new one is begun, and another thread
//! makes a snapshot of what is before it, from the files alone. A process that needs the table
//! is given the same files and reads them itself.
//!
//! # Invariants
//!
//! 1. What is reported as committed is on the disk, and everything before it.
//! 2. A batch is valid only at its place, and its being there proves that the one before it was
//!    on the disk. So a torn end, which nobody was told of, is told apart from damage.
//! 3. Damage is never read past: a logout might be in what is lost. The files are set aside and
//!    everybody is logged out.
//! 4. One process writes: a file names it, and one that is dead has let go.
//!
//! # Not here
//!
//! What updates mean: `mainstay-session`. Who is told of them, and when: broadcast.
//!
//! Source: DESIGN 8.

#![forbid(unsafe_code)]

mod compact;
mod directory;
mod frame;
mod journal;
mod load;
mod writer;

pub use journal::{Figures, Journal, JournalError, Limits, Opened};
pub use load::{LoadError, Loader, load};
