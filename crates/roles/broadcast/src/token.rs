//! What an event of the poller is about, as the number that the poller carries.
//!
//! Whatever comes and goes has a number that is never used again.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Signals,
    Supervisor,
    /// Where processes of the gateway come in.
    PeerDoor,
    /// A message of this process.
    Peer(u32),
    /// The end of this process.
    PeerEnd(u32),
    /// Where callers come in: this one of their doors.
    Door(u32),
    Caller(u32),
    Journal,
    /// The end of the process with this number, which may have a table of sessions.
    HolderEnd(u32),
}

impl Token {
    pub(crate) fn number(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0_u64, 0),
            Self::Supervisor => (1, 0),
            Self::PeerDoor => (2, 0),
            Self::Peer(index) => (3, index),
            Self::PeerEnd(index) => (4, index),
            Self::Door(index) => (5, index),
            Self::Caller(index) => (6, index),
            Self::Journal => (7, 0),
            Self::HolderEnd(pid) => (8, pid),
        };
        kind << 32 | u64::from(index)
    }

    pub(crate) fn read(number: u64) -> Option<Self> {
        let index = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        Some(match number >> 32 {
            0 => Self::Signals,
            1 => Self::Supervisor,
            2 => Self::PeerDoor,
            3 => Self::Peer(index),
            4 => Self::PeerEnd(index),
            5 => Self::Door(index),
            6 => Self::Caller(index),
            7 => Self::Journal,
            8 => Self::HolderEnd(index),
            _ => return None,
        })
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
            Token::Supervisor,
            Token::PeerDoor,
            Token::Peer(last),
            Token::PeerEnd(1),
            Token::Door(0),
            Token::Caller(last),
            Token::Journal,
            Token::HolderEnd(last),
        ] {
            assert_eq!(Token::read(token.number()), Some(token));
        }
    }
}
