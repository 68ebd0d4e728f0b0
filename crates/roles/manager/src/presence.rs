//! Whether an agent is there: the database's word, and if that has recorded no absence, how long
//! the agent has been silent.

use std::time::Duration;

use mainstay_database::Presence;
use mainstay_fleet::online::{self, Silence};

/// What an agent is that was heard of so long ago.
pub(crate) fn presence(
    silence: &Silence,
    recorded: Presence,
    silent: Option<Duration>,
) -> online::Presence {
    match recorded {
        Presence::Never => online::Presence::Never,
        Presence::Offline => online::Presence::Offline,
        Presence::Online => silence.presence(silent),
    }
}
