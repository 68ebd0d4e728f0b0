//! An update as bytes, for the journal.
//!
//! Binary, because a gateway that starts reads a hundred thousand of them before it serves.
//! Numbers are little endian; a text has its length ahead, in two bytes.
//!
//! ```text
//! 1 Set    key 32 │ authenticated 8 │ idle 8 │ absolute 8 │ last active 8 │ subject │ claims │ 0, or 1 and provider session
//! 2 Used   count 2 │ (key 32 │ at 8) …
//! 3 Ended  cause 1 │ count 2 │ (key 32) …
//! ```

use std::sync::Arc;
use std::time::Duration;

use mainstay_model::{Claims, Session, SessionKey, WallTime};
use mainstay_wire::session::{Cause, Update, Use};

const SET: u8 = 1;
const USED: u8 = 2;
const ENDED: u8 = 3;

/// Bytes that are no update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no update of sessions")]
pub struct NotAnUpdate;

/// Writes an update at the end of `into`.
///
/// # Panics
///
/// If a text or a list is longer than updates may have: whoever makes one checks that.
pub fn encode(update: &Update, into: &mut Vec<u8>) {
    match update {
        Update::Set { key, session, last_active } => {
            into.push(SET);
            into.extend_from_slice(key.bytes());
            put_time(session.authenticated_at, into);
            put_duration(session.idle_limit, into);
            put_duration(session.absolute_limit, into);
            put_time(*last_active, into);
            put_text(&session.subject, into);
            put_text(session.claims.as_str(), into);
            match &session.provider_session {
                None => into.push(0),
                Some(name) => {
                    into.push(1);
                    put_text(name, into);
                }
            }
        }
        Update::Used { uses } => {
            into.push(USED);
            put_count(uses.len(), into);
            for Use { key, at } in uses {
                into.extend_from_slice(key.bytes());
                put_time(*at, into);
            }
        }
        Update::Ended { keys, cause } => {
            into.push(ENDED);
            into.push(match cause {
                Cause::LoggedOut => 0,
                Cause::Expired => 1,
            });
            put_count(keys.len(), into);
            keys.iter().for_each(|key| into.extend_from_slice(key.bytes()));
        }
    }
}

/// Reads an update that is the whole of `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Update, NotAnUpdate> {
    let mut rest = Rest(bytes);
    let update = rest.update().ok_or(NotAnUpdate)?;
    if rest.0.is_empty() { Ok(update) } else { Err(NotAnUpdate) }
}

fn put_time(time: WallTime, into: &mut Vec<u8>) {
    into.extend_from_slice(&time.millis().to_le_bytes());
}

fn put_duration(duration: Duration, into: &mut Vec<u8>) {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    into.extend_from_slice(&millis.to_le_bytes());
}

fn put_count(count: usize, into: &mut Vec<u8>) {
    let count = u16::try_from(count).expect("an update is within its limits");
    into.extend_from_slice(&count.to_le_bytes());
}

fn put_text(text: &str, into: &mut Vec<u8>) {
    put_count(text.len(), into);
    into.extend_from_slice(text.as_bytes());
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn update(&mut self) -> Option<Update> {
        match self.byte()? {
            SET => {
                let key = self.key()?;
                let authenticated_at = self.time()?;
                let idle_limit = Duration::from_millis(self.number()?);
                let absolute_limit = Duration::from_millis(self.number()?);
                let last_active = self.time()?;
                let subject = self.text()?.to_owned();
                let claims = Claims::trusted(self.text()?);
                let provider_session = match self.byte()? {
                    0 => None,
                    1 => Some(self.text()?.to_owned()),
                    _ => return None,
                };
                let session = Arc::new(Session {
                    subject,
                    claims,
                    authenticated_at,
                    idle_limit,
                    absolute_limit,
                    provider_session,
                });
                Some(Update::Set { key, session, last_active })
            }
            USED => {
                let uses = (0..self.count()?)
                    .map(|_| Some(Use { key: self.key()?, at: self.time()? }))
                    .collect::<Option<_>>()?;
                Some(Update::Used { uses })
            }
            ENDED => {
                let cause = match self.byte()? {
                    0 => Cause::LoggedOut,
                    1 => Cause::Expired,
                    _ => return None,
                };
                let keys = (0..self.count()?).map(|_| self.key()).collect::<Option<_>>()?;
                Some(Update::Ended { keys, cause })
            }
            _ => None,
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn count(&mut self) -> Option<usize> {
        self.array().map(|bytes| u16::from_le_bytes(bytes).into())
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Option<WallTime> {
        self.number().map(WallTime::from_millis)
    }

    fn key(&mut self) -> Option<SessionKey> {
        self.array().map(SessionKey::from_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let count = self.count()?;
        std::str::from_utf8(self.take(count)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn updates() -> impl Strategy<Value = Update> {
        let key = || any::<[u8; 32]>().prop_map(SessionKey::from_bytes);
        let time = || any::<u64>().prop_map(WallTime::from_millis);
        let limit = || any::<u64>().prop_map(Duration::from_millis);
        let set =
            (key(), ".{0,20}", time(), limit(), limit(), proptest::option::of(".{0,9}"), time())
                .prop_map(
                    |(key, subject, authenticated_at, idle, absolute, provider_session, last)| {
                        let session = Session {
                            claims: Claims::trusted(&format!("{{\"name\":{subject:?}}}")),
                            subject,
                            authenticated_at,
                            idle_limit: idle,
                            absolute_limit: absolute,
                            provider_session,
                        };
                        Update::Set { key, session: Arc::new(session), last_active: last }
                    },
                );
        let uses = proptest::collection::vec((key(), time()), 0..9).prop_map(|uses| Update::Used {
            uses: uses.into_iter().map(|(key, at)| Use { key, at }).collect(),
        });
        let cause = prop_oneof![Just(Cause::LoggedOut), Just(Cause::Expired)];
        let ended = (proptest::collection::vec(key(), 0..9), cause)
            .prop_map(|(keys, cause)| Update::Ended { keys, cause });
        prop_oneof![set, uses, ended]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(update in updates()) {
            let mut bytes = Vec::new();
            encode(&update, &mut bytes);
            prop_assert_eq!(decode(&bytes), Ok(update));
        }

        #[test]
        fn what_is_cut_or_too_long_is_refused(update in updates(), cut in any::<proptest::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&update, &mut bytes);
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), Err(NotAnUpdate));
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), Err(NotAnUpdate));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(update) = decode(&bytes) {
                let mut again = Vec::new();
                encode(&update, &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
