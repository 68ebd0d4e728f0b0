//! What was not done, for machines and people: `application/problem+json` (RFC 9457).

use std::time::Duration;

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use mainstay_database::{Role, StoreError};
use mainstay_model::Chain;
use serde_json::{Map, Value};
use tracing::warn;

use super::answer::{Body, whole};

const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// After how long it is worth to ask a database again that does not answer.
const AGAIN: Duration = Duration::from_secs(2);

/// The answer to a request that was not done.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The last part of its type.
    name: &'static str,
    title: &'static str,
    /// One sentence about this time.
    detail: String,
    /// A configuration's, each at its place.
    places: Vec<Value>,
    /// What may be done here instead.
    allow: Option<&'static str>,
    after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, title: &'static str) -> Self {
        let (detail, places) = (String::new(), Vec::new());
        Self { status, name, title, detail, places, allow: None, after: None }
    }

    fn with(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    pub(super) fn unauthorized() -> Self {
        let title = "A session or a token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title)
    }

    pub(super) fn wrong_login() -> Self {
        let title = "Name or password is wrong";
        Self::new(StatusCode::UNAUTHORIZED, "wrong-login", title)
    }

    pub(super) fn forbidden(needed: Role) -> Self {
        let needed = super::users::role(needed);
        let title = "Your role does not allow this";
        Self::new(StatusCode::FORBIDDEN, "forbidden", title).with(format!("it needs {needed}"))
    }

    pub(super) fn foreign(detail: &str) -> Self {
        let title = "The request does not come from where it should";
        Self::new(StatusCode::FORBIDDEN, "foreign", title).with(detail)
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing").with(what)
    }

    pub(super) fn not_allowed(allow: &'static str) -> Self {
        let title = "The method is not allowed here";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "not-allowed", title);
        Self { allow: Some(allow), ..problem }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        let title = "The request cannot be understood";
        Self::new(StatusCode::BAD_REQUEST, "bad-request", title).with(detail)
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        let title = "The request is understood, and not valid";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", title).with(detail)
    }

    /// A configuration with problems, each at its place.
    pub(super) fn configuration(places: Vec<Value>) -> Self {
        let title = "The configuration is not valid";
        let name = "invalid-configuration";
        Self { places, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, name, title) }
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        let title = "Something else stands against it";
        Self::new(StatusCode::CONFLICT, "conflict", title).with(detail)
    }

    pub(super) fn media_type() -> Self {
        let title = "The body has to be application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", title)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let title = "The body is too large";
        let problem = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title);
        problem.with(format!("it may have {limit} bytes"))
    }

    pub(super) fn too_slow() -> Self {
        let title = "The request took too long to arrive";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", title)
    }

    pub(super) fn too_many(after: Duration) -> Self {
        let title = "Too many tries";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", title);
        Self { after: Some(after), ..problem }
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let title = "The manager cannot do this now";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title);
        Self { after: Some(AGAIN), ..problem.with(detail) }
    }

    fn broken() -> Self {
        let title = "The manager failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", title)
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut text = Map::new();
        text.insert("type".to_owned(), format!("urn:mainstay:problem:{}", self.name).into());
        text.insert("title".to_owned(), self.title.into());
        text.insert("status".to_owned(), self.status.as_u16().into());
        if !self.detail.is_empty() {
            text.insert("detail".to_owned(), self.detail.into());
        }
        if !self.places.is_empty() {
            text.insert("problems".to_owned(), self.places.into());
        }
        let text = Value::from(text);
        let mut response = whole(self.status, TYPE, format!("{text}\n"));
        let fields = response.headers_mut();
        if let Some(allow) = self.allow {
            fields.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(after) = self.after {
            fields.insert(RETRY_AFTER, after.as_secs().max(1).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing { .. } => Self::not_found(error.to_string()),
            StoreError::Exists { .. }
            | StoreError::InUse { .. }
            | StoreError::LastAdministrator
            | StoreError::Changed { .. } => Self::conflict(error.to_string()),
            StoreError::Unavailable { .. } | StoreError::Closed | StoreError::Busy => {
                warn!(error = %Chain(&error), "the database did not answer an operator");
                Self::unavailable("the database does not answer")
            }
            StoreError::Failed { .. }
            | StoreError::Certificates { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Schema { .. } => {
                warn!(error = %Chain(&error), "the database failed an operator");
                Self::broken()
            }
        }
    }
}
