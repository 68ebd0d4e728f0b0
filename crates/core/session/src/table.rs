//! The sessions that are there, as every thread that serves has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_model::{Session, SessionKey, WallTime};
use mainstay_wire::session::{Update, Use};

/// Who is logged in.
///
/// What is known of a session is shared between the tables of a process; a table of its own
/// costs a key, a pointer and two instants for each.
#[derive(Clone, Debug, Default)]
pub struct Table {
    sessions: BTreeMap<SessionKey, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    session: Arc<Session>,
    last_active: WallTime,
    /// The use that others were told of last.
    told: WallTime,
}

/// A session that is there and has not run out.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    pub session: &'a Arc<Session>,
    pub news: News,
}

/// Whether others should hear that a session was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Tell,
    /// They know well enough.
    Known,
}

/// Others hear of the use of a session this often in its idle limit.
const TELLS_PER_IDLE_LIMIT: u32 = 16;

/// And not more often than this.
const TELL_MIN: Duration = Duration::from_secs(1);

/// And at least this often.
const TELL_MAX: Duration = Duration::from_secs(60);

/// By how much a session may have been used later than others know.
pub(crate) fn tell_every(session: &Session) -> Duration {
    (session.idle_limit / TELLS_PER_IDLE_LIMIT).clamp(TELL_MIN, TELL_MAX)
}

impl Table {
    /// How many there are, those that have run out and were not removed yet included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Does what an update says. Says how many sessions it changed.
    pub fn apply(&mut self, update: &Update) -> usize {
        match update {
            Update::Set { key, session, last_active } => {
                let session = Arc::clone(session);
                let entry = Entry { session, last_active: *last_active, told: *last_active };
                self.sessions.insert(*key, entry);
                1
            }
            Update::Used { uses } => uses.iter().filter(|of| self.note(of)).count(),
            Update::Ended { keys, .. } => {
                keys.iter().filter(|key| self.sessions.remove(key).is_some()).count()
            }
        }
    }

    fn note(&mut self, Use { key, at }: &Use) -> bool {
        let Some(entry) = self.sessions.get_mut(key) else { return false };
        entry.last_active = entry.last_active.max(*at);
        entry.told = entry.told.max(*at);
        true
    }

    /// The session with this key and when it was used last, whether it has run out or not.
    pub fn find(&self, key: &SessionKey) -> Option<(&Arc<Session>, WallTime)> {
        self.sessions.get(key).map(|entry| (&entry.session, entry.last_active))
    }

    /// The session with this key, if it has not run out.
    pub fn look_up(&self, key: &SessionKey, now: WallTime) -> Option<&Arc<Session>> {
        let entry = self.sessions.get(key)?;
        (!entry.session.is_over(entry.last_active, now)).then_some(&entry.session)
    }

    /// The same, for a request that uses it: it counts as used now.
    pub fn visit(&mut self, key: &SessionKey, now: WallTime) -> Option<Visit<'_>> {
        let entry = self.sessions.get_mut(key)?;
        if entry.session.is_over(entry.last_active, now) {
            return None;
        }
        entry.last_active = entry.last_active.max(now);
        let news = if now >= entry.told + tell_every(&entry.session) {
            entry.told = now;
            News::Tell
        } else {
            News::Known
        };
        Some(Visit { session: &entry.session, news })
    }

    /// All sessions, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&SessionKey, &Arc<Session>, WallTime)> {
        self.sessions.iter().map(|(key, entry)| (key, &entry.session, entry.last_active))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mainstay_model::Claims;
    use mainstay_wire::session::Cause;

    use super::*;

    pub(crate) fn key(number: u8) -> SessionKey {
        SessionKey::from_bytes([number; 32])
    }

    pub(crate) fn at(seconds: u64) -> WallTime {
        WallTime::from_millis(seconds * 1_000)
    }

    /// A session of `subject` that began at 0, with limits of 160 and 1,000 seconds.
    pub(crate) fn set(number: u8, subject: &str) -> Update {
        let session = Session {
            subject: subject.to_owned(),
            claims: Claims::default(),
            authenticated_at: at(0),
            idle_limit: Duration::from_secs(160),
            absolute_limit: Duration::from_secs(1_000),
            provider_session: Some(format!("provider-{subject}")),
        };
        Update::Set { key: key(number), session: Arc::new(session), last_active: at(0) }
    }

    #[test]
    fn a_session_is_there_from_set_to_end() {
        let mut table = Table::default();
        assert_eq!(table.apply(&set(1, "alice")), 1);
        assert_eq!(table.apply(&set(2, "bob")), 1);
        assert_eq!(table.look_up(&key(1), at(1)).unwrap().subject, "alice");
        let ended = Update::Ended { keys: vec![key(1), key(9)], cause: Cause::LoggedOut };
        assert_eq!((table.apply(&ended), table.apply(&ended)), (1, 0));
        assert!(table.look_up(&key(1), at(1)).is_none());
        assert_eq!((table.len(), table.is_empty()), (1, false));
    }

    #[test]
    fn use_keeps_a_session_up_to_its_absolute_limit() {
        let mut table = Table::default();
        table.apply(&set(1, "alice"));
        assert!(table.look_up(&key(1), at(160)).is_none());
        for now in (0..1_000).step_by(100) {
            assert!(table.visit(&key(1), at(now)).is_some(), "{now}");
        }
        assert!(table.visit(&key(1), at(1_000)).is_none());
    }

    #[test]
    fn use_elsewhere_counts_and_never_takes_back() {
        let mut table = Table::default();
        table.apply(&set(1, "alice"));
        let used = |seconds| Update::Used { uses: vec![Use { key: key(1), at: at(seconds) }] };
        assert_eq!(table.apply(&used(100)), 1);
        assert_eq!(table.apply(&used(50)), 1);
        assert_eq!(table.find(&key(1)).unwrap().1, at(100));
        assert_eq!(table.apply(&Update::Used { uses: vec![Use { key: key(2), at: at(1) }] }), 0);
    }

    #[test]
    fn others_hear_of_use_now_and_then() {
        let mut table = Table::default();
        table.apply(&set(1, "alice"));
        let told: Vec<u64> = (0..40)
            .filter(|now| table.visit(&key(1), at(*now)).unwrap().news == News::Tell)
            .collect();
        assert_eq!(told, [10, 20, 30]);
    }
}
