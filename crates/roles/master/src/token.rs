//! What an event of the poller is about, as the number that the poller carries.
//!
//! Whatever comes and goes has a number that is never used again, so an event that was
//! already on its way when its descriptor was closed finds nobody.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Signals,
    Supervisor,
    /// Our keeper ended.
    Keeper,
    /// Where workers come in.
    WorkerDoor,
    /// Where operators come in.
    AdminDoor,
    /// A worker that has not said Hello.
    Guest(u32),
    /// A message of this worker.
    Worker(u32),
    /// The end of this worker.
    WorkerEnd(u32),
    Operator(u32),
    /// A connection waits at this listener.
    Listener(u32),
    Refused(u32),
    /// Somebody wants the metrics.
    Metrics,
    /// A message of broadcast; its end, with 1.
    Broadcast(u32),
    /// A check of a configuration is over.
    Check,
    /// A hook is over.
    Hook,
    /// The sessions were read.
    Sessions,
}

impl Token {
    pub(crate) fn number(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0_u64, 0),
            Self::Supervisor => (1, 0),
            Self::Keeper => (2, 0),
            Self::WorkerDoor => (3, 0),
            Self::AdminDoor => (4, 0),
            Self::Guest(index) => (5, index),
            Self::Worker(index) => (6, index),
            Self::WorkerEnd(index) => (7, index),
            Self::Operator(index) => (8, index),
            Self::Listener(index) => (9, index),
            Self::Refused(index) => (10, index),
            Self::Metrics => (11, 0),
            Self::Broadcast(index) => (12, index),
            Self::Check => (13, 0),
            Self::Hook => (14, 0),
            Self::Sessions => (15, 0),
        };
        kind << 32 | u64::from(index)
    }

    pub(crate) fn read(number: u64) -> Option<Self> {
        let index = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        Some(match number >> 32 {
            0 => Self::Signals,
            1 => Self::Supervisor,
            2 => Self::Keeper,
            3 => Self::WorkerDoor,
            4 => Self::AdminDoor,
            5 => Self::Guest(index),
            6 => Self::Worker(index),
            7 => Self::WorkerEnd(index),
            8 => Self::Operator(index),
            9 => Self::Listener(index),
            10 => Self::Refused(index),
            11 => Self::Metrics,
            12 => Self::Broadcast(index),
            13 => Self::Check,
            14 => Self::Hook,
            15 => Self::Sessions,
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
            Token::Keeper,
            Token::WorkerDoor,
            Token::AdminDoor,
            Token::Guest(last),
            Token::Worker(last),
            Token::WorkerEnd(1),
            Token::Operator(7),
            Token::Listener(0),
            Token::Refused(last),
            Token::Metrics,
            Token::Broadcast(1),
            Token::Check,
            Token::Hook,
            Token::Sessions,
        ] {
            assert_eq!(Token::read(token.number()), Some(token));
        }
    }
}
