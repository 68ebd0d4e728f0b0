//! The processes of one gateway.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Slot;

/// A process of the gateway, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    Supervisor,
    Master,
    Broadcast,
    Worker(Slot),
}

impl Process {
    /// Every process that the supervisor starts, in start order.
    pub const SUPERVISED: [Self; 4] =
        [Self::Master, Self::Broadcast, Self::Worker(Slot::One), Self::Worker(Slot::Two)];

    /// Those that hold connections, and have a keeper that outlives them.
    pub const KEPT: [Self; 3] = [Self::Master, Self::Worker(Slot::One), Self::Worker(Slot::Two)];

    /// Its number among those that may serve: the master's is 0, the workers' are 1 and 2.
    pub const fn index(self) -> Option<u8> {
        match self {
            Self::Master => Some(0),
            Self::Worker(Slot::One) => Some(1),
            Self::Worker(Slot::Two) => Some(2),
            Self::Supervisor | Self::Broadcast => None,
        }
    }

    /// The name of its files in the run directory: `worker-one`.
    pub const fn file_stem(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Master => "master",
            Self::Broadcast => "broadcast",
            Self::Worker(Slot::One) => "worker-one",
            Self::Worker(Slot::Two) => "worker-two",
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supervisor => "supervisor",
            Self::Master => "master",
            Self::Broadcast => "broadcast",
            Self::Worker(Slot::One) => "worker one",
            Self::Worker(Slot::Two) => "worker two",
        })
    }
}
