//! The table as broadcast has it, who alone decides how it changes: with what sessions are
//! found by, and when they run out.
//!
//! A request becomes updates here. They name keys: whoever applies them needs none of this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstay_model::{Session, SessionKey, WallTime};
use mainstay_wire::session::{Cause, KEYS_MAX, Listed, NAME_BYTES_MAX, Update, Use};
use sha2::{Digest as _, Sha256};

use crate::table::{Table, tell_every};

/// How long the news that a session was used may be under way.
const NEWS_DELAY: Duration = Duration::from_secs(5);

/// The sessions, and how they are found.
#[derive(Clone, Debug, Default)]
pub struct Register {
    table: Table,
    sessions_max: usize,
    by_subject: Names,
    by_provider_session: Names,
    by_end: BTreeSet<(WallTime, SessionKey)>,
}

/// What sessions are found by that have a name. Not the names, which are in the sessions
/// already, but the beginning of their SHA-256: few bytes, and none that somebody could choose so
/// that they meet.
type Names = BTreeSet<(u64, SessionKey)>;

/// Why somebody cannot be logged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("there are {max} sessions, which is the limit ([sessions] max in host.toml)")]
    Full { max: usize },

    #[error(
        "{what} must have 1 to {NAME_BYTES_MAX} bytes, and no control character or space at an end"
    )]
    Name { what: &'static str },

    #[error("the session is over already: its limits have passed since its authentication")]
    Over,
}

/// Whether servers can be told it in a header just as it is.
fn is_named(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.trim() == name
        && !name.contains(char::is_control)
}

/// Whose sessions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    Key(SessionKey),
    Subject(&'a str),
    ProviderSession(&'a str),
}

impl Register {
    /// A register of these sessions, that takes up to `sessions_max`.
    pub fn new(sessions: Table, sessions_max: usize) -> Self {
        // All at once: a gateway waits for it.
        let by_subject = sessions.iter().map(|(key, session, _)| (hash(&session.subject), *key));
        let by_provider_session = sessions.iter().filter_map(|(key, session, _)| {
            Some((hash(session.provider_session.as_deref()?), *key))
        });
        let by_end = sessions.iter().map(|(key, session, at)| (ends_at(session, at), *key));
        Self {
            sessions_max,
            by_subject: by_subject.collect(),
            by_provider_session: by_provider_session.collect(),
            by_end: by_end.collect(),
            table: sessions,
        }
    }

    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// What logs somebody in.
    pub fn set(
        &self,
        key: SessionKey,
        session: Session,
        now: WallTime,
    ) -> Result<Update, SetError> {
        if !is_named(&session.subject) {
            return Err(SetError::Name { what: "subject" });
        }
        if !session.provider_session.as_deref().is_none_or(is_named) {
            return Err(SetError::Name { what: "provider_session" });
        }
        if session.is_over(now, now) {
            return Err(SetError::Over);
        }
        if self.table.len() >= self.sessions_max && self.table.find(&key).is_none() {
            return Err(SetError::Full { max: self.sessions_max });
        }
        Ok(Update::Set { key, session: Arc::new(session), last_active: now })
    }

    /// What says that sessions were used; none, if it is no news.
    pub fn used(&self, uses: &[Use]) -> Option<Update> {
        let mut last: BTreeMap<SessionKey, WallTime> = BTreeMap::new();
        for Use { key, at } in uses.iter().take(KEYS_MAX) {
            if self.table.find(key).is_some_and(|(_, last_active)| *at > last_active) {
                let of = last.entry(*key).or_default();
                *of = (*of).max(*at);
            }
        }
        let uses: Vec<Use> = last.into_iter().map(|(key, at)| Use { key, at }).collect();
        (!uses.is_empty()).then_some(Update::Used { uses })
    }

    /// The keys of the sessions that are meant.
    pub fn find(&self, whose: Whose<'_>) -> Vec<SessionKey> {
        match whose {
            Whose::Key(key) => self.table.find(&key).map(|_| key).into_iter().collect(),
            Whose::Subject(name) => {
                self.named(&self.by_subject, name, |session| Some(&session.subject))
            }
            Whose::ProviderSession(name) => {
                self.named(&self.by_provider_session, name, |s| s.provider_session.as_deref())
            }
        }
    }

    fn named(
        &self,
        names: &Names,
        name: &str,
        of: impl Fn(&Session) -> Option<&str>,
    ) -> Vec<SessionKey> {
        let (first, last) = (SessionKey::from_bytes([0; 32]), SessionKey::from_bytes([0xff; 32]));
        let found = names.range((hash(name), first)..=(hash(name), last));
        let is_it = |key: &SessionKey| {
            self.table.find(key).is_some_and(|(session, _)| of(session) == Some(name))
        };
        found.map(|(_, key)| *key).filter(is_it).collect()
    }

    /// What logs these out.
    pub fn log_out(keys: &[SessionKey]) -> Vec<Update> {
        let ended =
            |keys: &[SessionKey]| Update::Ended { keys: keys.into(), cause: Cause::LoggedOut };
        keys.chunks(KEYS_MAX).map(ended).collect()
    }

    /// What removes sessions that have run out, some at a time.
    pub fn expire(&self, now: WallTime) -> Option<Update> {
        let due = self.by_end.iter().take_while(|(end, _)| *end <= now).take(KEYS_MAX);
        let keys: Vec<SessionKey> = due.map(|(_, key)| *key).collect();
        (!keys.is_empty()).then_some(Update::Ended { keys, cause: Cause::Expired })
    }

    /// When [`Register::expire`] has something to do next.
    pub fn expires_at(&self) -> Option<WallTime> {
        self.by_end.first().map(|(end, _)| *end)
    }

    /// Does what an update says.
    pub fn apply(&mut self, update: &Update) {
        match update {
            Update::Set { key, session, last_active } => {
                self.forget(key);
                self.index(*key, session, *last_active);
            }
            Update::Used { uses } => {
                for Use { key, at } in uses {
                    let Some((session, last_active)) = self.table.find(key) else { continue };
                    self.by_end.remove(&(ends_at(session, last_active), *key));
                    self.by_end.insert((ends_at(session, last_active.max(*at)), *key));
                }
            }
            Update::Ended { keys, .. } => keys.iter().for_each(|key| self.forget(key)),
        }
        self.table.apply(update);
    }

    fn index(&mut self, key: SessionKey, session: &Session, last_active: WallTime) {
        self.by_subject.insert((hash(&session.subject), key));
        if let Some(name) = &session.provider_session {
            self.by_provider_session.insert((hash(name), key));
        }
        self.by_end.insert((ends_at(session, last_active), key));
    }

    /// Takes a session out of what it is found by.
    fn forget(&mut self, key: &SessionKey) {
        let Some((session, last_active)) = self.table.find(key) else { return };
        self.by_end.remove(&(ends_at(session, last_active), *key));
        self.by_subject.remove(&(hash(&session.subject), *key));
        if let Some(name) = &session.provider_session {
            self.by_provider_session.remove(&(hash(name), *key));
        }
    }

    /// The sessions with these keys, to be shown.
    pub fn list(&self, keys: impl IntoIterator<Item = SessionKey>) -> Vec<Listed> {
        let listed = |key: SessionKey| {
            let (session, last_active) = self.table.find(&key)?;
            Some(Listed {
                key,
                subject: session.subject.clone(),
                authenticated_at_ms: session.authenticated_at.millis(),
                last_active_ms: last_active.millis(),
                provider_session: session.provider_session.clone(),
            })
        };
        keys.into_iter().filter_map(listed).collect()
    }
}

/// When nobody can think any more that a session is there: it may have been used where the
/// news of it is still under way.
fn ends_at(session: &Session, last_active: WallTime) -> WallTime {
    let idle = last_active + session.idle_limit + tell_every(session) + NEWS_DELAY;
    idle.min(session.authenticated_at + session.absolute_limit)
}

fn hash(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(name));
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{at, key, set};

    fn register() -> Register {
        let mut register = Register::new(Table::default(), 3);
        for (number, subject) in [(1, "alice"), (2, "alice"), (3, "bob")] {
            register.apply(&set(number, subject));
        }
        register
    }

    fn session(subject: &str) -> Session {
        let Update::Set { session, .. } = set(9, subject) else { unreachable!() };
        Session::clone(&session)
    }

    fn out(register: &mut Register, whose: Whose<'_>) -> usize {
        let keys = register.find(whose);
        Register::log_out(&keys).iter().for_each(|update| register.apply(update));
        keys.len()
    }

    #[test]
    fn sessions_are_found_by_key_by_subject_and_by_the_providers_session() {
        for (whose, found, left) in [
            (Whose::Key(key(1)), 1, 2),
            (Whose::Key(key(9)), 0, 3),
            (Whose::Subject("alice"), 2, 1),
            (Whose::Subject("carol"), 0, 3),
            (Whose::ProviderSession("provider-bob"), 1, 2),
        ] {
            let mut register = register();
            assert_eq!(out(&mut register, whose), found, "{whose:?}");
            assert_eq!(register.table().len(), left, "{whose:?}");
            assert!(register.find(whose).is_empty());
        }
    }

    #[test]
    fn a_loaded_register_is_the_one_that_was_written() {
        let written = register();
        let loaded = Register::new(written.table().clone(), 3);
        assert_eq!(format!("{loaded:?}"), format!("{written:?}"));
    }

    #[test]
    fn what_is_found_by_nothing_leaves_nothing() {
        let mut register = register();
        register.apply(&set(1, "bob"));
        assert_eq!(register.find(Whose::Subject("alice")), [key(2)]);
        for subject in ["alice", "bob"] {
            out(&mut register, Whose::Subject(subject));
        }
        assert!(register.by_end.is_empty() && register.by_subject.is_empty());
        assert!(register.by_provider_session.is_empty() && register.table.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let register = register();
        assert_eq!(register.set(key(4), session("dan"), at(0)), Err(SetError::Full { max: 3 }));
        assert!(register.set(key(3), session("dan"), at(0)).is_ok());
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", &long, " dan", "dan\t", "dan\r\nX-Admin: yes", "d\0an", "d\u{85}an"] {
            let refused = register.set(key(3), session(name), at(0));
            assert_eq!(refused, Err(SetError::Name { what: "subject" }), "{name:?}");
        }
        assert_eq!(register.set(key(3), session("dan"), at(1_000)), Err(SetError::Over));
    }

    #[test]
    fn a_session_is_removed_when_no_news_of_its_use_can_come() {
        let mut register = register();
        // 160 of idle limit, 10 between two tells, 5 under way.
        assert_eq!(register.expires_at(), Some(at(175)));
        assert_eq!(register.expire(at(174)), None);
        let used = register.used(&[Use { key: key(2), at: at(170) }]).unwrap();
        register.apply(&used);
        assert_eq!(register.used(&[Use { key: key(2), at: at(170) }]), None);
        let expired = register.expire(at(175)).unwrap();
        assert_eq!(expired, Update::Ended { keys: vec![key(1), key(3)], cause: Cause::Expired });
        register.apply(&expired);
        assert_eq!(register.expires_at(), Some(at(345)));
        let used = register.used(&[Use { key: key(2), at: at(990) }]).unwrap();
        register.apply(&used);
        assert_eq!(register.expires_at(), Some(at(1_000)));
    }

    #[test]
    fn a_large_logout_is_cut_into_updates_of_limited_size() {
        let keys = vec![key(1); KEYS_MAX * 2 + 1];
        let updates = Register::log_out(&keys);
        assert_eq!(updates.len(), 3);
        assert!(Register::log_out(&[]).is_empty());
    }
}
