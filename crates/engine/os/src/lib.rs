//! What the kernel offers and no library gives in a safe form: a child that shares the
//! descriptor table, memory that outlives its process, what a socket has really read and
//! written; and, beside these, one place each for channels, spawning, listening and signals.
//!
//! The only crate that contains `unsafe`. Each block does one thing and says why it is
//! needed and why it is sound.
//!
//! # Not here
//!
//! What any of it is for. Nothing in this crate knows a role, a message or a connection.

#![expect(unsafe_code, reason = "the one crate whose purpose is what only the kernel can do")]

mod channel;
mod clock;
mod counts;
mod event;
mod fatal;
mod file;
mod inheritance;
mod keeper;
mod limits;
mod listen;
mod memory;
mod pipe;
mod poll;
mod process;
mod seed;
mod signal;
mod spawn;

pub use channel::{Channel, ChannelError, ChannelListener, Received, close_listener, refuse_more};
pub use clock::{now, unix_millis, unix_seconds, wall_now};
pub use counts::{Counts, Truth, cookie, counts};
pub use event::Event;
pub use fatal::{FatalNote, watch_fatal_signals};
pub use file::remove_if_there;
pub use inheritance::Inheritance;
pub use keeper::{Keeper, make_keeper};
pub use limits::{
    CoreDumps, limit_memory, memory_share, pin_thread, raise_descriptor_limit, reserve_descriptors,
    set_core_dumps,
};
pub use listen::{
    BindError, Connecting, Endpoint, accept, bind, bind_beside, connect, connected, end,
    end_listener, end_writing, local_endpoint, peer_address, reset, set_backlog,
};
pub use memory::{Memory, MemoryError, Observed, SharedFile};
pub use pipe::{Pipe, pipe_id};
pub use poll::{Interest, Poller, Ready};
pub use process::{Dumping, Incarnation, Pidfd, ProcessUse, host_name, process_use, start_ticks};
pub use seed::random_u64;
pub use signal::{Signal, Signals};
pub use spawn::{become_program, control_socket, descriptor_path, spawn};
