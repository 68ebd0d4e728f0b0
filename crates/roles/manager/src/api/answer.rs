//! Responses, and what is in them.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use mainstay_database::Page;
use mainstay_trust::token;
use serde_json::{Value, json};

use super::problem::Problem;

/// What is sent back.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What comes of a request.
pub(super) type Answered = Result<Response<Body>, Problem>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers are data, whatever a browser takes them for.
const POLICY: (HeaderName, HeaderValue) = (
    HeaderName::from_static("content-security-policy"),
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
);

/// What was asked for.
pub(super) fn ok(value: &Value) -> Answered {
    Ok(whole(StatusCode::OK, JSON, format!("{value}\n")))
}

/// What was made.
pub(super) fn created(value: &Value) -> Answered {
    Ok(whole(StatusCode::CREATED, JSON, format!("{value}\n")))
}

/// It is done, and there is nothing to say.
pub(super) fn done() -> Answered {
    let mut response = whole(StatusCode::NO_CONTENT, JSON, "");
    response.headers_mut().remove(CONTENT_TYPE);
    Ok(response)
}

/// A text as it is.
pub(super) fn text(media_type: &'static str, text: impl Into<Bytes>) -> Answered {
    Ok(whole(StatusCode::OK, HeaderValue::from_static(media_type), text))
}

/// A part of a list, and where the next one begins.
pub(super) fn page<T>(page: &Page<T>, view: impl Fn(&T) -> Value) -> Answered {
    let rows: Vec<Value> = page.rows.iter().map(view).collect();
    // In letters that stand in a query as they are.
    let next = page.next.as_ref().map(|next| token::to_text(next.as_bytes()));
    ok(&json!({ "items": rows, "next": next }))
}

/// A list that is short enough to be one.
pub(super) fn list<T>(rows: &[T], view: impl Fn(&T) -> Value) -> Answered {
    ok(&json!({ "items": rows.iter().map(view).collect::<Vec<_>>(), "next": null }))
}

/// What the database has as bytes: JSON if it is some, else text.
pub(super) fn stored(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

/// A response that is there at once.
pub(super) fn whole(
    status: StatusCode,
    media_type: HeaderValue,
    text: impl Into<Bytes>,
) -> Response<Body> {
    respond(status, media_type, Full::new(text.into()).boxed_unsync())
}

/// A response with this body.
pub(super) fn respond(status: StatusCode, media_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, media_type);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(POLICY.0, POLICY.1);
    response
}
