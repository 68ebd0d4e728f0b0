//! Who is logged in: what whoever logs users in says on the session channel, and how broadcast
//! brings it to every process.
//!
//! The session channel is lines like the command channel's ([`crate::caller`]): one JSON object
//! a line, one answer to each, in their order; on TCP the first line names the token. An id is
//! made a key as soon as it is read, and is written down nowhere.
//!
//! What broadcast tells processes is numbered, from 1 and without gaps, within an **epoch**:
//! the life of one journal. A process that holds another epoch's table, or one that is too far
//! behind, is given the files of the journal and loads them.

use std::sync::Arc;

use mainstay_model::{Session, SessionId, SessionKey, WallTime};
use serde::{Deserialize, Serialize};

/// Longest line of a caller.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Longest subject, and longest name of a provider's session.
pub const NAME_BYTES_MAX: usize = 256;

/// Most keys, or uses, in one update.
pub const KEYS_MAX: usize = 256;

/// Most sessions in the answer to [`Request::List`].
pub const LIST_MAX: usize = 64;

/// One change of the table. The same updates in the same order make the same table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "update", rename_all = "snake_case")]
pub enum Update {
    /// This session is there from now on.
    Set { key: SessionKey, session: Arc<Session>, last_active: WallTime },
    /// Sessions were used.
    Used { uses: Vec<Use> },
    /// Sessions are over. Keys, and not what they were found by: every process does the same.
    Ended { keys: Vec<SessionKey>, cause: Cause },
}

/// When a session was used last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    pub key: SessionKey,
    pub at: WallTime,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    LoggedOut,
    Expired,
}

/// How far a table has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The journal whose updates it holds.
    pub epoch: u64,
    /// The last update that is in it; 0: none.
    pub number: u64,
}

/// Broadcast to a process, about its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToReplica {
    /// Read these files of the journal, up to this place, in the stead of what you have. So
    /// many descriptors travel with it: a snapshot, then what follows it. Answered with
    /// [`ToRegister::Applied`].
    Load { place: Place, files: u16 },
    /// Apply these, the first of which has this number; there may be none. Answered the same
    /// way, when no thread of the process goes by what was before.
    Apply { first: u64, updates: Vec<Arc<Update>>, then: Then },
}

/// What a process does when its table has come so far. One that serves goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It accepts nobody yet: there is more.
    Wait,
    /// It accepts whoever its table has. From now on others wait for it.
    Serve,
}

/// A process to broadcast, about its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToRegister {
    /// After Hello: this is what I accept sessions by. None: I accept nobody.
    At { held: Option<Place> },
    /// My table has come so far.
    Applied { number: u64 },
    /// Sessions were used here, at most [`KEYS_MAX`] of them.
    Used { uses: Vec<Use> },
}

/// A line of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Somebody is logged in. If the id is known, this takes the place of what was.
    Set(Box<Login>),
    /// A session was used.
    Touch { id: SessionId },
    /// Sessions are over. Answered with `done` only when no process accepts them any more.
    Logout(Whose),
    /// How many there are, and how processes stand.
    Status {},
    /// The sessions of a subject, up to [`LIST_MAX`]; without one, of anybody.
    List {
        #[serde(default)]
        subject: Option<String>,
    },
}

/// A session as it is announced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// 256 random bits in base64url: what the cookie carries.
    pub id: SessionId,
    pub subject: String,
    #[serde(default)]
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Milliseconds since 1970; now, if it is not said.
    #[serde(default)]
    pub authenticated_at_ms: Option<u64>,
    /// As the configuration says, if it is not said.
    #[serde(default)]
    pub idle_limit_ms: Option<u64>,
    #[serde(default)]
    pub absolute_limit_ms: Option<u64>,
    #[serde(default)]
    pub provider_session: Option<String>,
}

/// Whose sessions are over: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SessionId>,
    /// The one with this key, as [`Request::List`] shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SessionKey>,
    /// All sessions of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// All that came of this session at the identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session: Option<String>,
}

/// The answer to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Reply {
    /// Every process has it, and so many sessions were meant.
    Done {
        sessions: u64,
    },
    /// The line was no request, or cannot be carried out; nothing was done.
    Refused {
        reason: String,
    },
    /// It is written down and will be carried out, but not every process has said that it was.
    /// For a logout this is no promise: ask again.
    Unconfirmed {
        reason: String,
    },
    Status(Status),
    List {
        sessions: Vec<Listed>,
        /// Of those that were asked for, how many there are.
        all: u64,
    },
}

/// How the table stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub sessions: u64,
    pub sessions_max: u64,
    pub epoch: u64,
    /// The last update.
    pub number: u64,
    /// The last update that is on the disk.
    pub committed: u64,
    /// The last update that every process has.
    pub confirmed: u64,
    /// Updates since the last snapshot, in bytes.
    pub journal_bytes: u64,
    pub processes: Vec<Standing>,
}

/// What broadcast counts, for the master's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub sessions_max: u64,
    /// The last update.
    pub number: u64,
    /// Updates since the last snapshot, in bytes.
    pub journal_bytes: u64,
    /// Waits for the disk since broadcast started.
    pub commits: u64,
    /// How long the oldest update of each had waited, together.
    pub commit_micros: u64,
}

/// How far a process has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub process: String,
    pub pid: u32,
    /// The last update it has; none: it holds no table.
    pub number: Option<u64>,
}

/// A session as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The SHA-256 of its id, in hexadecimal.
    pub key: SessionKey,
    pub subject: String,
    pub authenticated_at_ms: u64,
    pub last_active_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK-2vcTL0tk";

    #[test]
    fn a_request_is_a_word_and_what_it_needs() {
        let id: SessionId = ID.parse().unwrap();
        let whose = |id, subject: Option<&str>, provider: Option<&str>| {
            Request::Logout(Whose {
                id,
                key: None,
                subject: subject.map(str::to_owned),
                provider_session: provider.map(str::to_owned),
            })
        };
        let rows = [
            (format!(r#"{{"command":"touch","id":"{ID}"}}"#), Some(Request::Touch { id })),
            (format!(r#"{{"command":"logout","id":"{ID}"}}"#), Some(whose(Some(id), None, None))),
            (
                r#"{"command":"logout","subject":"alice"}"#.to_owned(),
                Some(whose(None, Some("alice"), None)),
            ),
            (
                r#"{"command":"logout","provider_session":"s"}"#.to_owned(),
                Some(whose(None, None, Some("s"))),
            ),
            (r#"{"command":"status"}"#.to_owned(), Some(Request::Status {})),
            (r#"{"command":"list"}"#.to_owned(), Some(Request::List { subject: None })),
            (r#"{"command":"touch","id":"short"}"#.to_owned(), None),
            (r#"{"command":"logout","id":7}"#.to_owned(), None),
            (r#"{"command":"logout","user":"alice"}"#.to_owned(), None),
            (r#"{"command":"set","subject":"alice"}"#.to_owned(), None),
            (r#"{"command":"halt"}"#.to_owned(), None),
        ];
        for (line, expected) in rows {
            assert_eq!(serde_json::from_str(&line).ok(), expected, "{line}");
        }
    }

    #[test]
    fn a_login_needs_an_id_and_a_subject_and_is_not_printed() {
        let line = format!(
            r#"{{"command":"set","id":"{ID}","subject":"alice","claims":{{"groups":["a"]}},"idle_limit_ms":5}}"#
        );
        let Request::Set(login) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!((login.subject.as_str(), login.idle_limit_ms), ("alice", Some(5)));
        assert_eq!(login.claims.len(), 1);
        assert!(!format!("{login:?}").contains("alice"));
    }

    #[test]
    fn a_reply_says_how_it_ended_first() {
        let rows = [
            (Reply::Done { sessions: 2 }, r#"{"outcome":"done","sessions":2}"#),
            (
                Reply::Unconfirmed { reason: "no master".to_owned() },
                r#"{"outcome":"unconfirmed","reason":"no master"}"#,
            ),
        ];
        for (reply, expected) in rows {
            assert_eq!(serde_json::to_string(&reply).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Reply>(expected).unwrap(), reply);
        }
    }
}
