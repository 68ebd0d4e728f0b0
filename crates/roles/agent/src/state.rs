//! Who an agent is, and where its exchanges stand: what it must not forget.

use mainstay_model::InstanceUid;
use mainstay_opamp::events::STREAM_BYTES;
use mainstay_opamp::message::{RemoteConfigStatus, RemoteConfigStatuses};
use mainstay_trust::token::{self, from_text, to_text};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;

/// What is kept of an agent. The secret of a token is in it until it has joined: it is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) uid: String,
    pub(crate) fingerprint: Fingerprint,
    /// Of the next request.
    pub(crate) sequence: u64,
    /// The token of the next request.
    pub(crate) chain: Bytes,
    /// How it may join; none: it has.
    pub(crate) joining: Option<Joining>,
    /// The queue's name.
    pub(crate) stream: Bytes,
    /// Number of the last event that is in the managers' database.
    pub(crate) durable_through: u64,
    pub(crate) database: String,
    pub(crate) group: String,
    /// What managers say how often they want to be asked.
    pub(crate) poll_s: Option<u64>,
    /// Of the connection settings that are in use.
    pub(crate) connection: Bytes,
    /// Those that were offered last, if they are not used.
    #[serde(default)]
    pub(crate) refused: Option<RefusedSettings>,
    /// The last configuration that was offered.
    pub(crate) offer: Option<Offer>,
    pub(crate) last_switch: Option<SwitchNote>,
}

/// What a join needs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joining {
    pub(crate) secret: Bytes,
    pub(crate) group: String,
}

/// Connection settings with which no manager is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedSettings {
    pub(crate) hash: Bytes,
    pub(crate) reason: String,
}

/// What became of a configuration that was offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) hash: Bytes,
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Applying,
    Applied,
    Failed,
}

/// A switch as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SwitchNote {
    pub(crate) unix_ms: u64,
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    pub(crate) reason: String,
    /// How long the former one had failed by then.
    #[serde(default)]
    pub(crate) after_ms: u64,
}

/// Bytes that are written as base64url.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// A text that is not base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64url")]
pub(crate) struct NotBytes;

impl TryFrom<String> for Bytes {
    type Error = NotBytes;

    fn try_from(text: String) -> Result<Self, NotBytes> {
        from_text(&text).map(Self).ok_or(NotBytes)
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        to_text(&bytes.0)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("State");
        shown.field("uid", &self.uid).field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl State {
    /// Of a host that is about to join.
    pub(crate) fn new(uid: InstanceUid, fingerprint: Fingerprint, joining: Joining) -> Self {
        Self {
            uid: uid.to_string(),
            fingerprint,
            sequence: 1,
            chain: Bytes::default(),
            joining: Some(joining),
            stream: Bytes(token::random::<STREAM_BYTES>().to_vec()),
            durable_through: 0,
            database: String::new(),
            group: String::new(),
            poll_s: None,
            connection: Bytes::default(),
            refused: None,
            offer: None,
            last_switch: None,
        }
    }

    /// What became of the last offer, as OpAMP says it.
    pub(crate) fn config_status(&self) -> Option<RemoteConfigStatus> {
        let offer = self.offer.as_ref()?;
        let status = match offer.outcome {
            Outcome::Applying => RemoteConfigStatuses::Applying,
            Outcome::Applied => RemoteConfigStatuses::Applied,
            Outcome::Failed => RemoteConfigStatuses::Failed,
        };
        Some(RemoteConfigStatus {
            last_remote_config_hash: offer.hash.0.clone(),
            status: status.into(),
            error_message: offer.message.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_prints_no_secret() {
        let joining = Joining { secret: Bytes(vec![7; 16]), group: "edge".to_owned() };
        let mut state = State::new(InstanceUid::new(1, [2; 10]), Fingerprint::take(), joining);
        state.offer = Some(Offer {
            hash: Bytes(vec![1]),
            outcome: Outcome::Failed,
            message: "no".to_owned(),
        });
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        let printed = format!("{state:?}");
        assert!(!printed.contains("secret") && !printed.contains(&to_text(&[7; 16])), "{printed}");
        assert_eq!(state.config_status().unwrap().status(), RemoteConfigStatuses::Failed);
    }
}
