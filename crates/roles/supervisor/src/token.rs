//! What an event of the poller is about, as the number that the poller carries.

use mainstay_model::{Process, Slot};

/// What an event of the poller is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Signals,
    Door,
    /// The end of the process at this place of the table.
    End(u32),
    /// A message of the process at this place of the table.
    Channel(u32),
    Guest(u32),
    /// The end of the check of a program.
    Check,
}

impl Token {
    pub(crate) fn number(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0_u64, 0),
            Self::Door => (1, 0),
            Self::End(index) => (2, index),
            Self::Channel(index) => (3, index),
            Self::Guest(index) => (4, index),
            Self::Check => (5, 0),
        };
        kind << 32 | u64::from(index)
    }

    pub(crate) fn read(number: u64) -> Option<Self> {
        let index = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        Some(match number >> 32 {
            0 => Self::Signals,
            1 => Self::Door,
            2 => Self::End(index),
            3 => Self::Channel(index),
            4 => Self::Guest(index),
            5 => Self::Check,
            _ => return None,
        })
    }
}

/// The place of a process in the table of children.
pub(crate) const fn place(process: Process) -> u32 {
    match process {
        Process::Supervisor | Process::Master => 0,
        Process::Broadcast => 1,
        Process::Worker(Slot::One) => 2,
        Process::Worker(Slot::Two) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_read_back() {
        let last = u32::MAX;
        for token in [
            Token::Signals,
            Token::Door,
            Token::End(3),
            Token::Channel(last),
            Token::Guest(last),
            Token::Check,
        ] {
            assert_eq!(Token::read(token.number()), Some(token));
        }
    }
}
