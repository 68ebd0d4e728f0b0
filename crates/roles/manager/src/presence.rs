//! Whether an agent is there: the database's word, and if that has recorded no absence, how long
//! the agent has been silent.

use mainstay_database::{Presence, WallTime};
use mainstay_fleet::online::{self, Silence};

/// What an agent is that was heard of last at `seen_at`.
pub(crate) fn presence(
    silence: &Silence,
    recorded: Presence,
    seen_at: Option<WallTime>,
    now: WallTime,
) -> online::Presence {
    match recorded {
        Presence::Never => online::Presence::Never,
        Presence::Offline => online::Presence::Offline,
        Presence::Online => silence.presence(seen_at.map(|at| now.since(at))),
    }
}
