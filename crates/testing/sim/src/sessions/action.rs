//! What can happen next, and how likely it is. Actions name indices, as those of the gateway's
//! world do.

use serde::{Deserialize, Serialize};

use crate::luck::Luck;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Somebody is logged in: always another.
    LogIn {
        subject: usize,
    },
    /// A session is logged out, if it is there or not.
    LogOut {
        session: usize,
    },
    LogOutSubject {
        subject: usize,
    },
    /// A worker says that a session was used.
    Use {
        process: usize,
        session: usize,
    },

    /// The journal's thread writes what has gathered, without waiting for the disk.
    Write,
    /// What was written is on the disk, and broadcast is told.
    Sync,
    /// Broadcast hears from its journal.
    HearJournal,
    /// Broadcast hears of a death.
    Notice {
        notice: usize,
    },
    /// Broadcast's timer, so many milliseconds later.
    Tick {
        milliseconds: u32,
    },

    /// A process connects to broadcast.
    Connect {
        process: usize,
    },
    /// A message of a process reaches broadcast.
    Up {
        process: usize,
    },
    /// A message of broadcast reaches a process.
    Down {
        process: usize,
    },
    /// A process has read the journal.
    Read {
        process: usize,
    },
    /// A thread of a process does what it was told.
    Turn {
        process: usize,
        thread: usize,
    },
    /// The channel of a process to broadcast ends.
    Break {
        process: usize,
    },

    /// The supervisor starts what is not there.
    Spawn {
        process: usize,
    },
    /// `kill -9`.
    Kill {
        process: usize,
    },
    KillBroadcast,
    /// All at once, and of what was written and not synced so many updates are left.
    PowerFails {
        left: usize,
    },
}

impl Action {
    /// The next action, whatever it may find.
    pub(super) fn any(luck: &mut Luck) -> Self {
        match luck.below(1000) {
            0..60 => Self::LogIn { subject: index(luck) },
            60..110 => Self::LogOut { session: index(luck) },
            110..120 => Self::LogOutSubject { subject: index(luck) },
            120..130 => Self::Use { process: index(luck), session: index(luck) },
            130..190 => Self::Write,
            190..250 => Self::Sync,
            250..310 => Self::HearJournal,
            310..360 => Self::Notice { notice: index(luck) },
            360..370 => Self::Tick { milliseconds: 1 << luck.below(13) },
            370..430 => Self::Connect { process: index(luck) },
            430..570 => Self::Up { process: index(luck) },
            570..700 => Self::Down { process: index(luck) },
            700..760 => Self::Read { process: index(luck) },
            760..900 => Self::Turn { process: index(luck), thread: index(luck) },
            900..910 => Self::Break { process: index(luck) },
            910..970 => Self::Spawn { process: index(luck) },
            970..988 => Self::Kill { process: index(luck) },
            988..998 => Self::KillBroadcast,
            _ => Self::PowerFails { left: index(luck) },
        }
    }

    /// Everything that does good, for every index that there can be.
    pub(super) fn calm() -> impl Iterator<Item = Self> {
        let each = (0..3).flat_map(|process| {
            [
                Self::Spawn { process },
                Self::Connect { process },
                Self::Up { process },
                Self::Down { process },
                Self::Read { process },
                Self::Turn { process, thread: 0 },
                Self::Turn { process, thread: 1 },
                Self::Up { process },
            ]
        });
        let broadcast = [
            Self::Spawn { process: 0 },
            Self::Write,
            Self::Sync,
            Self::HearJournal,
            Self::Notice { notice: 0 },
            Self::Tick { milliseconds: 0 },
        ];
        broadcast.into_iter().chain(each)
    }
}

fn index(luck: &mut Luck) -> usize {
    luck.below(64) as usize
}
