//! What went wrong, for machines and people: `application/problem+json` (RFC 9457).

use hyper::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use mainstay_wire::broadcast::Outcome;
use serde_json::{Map, Value, json};

use super::answer::{Body, whole};

const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

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
}

impl Problem {
    const fn new(
        status: StatusCode,
        name: &'static str,
        title: &'static str,
        detail: String,
    ) -> Self {
        Self { status, name, title, detail, places: Vec::new(), allow: None }
    }

    pub(super) const fn unauthorized() -> Self {
        let title = "A token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, String::new())
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing", detail.into())
    }

    pub(super) fn not_allowed(allow: &'static str) -> Self {
        let title = "The method is not allowed here";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self { allow: Some(allow), ..Self::new(status, "not-allowed", title, String::new()) }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        let title = "The request cannot be understood";
        Self::new(StatusCode::BAD_REQUEST, "bad-request", title, detail.into())
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("the body may have {limit} bytes");
        let title = "The body is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
    }

    pub(super) const fn too_slow() -> Self {
        let title = "The request took too long to arrive";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", title, String::new())
    }

    pub(super) const fn unavailable(detail: String) -> Self {
        let title = "The gateway cannot do this now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail)
    }

    /// What the master said of a configuration, or of the order.
    pub(super) fn refused(reason: String) -> Self {
        let places: Option<Vec<Value>> = reason.lines().map(place).collect();
        match places {
            Some(places) if !places.is_empty() => {
                let title = "The configuration is not valid";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self { places, ..Self::new(status, "invalid-configuration", title, reason) }
            }
            Some(_) | None => {
                let title = "The gateway refused this";
                Self::new(StatusCode::CONFLICT, "refused", title, reason)
            }
        }
    }

    /// What came of an order to every process, if it was not done.
    pub(super) fn of_order(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed { process, reason } => {
                let title = "A process did not do it, and nothing is left of it";
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "failed", title, format!("{process}: {reason}"))
            }
            Outcome::Busy => Self::refused("another order is under way".to_owned()),
            Outcome::Done { .. } => {
                Self::unavailable("broadcast answered something else".to_owned())
            }
        }
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
        let mut response = whole(self.status, TYPE, text.to_string() + "\n");
        let fields = response.headers_mut();
        if let Some(allow) = self.allow {
            fields.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `gateway.toml:3:7: sentence`
fn place(line: &str) -> Option<Value> {
    let mut parts = line.splitn(4, ':');
    let (file, at) = (parts.next()?, parts.next()?.parse::<u64>().ok()?);
    let (column, sentence) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.trim_start());
    Some(json!({ "file": file, "line": at, "column": column, "sentence": sentence }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_configuration_has_its_places() {
        let reason = "gateway.toml:3:7: \"x\" is not a key: y\ngateway.toml:12:1: no";
        let problem = Problem::refused(reason.to_owned());
        assert_eq!(problem.status.as_u16(), 422);
        let expected = json!([
            { "file": "gateway.toml", "line": 3, "column": 7, "sentence": "\"x\" is not a key: y" },
            { "file": "gateway.toml", "line": 12, "column": 1, "sentence": "no" },
        ]);
        assert_eq!(Value::from(problem.places), expected);
    }

    #[test]
    fn another_refusal_is_a_conflict() {
        for reason in ["another apply is under way", "hook x: y\nz", ""] {
            assert_eq!(Problem::refused(reason.to_owned()).status.as_u16(), 409, "{reason}");
        }
    }
}
