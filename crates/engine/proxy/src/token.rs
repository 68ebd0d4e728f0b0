//! What a poller's token stands for.

/// Something that a lane waits for. The age tells a socket from one that had its place
/// before it: events of one round can be about sockets that were closed earlier in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Client {
        slot: u32,
        age: u16,
    },
    Upstream {
        index: u32,
        age: u16,
    },
    Listener {
        id: u16,
    },
    /// Handoffs from the master.
    Handoffs,
    /// Commands from the control thread.
    Commands,
}

const CLIENT: u64 = 0;
const UPSTREAM: u64 = 1;
const LISTENER: u64 = 2;
const HANDOFFS: u64 = 3;
const COMMANDS: u64 = 4;

impl Token {
    /// As the poller carries it.
    pub(crate) fn pack(self) -> u64 {
        let pack =
            |kind: u64, age: u16, index: u32| kind << 48 | u64::from(age) << 32 | u64::from(index);
        match self {
            Self::Client { slot, age } => pack(CLIENT, age, slot),
            Self::Upstream { index, age } => pack(UPSTREAM, age, index),
            Self::Listener { id } => pack(LISTENER, 0, id.into()),
            Self::Handoffs => pack(HANDOFFS, 0, 0),
            Self::Commands => pack(COMMANDS, 0, 0),
        }
    }

    /// From what the poller carried; `None` for what was never packed.
    #[expect(clippy::cast_possible_truncation, reason = "each part is cut out of its place")]
    pub(crate) const fn unpack(packed: u64) -> Option<Self> {
        let (age, index) = ((packed >> 32) as u16, packed as u32);
        match packed >> 48 {
            CLIENT => Some(Self::Client { slot: index, age }),
            UPSTREAM => Some(Self::Upstream { index, age }),
            LISTENER => Some(Self::Listener { id: index as u16 }),
            HANDOFFS => Some(Self::Handoffs),
            COMMANDS => Some(Self::Commands),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_poller() {
        for token in [
            Token::Client { slot: u32::MAX, age: u16::MAX },
            Token::Upstream { index: 7, age: 0 },
            Token::Listener { id: 199 },
            Token::Handoffs,
            Token::Commands,
        ] {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(u64::MAX), None);
    }
}
