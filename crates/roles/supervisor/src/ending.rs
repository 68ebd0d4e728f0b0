//! How processes end, as their parent is told.

use std::collections::BTreeMap;
use std::{fmt, io};

use rustix::process::{WaitOptions, WaitStatus, wait};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(i32),
    Killed {
        signal: i32,
        dumped: Dumped,
    },
    /// It was no child of ours.
    Unknown,
}

/// Whether there is a core dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dumped {
    Yes,
    No,
}

/// The bit of a wait status that says so (wait(2), `WCOREDUMP`).
const CORE_DUMPED: i32 = 0x80;

impl From<WaitStatus> for Ending {
    fn from(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => {
                let dumped =
                    if status.as_raw() & CORE_DUMPED == 0 { Dumped::No } else { Dumped::Yes };
                Self::Killed { signal, dumped }
            }
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Killed { signal, dumped } => {
                match name(signal) {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "signal {signal}")?,
                }
                f.write_str(match dumped {
                    Dumped::Yes => ", core dumped",
                    Dumped::No => "",
                })
            }
            Self::Unknown => f.write_str("unknown, an earlier supervisor started it"),
        }
    }
}

const fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// What [`reap`] found.
#[derive(Debug)]
pub(crate) struct Reaped {
    pub(crate) endings: BTreeMap<u32, Ending>,
    pub(crate) left: Left,
}

/// Whether this process has children still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    None,
}

/// Lets go of every child that ended, and of every keeper: a keeper becomes our child when
/// its process dies, for we are the reaper of all that comes from us.
pub(crate) fn reap() -> io::Result<Reaped> {
    let mut endings = BTreeMap::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                endings.insert(pid.as_raw_nonzero().get().unsigned_abs(), status.into());
            }
            Ok(None) => return Ok(Reaped { endings, left: Left::Some }),
            Err(rustix::io::Errno::CHILD) => return Ok(Reaped { endings, left: Left::None }),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_reads_like_a_sentence() {
        let killed = |signal, dumped| Ending::Killed { signal, dumped };
        let cases = [
            (Ending::Exited(1), "exit code 1"),
            (killed(9, Dumped::No), "SIGKILL"),
            (killed(11, Dumped::Yes), "SIGSEGV, core dumped"),
            (killed(40, Dumped::No), "signal 40"),
        ];
        for (ending, expected) in cases {
            assert_eq!(ending.to_string(), expected);
        }
    }
}
