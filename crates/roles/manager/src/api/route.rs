//! What there is, and who may ask for it. `openapi.json` describes each.

use hyper::Method;
use mainstay_database::Role;

use super::problem::Problem;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nobody,
    /// Whoever is logged in, or has a token.
    Anybody,
    Role(Role),
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Describe,
    LogIn,
    Who,
    LogOut,
    ChangePassword,
    Fleet,
    Agents,
    Agent,
    AgentEffective,
    AgentStreams,
    MoveAgents,
    SetStanding,
    RenewKeys,
    SetOwnVersion,
    RemoveAgent,
    Groups,
    CreateGroup,
    ChangeGroup,
    RemoveGroup,
    SetGroupVersion,
    Validate,
    Configurations,
    CreateConfiguration,
    RemoveConfiguration,
    Versions,
    AddVersion,
    Version,
    VersionText,
    Rollouts,
    CreateRollout,
    Rollout,
    RolloutMembers,
    OrderRollout,
    Events,
    EventStream,
    EventDays,
    Alerts,
    SetAlert,
    EnrolmentTokens,
    CreateEnrolmentToken,
    RevokeEnrolmentToken,
    Managers,
    DrainManager,
    RemoveManager,
    Pins,
    AddPin,
    RemovePin,
    AuditLog,
    Users,
    CreateUser,
    ChangeUser,
    RemoveUser,
    ApiTokens,
    CreateApiToken,
    RevokeApiToken,
}

const VIEW: Needs = Needs::Role(Role::Viewer);
const OPERATE: Needs = Needs::Role(Role::Operator);
const ADMINISTER: Needs = Needs::Role(Role::Administrator);

/// Method, path, who may, what it is. A path's part in braces stands for any.
pub(super) const ROUTES: [(&str, &str, Needs, Operation); 55] = [
    ("GET", "/v1/openapi.json", Needs::Nobody, Operation::Describe),
    ("POST", "/v1/session", Needs::Nobody, Operation::LogIn),
    ("GET", "/v1/session", Needs::Anybody, Operation::Who),
    ("DELETE", "/v1/session", Needs::Anybody, Operation::LogOut),
    ("PUT", "/v1/session/password", Needs::Anybody, Operation::ChangePassword),
    ("GET", "/v1/fleet", VIEW, Operation::Fleet),
    ("GET", "/v1/agents", VIEW, Operation::Agents),
    ("POST", "/v1/agents/move", OPERATE, Operation::MoveAgents),
    ("POST", "/v1/agents/standing", OPERATE, Operation::SetStanding),
    ("POST", "/v1/agents/new-key", OPERATE, Operation::RenewKeys),
    ("GET", "/v1/agents/{agent}", VIEW, Operation::Agent),
    ("DELETE", "/v1/agents/{agent}", ADMINISTER, Operation::RemoveAgent),
    ("GET", "/v1/agents/{agent}/effective", VIEW, Operation::AgentEffective),
    ("GET", "/v1/agents/{agent}/streams", VIEW, Operation::AgentStreams),
    ("PUT", "/v1/agents/{agent}/version", OPERATE, Operation::SetOwnVersion),
    ("GET", "/v1/groups", VIEW, Operation::Groups),
    ("POST", "/v1/groups", OPERATE, Operation::CreateGroup),
    ("PUT", "/v1/groups/{group}", OPERATE, Operation::ChangeGroup),
    ("DELETE", "/v1/groups/{group}", OPERATE, Operation::RemoveGroup),
    ("PUT", "/v1/groups/{group}/version", OPERATE, Operation::SetGroupVersion),
    ("POST", "/v1/validate", VIEW, Operation::Validate),
    ("GET", "/v1/configurations", VIEW, Operation::Configurations),
    ("POST", "/v1/configurations", OPERATE, Operation::CreateConfiguration),
    ("DELETE", "/v1/configurations/{configuration}", OPERATE, Operation::RemoveConfiguration),
    ("GET", "/v1/configurations/{configuration}/versions", VIEW, Operation::Versions),
    ("POST", "/v1/configurations/{configuration}/versions", OPERATE, Operation::AddVersion),
    ("GET", "/v1/versions/{version}", VIEW, Operation::Version),
    ("GET", "/v1/versions/{version}/text", VIEW, Operation::VersionText),
    ("GET", "/v1/rollouts", VIEW, Operation::Rollouts),
    ("POST", "/v1/rollouts", OPERATE, Operation::CreateRollout),
    ("GET", "/v1/rollouts/{rollout}", VIEW, Operation::Rollout),
    ("GET", "/v1/rollouts/{rollout}/members", VIEW, Operation::RolloutMembers),
    ("POST", "/v1/rollouts/{rollout}/orders", OPERATE, Operation::OrderRollout),
    ("GET", "/v1/events", VIEW, Operation::Events),
    ("GET", "/v1/events/stream", VIEW, Operation::EventStream),
    ("GET", "/v1/events/days", VIEW, Operation::EventDays),
    ("GET", "/v1/alerts", VIEW, Operation::Alerts),
    ("PUT", "/v1/alerts/{alert}", OPERATE, Operation::SetAlert),
    ("GET", "/v1/enrolment-tokens", OPERATE, Operation::EnrolmentTokens),
    ("POST", "/v1/enrolment-tokens", OPERATE, Operation::CreateEnrolmentToken),
    ("DELETE", "/v1/enrolment-tokens/{token}", OPERATE, Operation::RevokeEnrolmentToken),
    ("GET", "/v1/managers", VIEW, Operation::Managers),
    ("PUT", "/v1/managers/{manager}/drain", OPERATE, Operation::DrainManager),
    ("DELETE", "/v1/managers/{manager}", ADMINISTER, Operation::RemoveManager),
    ("GET", "/v1/pins", VIEW, Operation::Pins),
    ("POST", "/v1/pins", ADMINISTER, Operation::AddPin),
    ("DELETE", "/v1/pins/{pin}", ADMINISTER, Operation::RemovePin),
    ("GET", "/v1/audit", ADMINISTER, Operation::AuditLog),
    ("GET", "/v1/users", ADMINISTER, Operation::Users),
    ("POST", "/v1/users", ADMINISTER, Operation::CreateUser),
    ("PATCH", "/v1/users/{user}", ADMINISTER, Operation::ChangeUser),
    ("DELETE", "/v1/users/{user}", ADMINISTER, Operation::RemoveUser),
    ("GET", "/v1/api-tokens", ADMINISTER, Operation::ApiTokens),
    ("POST", "/v1/api-tokens", ADMINISTER, Operation::CreateApiToken),
    ("DELETE", "/v1/api-tokens/{token}", ADMINISTER, Operation::RevokeApiToken),
];

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) needs: Needs,
    pub(super) operation: Operation,
    /// What stood in the places of the path.
    pub(super) names: Vec<String>,
}

/// What a method and a path mean.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Problem> {
    let asked = if method == Method::HEAD { "GET" } else { method.as_str() };
    for (allowed, pattern, needs, operation) in at(path) {
        if allowed == asked
            && let Some(names) = matches(pattern, path)
        {
            return Ok(Found { needs, operation, names });
        }
    }
    if at(path).next().is_some() {
        return Err(Problem::not_allowed(allowed(path)));
    }
    Err(Problem::not_found("/v1/openapi.json describes what is here"))
}

/// What is at a path. One that is written out is not another's place as well.
fn at(path: &str) -> impl Iterator<Item = (&'static str, &'static str, Needs, Operation)> {
    let is_written_out = ROUTES.iter().any(|(_, pattern, _, _)| *pattern == path);
    ROUTES.into_iter().filter(move |(_, pattern, _, _)| {
        *pattern == path || !is_written_out && matches(pattern, path).is_some()
    })
}

/// The methods of a path, as a field has them.
fn allowed(path: &str) -> &'static str {
    let methods: Vec<&str> = at(path).map(|(method, _, _, _)| method).collect();
    match *methods {
        ["GET"] => "GET, HEAD",
        ["POST"] => "POST",
        ["PUT"] => "PUT",
        ["DELETE"] => "DELETE",
        ["GET", "POST"] => "GET, HEAD, POST",
        ["GET", "DELETE"] => "GET, HEAD, DELETE",
        ["POST", "GET", "DELETE"] => "GET, HEAD, POST, DELETE",
        ["PUT", "DELETE"] => "PUT, DELETE",
        ["PATCH", "DELETE"] => "PATCH, DELETE",
        _ => "OPTIONS",
    }
}

/// What stands in the places of a pattern, if the path is one of it.
fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        let part = parts.next()?;
        if expected.starts_with('{') {
            if part.is_empty() {
                return None;
            }
            names.push(part.to_owned());
        } else if part != expected {
            return None;
        }
    }
    parts.next().is_none().then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_nothing_else() {
        let found = |method, path: &str| {
            find(&method, path)
                .map(|found| (found.operation, found.names.join(",")))
                .map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(found(Method::GET, "/v1/agents"), Ok((Operation::Agents, String::new())));
        assert_eq!(found(Method::HEAD, "/v1/agents/ab"), Ok((Operation::Agent, "ab".into())));
        assert_eq!(found(Method::POST, "/v1/agents/move"), Ok((Operation::MoveAgents, "".into())));
        assert_eq!(found(Method::PATCH, "/v1/agents"), Err(405));
        assert_eq!(found(Method::HEAD, "/v1/agents/ab/version"), Err(405));
        assert_eq!(found(Method::GET, "/v1/agents/move"), Err(405));
        assert_eq!(allowed("/v1/agents/move"), "POST");
        for path in ["/", "/v1", "/v1/", "/v1/agents/", "/v1/agents/a/b", "/v1//agents"] {
            assert_eq!(found(Method::GET, path), Err(404), "{path}");
        }
    }

    #[test]
    fn every_path_says_which_methods_it_has() {
        for (_, path, _, _) in ROUTES {
            assert_ne!(allowed(path), "OPTIONS", "{path}");
        }
    }
}
