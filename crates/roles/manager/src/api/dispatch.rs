//! From a request to its response.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::answer::{Answered, Body};
use super::ask::Ask;
use super::problem::Problem;
use super::route::{Needs, Operation, find};
use super::{
    Api, DESCRIPTION, agents, alerts, answer, audit, configurations, enrolment, events, fleet,
    groups, login, managers, pins, rollouts, stream, tokens, users,
};

/// Most bytes of a query.
const QUERY_BYTES_MAX: usize = 4 * 1024;

/// Answers one request.
pub(super) async fn answer(
    api: &Arc<Api>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    respond(api, peer, request).await.unwrap_or_else(|problem| {
        let status = problem.status.as_u16();
        // Who was let in and wanted something changed is noted. Anyone can be a stranger, often.
        let is_known = problem.status != StatusCode::UNAUTHORIZED;
        if is_known && method != Method::GET && method != Method::HEAD {
            warn!(%peer, %method, path, status, "a request of an operator was not done");
        } else {
            debug!(%peer, %method, path, status, "a request was not answered as it was meant");
        }
        problem.into_response()
    })
}

async fn respond(api: &Arc<Api>, peer: IpAddr, request: Request<Incoming>) -> Answered {
    let (parts, body) = request.into_parts();
    let found = find(&parts.method, parts.uri.path())?;
    // Nobody is asked who they are where it does not matter: else an old cookie would be in the
    // way of a new login.
    let caller = match found.needs {
        Needs::Nobody => None,
        Needs::Anybody | Needs::Role(_) => {
            let caller = api.caller(&parts.method, &parts.headers).await?;
            Some(caller.ok_or_else(Problem::unauthorized)?)
        }
    };
    if let (Needs::Role(needed), Some(caller)) = (found.needs, &caller)
        && caller.role < needed
    {
        return Err(Problem::forbidden(needed));
    }
    let query = query(parts.uri.query().unwrap_or_default())?;
    // A body is read only of somebody who may send it.
    let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
        let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("application/json")
    });
    let (body, _room) = match parts.method {
        Method::POST | Method::PUT | Method::PATCH if !is_json => {
            return Err(Problem::media_type());
        }
        Method::POST | Method::PUT | Method::PATCH => api.read(body).await?,
        _ => (Bytes::new(), None),
    };
    let ask = Ask { caller, peer, names: found.names, query, fields: parts.headers, body };
    perform(api, found.operation, &ask).await
}

impl Api {
    /// The whole body of a request, within its limits, and the room that it takes.
    async fn read(
        &self,
        body: Incoming,
    ) -> Result<(Bytes, Option<tokio::sync::SemaphorePermit<'_>>), Problem> {
        let (limit, wait) = (self.settings.admin.body_bytes, self.settings.admin.timeout);
        let room = timeout(wait, self.bodies.acquire()).await;
        let Ok(Ok(room)) = room else {
            return Err(Problem::unavailable("others are sending, too"));
        };
        let collected = timeout(wait, Limited::new(body, limit).collect()).await;
        match collected.map_err(|_elapsed| Problem::too_slow())? {
            Ok(collected) => Ok((collected.to_bytes(), Some(room))),
            Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
            Err(_) => Err(Problem::bad_request("the body did not arrive whole")),
        }
    }
}

/// The parameters of a query, each at most once.
fn query(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    if text.len() > QUERY_BYTES_MAX {
        let sentence = format!("a query has at most {QUERY_BYTES_MAX} bytes");
        return Err(Problem::bad_request(sentence));
    }
    let mut parameters = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            return Err(Problem::bad_request("the query is not well encoded"));
        };
        if parameters.insert(name, value).is_some() {
            return Err(Problem::bad_request("a parameter is there twice"));
        }
    }
    Ok(parameters)
}

/// What a form's encoding says.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

async fn perform(api: &Arc<Api>, operation: Operation, ask: &Ask) -> Answered {
    if let Some(unknown) = unknown(operation, ask) {
        return Err(Problem::bad_request(format!("there is no parameter {unknown:?} here")));
    }
    match operation {
        Operation::Describe => answer::text("application/json", DESCRIPTION),
        Operation::LogIn => login::log_in(api, ask).await,
        Operation::Who => login::who(api, ask).await,
        Operation::LogOut => login::log_out(api, ask).await,
        Operation::ChangePassword => login::change_password(api, ask).await,
        Operation::Fleet => fleet::counts(api).await,
        Operation::Agents => agents::list(api, ask).await,
        Operation::Agent => agents::one(api, ask).await,
        Operation::AgentEffective => agents::effective(api, ask).await,
        Operation::AgentStreams => agents::streams(api, ask).await,
        Operation::MoveAgents => agents::r#move(api, ask).await,
        Operation::SetStanding => agents::set_standing(api, ask).await,
        Operation::RenewKeys => agents::renew_keys(api, ask).await,
        Operation::SetOwnVersion => agents::set_version(api, ask).await,
        Operation::RemoveAgent => agents::remove(api, ask).await,
        Operation::Groups => groups::list(api).await,
        Operation::CreateGroup => groups::create(api, ask).await,
        Operation::ChangeGroup => groups::change(api, ask).await,
        Operation::RemoveGroup => groups::remove(api, ask).await,
        Operation::SetGroupVersion => groups::set_version(api, ask).await,
        Operation::Validate => configurations::validate(ask).await,
        Operation::Configurations => configurations::list(api).await,
        Operation::CreateConfiguration => configurations::create(api, ask).await,
        Operation::RemoveConfiguration => configurations::remove(api, ask).await,
        Operation::Versions => configurations::versions(api, ask).await,
        Operation::AddVersion => configurations::add_version(api, ask).await,
        Operation::Version => configurations::version(api, ask).await,
        Operation::VersionText => configurations::version_text(api, ask).await,
        Operation::Rollouts => rollouts::list(api, ask).await,
        Operation::CreateRollout => rollouts::create(api, ask).await,
        Operation::Rollout => rollouts::one(api, ask).await,
        Operation::RolloutMembers => rollouts::members(api, ask).await,
        Operation::OrderRollout => rollouts::order(api, ask).await,
        Operation::Events => events::list(api, ask).await,
        Operation::EventStream => stream::events(api, ask).await,
        Operation::EventDays => events::days(api).await,
        Operation::Alerts => alerts::list(api, ask).await,
        Operation::SetAlert => alerts::set(api, ask).await,
        Operation::EnrolmentTokens => enrolment::list(api).await,
        Operation::CreateEnrolmentToken => enrolment::create(api, ask).await,
        Operation::RevokeEnrolmentToken => enrolment::revoke(api, ask).await,
        Operation::Managers => managers::list(api).await,
        Operation::DrainManager => managers::drain(api, ask).await,
        Operation::RemoveManager => managers::remove(api, ask).await,
        Operation::Pins => pins::list(api).await,
        Operation::AddPin => pins::add(api, ask).await,
        Operation::RemovePin => pins::remove(api, ask).await,
        Operation::AuditLog => audit::list(api, ask).await,
        Operation::Users => users::list(api).await,
        Operation::CreateUser => users::create(api, ask).await,
        Operation::ChangeUser => users::change(api, ask).await,
        Operation::RemoveUser => users::remove(api, ask).await,
        Operation::ApiTokens => tokens::list(api).await,
        Operation::CreateApiToken => tokens::create(api, ask).await,
        Operation::RevokeApiToken => tokens::revoke(api, ask).await,
    }
}

/// A parameter that the operation does not have: a filter that is spelt wrong must not be a list
/// of everything.
fn unknown(operation: Operation, ask: &Ask) -> Option<&str> {
    let known: &[&str] = match operation {
        Operation::Agents => {
            &["search", "group", "standing", "presence", "healthy", "sync", "limit", "after"]
        }
        Operation::Versions | Operation::RolloutMembers => &["limit", "after"],
        Operation::Rollouts => &["group", "limit", "after"],
        Operation::Events => {
            &["agent", "stream", "kind", "severity", "from", "before", "limit", "after"]
        }
        Operation::EventStream => &["agent", "stream", "kind", "severity", "after"],
        Operation::Alerts => &["state", "kind", "agent", "limit", "after"],
        Operation::AuditLog => &["actor", "action", "subject", "limit", "after"],
        Operation::RemovePin => &["stragglers"],
        _ => &[],
    };
    ask.query.keys().map(String::as_str).find(|name| !known.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let read = |text| query(text).map_err(|problem| problem.status.as_u16());
        let pairs = read("a=b+c&d=%C3%A4%26&e").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("a", "b c"), ("d", "ä&"), ("e", "")]);
        for wrong in ["a=%4", "a=%zz", "a=%ff", "a=1&a=2"] {
            assert_eq!(read(wrong), Err(400), "{wrong}");
        }
        assert_eq!(read(&"x".repeat(QUERY_BYTES_MAX + 1)), Err(400));
    }
}
