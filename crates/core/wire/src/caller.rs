//! What a caller says on the command channel, and what it is answered: one JSON object a line,
//! one answer to each, in their order.
//!
//! For scripts and for people with `socat`. On the Unix socket the kernel says who the caller
//! is; on TCP its first line is a [`Welcome`].

use mainstay_model::Generation;
use serde::{Deserialize, Serialize};

use crate::broadcast::Outcome;

/// Longest line, either way.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The first line of a caller on TCP.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// As the token file has it.
    pub token: String,
}

/// A line of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Put a generation into service that is kept: a staged one, or one that was served before.
    Apply { generation: Generation },
    /// How every process is, in its own words.
    Status {},
    /// How the service that logs users in is, as every process sees it.
    EspStatus {},
    /// Read again what requests are decided by.
    PolicyRefresh {},
    /// Forget every response that is kept.
    PurgeCache {},
    /// Exchange active and standby.
    Swap {},
}

/// The answer to a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    Outcome(Outcome),
    Refused(Refused),
}

/// The line was no request; nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename = "refused")]
pub struct Refused {
    pub reason: String,
}

impl std::fmt::Debug for Welcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Welcome").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use mainstay_model::Process;

    use super::*;

    #[test]
    fn a_request_is_a_word_and_what_it_needs() {
        let rows = [
            (
                r#"{"command":"apply","generation":8}"#,
                Some(Request::Apply { generation: "8".parse().unwrap() }),
            ),
            (r#"{"command":"status"}"#, Some(Request::Status {})),
            (r#"{"command":"esp-status"}"#, Some(Request::EspStatus {})),
            (r#"{"command":"policy-refresh"}"#, Some(Request::PolicyRefresh {})),
            (r#"{"command":"purge-cache"}"#, Some(Request::PurgeCache {})),
            (r#"{"command":"swap"}"#, Some(Request::Swap {})),
            (r#"{"command":"apply"}"#, None),
            (r#"{"command":"apply","generation":0}"#, None),
            (r#"{"command":"swap","now":true}"#, None),
            (r#"{"command":"halt"}"#, None),
            ("swap", None),
        ];
        for (line, expected) in rows {
            assert_eq!(serde_json::from_str(line).ok(), expected, "{line}");
        }
    }

    #[test]
    fn a_reply_says_how_it_ended_first() {
        let failed = Outcome::Failed { process: Process::Master, reason: "it died".to_owned() };
        let rows = [
            (Reply::Outcome(Outcome::Busy), r#"{"outcome":"busy"}"#),
            (
                Reply::Outcome(failed),
                r#"{"outcome":"failed","process":"master","reason":"it died"}"#,
            ),
            (
                Reply::Refused(Refused { reason: "no".to_owned() }),
                r#"{"outcome":"refused","reason":"no"}"#,
            ),
        ];
        for (reply, expected) in rows {
            assert_eq!(serde_json::to_string(&reply).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Reply>(expected).unwrap(), reply);
        }
    }
}
