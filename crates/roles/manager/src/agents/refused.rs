//! Why an exchange is not carried out, as a response.

use std::time::Duration;

use mainstay_database::StoreError;
use mainstay_model::{Chain, InstanceUid};
use mainstay_opamp::message::{
    RetryInfo, ServerErrorResponse, ServerErrorResponseType, ServerToAgent,
};
use mainstay_opamp::refusal::Refusal;
use tracing::debug;

use crate::fleet::{Fleet, spread};

/// The shortest wait that an agent is told.
const RETRY_MIN: Duration = Duration::from_secs(1);

const TOO_MANY_REQUESTS: u16 = 429;

/// A refusal with all that goes with it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) status: u16,
    pub(super) sentence: String,
    pub(super) retry_after: Option<Duration>,
    /// What a request to register anew has to bring as its nonce.
    pub(super) challenge: Option<String>,
}

impl Refused {
    pub(super) fn new(refusal: Refusal, sentence: impl Into<String>) -> Self {
        Self {
            refusal,
            status: refusal.status(),
            sentence: sentence.into(),
            retry_after: None,
            challenge: None,
        }
    }

    /// The error of something that cannot be read.
    pub(super) fn malformed(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(Refusal::Malformed, Chain(error).to_string())
    }

    /// Come back later: some time within one poll.
    pub(super) fn later(fleet: &Fleet, refusal: Refusal, sentence: &str) -> Self {
        let wait = spread(RETRY_MIN, fleet.settings.agents.poll.max(RETRY_MIN));
        Self { retry_after: Some(wait), ..Self::new(refusal, sentence) }
    }

    /// More agents ask than there should be in a fleet of this size.
    pub(super) fn in_a_row(after: Duration) -> Self {
        let sentence = "more agents ask than a fleet of this size has, or than rate_min says";
        Self {
            status: TOO_MANY_REQUESTS,
            retry_after: Some(after),
            ..Self::new(Refusal::Overloaded, sentence)
        }
    }

    /// The database did not do what it was asked.
    pub(super) fn store(fleet: &Fleet, error: &StoreError) -> Self {
        debug!(error = %Chain(error), "the database did not answer an exchange");
        let refusal = match error {
            StoreError::Busy => Refusal::Overloaded,
            _ => Refusal::NoDatabase,
        };
        Self::later(fleet, refusal, "the database did not answer")
    }

    /// As OpAMP says it.
    pub(super) fn message(&self, uid: Option<InstanceUid>) -> ServerToAgent {
        let kind = if self.refusal.may_pass() {
            ServerErrorResponseType::Unavailable
        } else {
            ServerErrorResponseType::BadRequest
        };
        let nanoseconds = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let error = ServerErrorResponse {
            r#type: kind.into(),
            error_message: self.sentence.clone(),
            retry_info: self
                .retry_after
                .map(|wait| RetryInfo { retry_after_nanoseconds: nanoseconds(wait) }),
        };
        ServerToAgent {
            instance_uid: uid.map(Vec::from).unwrap_or_default(),
            error_response: Some(error),
            ..ServerToAgent::default()
        }
    }
}
