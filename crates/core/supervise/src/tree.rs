//! Which processes the supervisor starts, in which order, and who needs whom.
//!
//! ```text
//!   supervisor ─▶ master ─▶ broadcast ─▶ worker one
//!                                     └▶ worker two
//! ```
//!
//! "Needs" is for the start only. A worker whose master or broadcast died goes on serving and
//! waits for the next, so nothing is ever stopped because something else did.

use mainstay_model::{Process, Slot};

/// What a process needs before it is of use.
pub const fn needs(process: Process) -> Option<Process> {
    match process {
        Process::Supervisor => None,
        Process::Master => Some(Process::Supervisor),
        Process::Broadcast => Some(Process::Master),
        // Who is logged in, it hears there before it serves.
        Process::Worker(_) => Some(Process::Broadcast),
    }
}

/// Every process that the supervisor starts, each after what it needs.
pub const fn start_order() -> [Process; 4] {
    Process::SUPERVISED
}

/// The order in which they are asked to end: the other way round, so that a worker that
/// drains still has a master to hand over to it.
pub const fn stop_order() -> [Process; 4] {
    [Process::Worker(Slot::Two), Process::Worker(Slot::One), Process::Broadcast, Process::Master]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_starts_after_what_it_needs() {
        let mut started = vec![Process::Supervisor];
        for process in start_order() {
            let needed = needs(process).expect("only the supervisor needs nothing");
            assert!(started.contains(&needed), "{process} started before {needed}");
            started.push(process);
        }
    }

    #[test]
    fn the_end_is_the_start_backwards() {
        let mut stopped = stop_order();
        stopped.reverse();
        assert_eq!(stopped, start_order());
    }
}
