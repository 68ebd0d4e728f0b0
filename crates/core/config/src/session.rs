//! `[session]`: by which cookie a session is known, where whoever has none is sent, and what
//! servers are told of whoever has one.
//!
//! # Invariants
//!
//! 1. A login address on this gateway is open: one behind a session would send its visitors to
//!    itself for ever.
//! 2. Cookie and header names are tokens, so nothing in them needs escaping.
//!
//! Source: RFC 6265, 4.1.1 (names); RFC 9110, 5.1 and 5.6.2.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::entry::{Entry, Text};
use crate::hostname::read_pattern;
use crate::section::Section;
use crate::services::{Access, Route, RoutePath, Service};

/// Longest name of a cookie: with `=` and the 43 characters of an id it has 64 bytes.
const COOKIE_BYTES_MAX: usize = 20;
/// Longest login address.
const LOGIN_BYTES_MAX: usize = 1024;
/// Longest name of a header.
const HEADER_BYTES_MAX: usize = 64;
/// How long a request may take whose session has ended.
const FINISH: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(10);

/// Headers by which a server finds the message, or its way, or the one who sent it: none of
/// them can be an identity's.
const TAKEN: [&str; 25] = [
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// How sessions are known, and what becomes of whoever has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// The cookie that carries a session's id; at most 20 bytes.
    pub cookie: String,
    pub login: Login,
    /// The header that tells servers whose session it is.
    pub subject_header: String,
    /// How long a request may take whose session ended before its response began.
    pub finish_timeout: Duration,
}

/// Where a page without a session is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Nowhere: it gets 401, like everything else.
    None,
    /// A path of the host that was asked for.
    Path(String),
    /// Another site; begins with `https://`.
    Url(String),
}

/// Reads `[session]`. None if it is not there and no route needs a session.
pub(crate) fn read(file: &mut Section<'_>, services: &[Service]) -> Option<Sessions> {
    let needed = services.iter().any(|service| has_session_route(&service.routes));
    let entry = file.optional("session");
    if entry.is_none() && !needed {
        return None;
    }
    let section = entry.and_then(|entry| entry.table("[session]"));
    let mut section = section.unwrap_or_else(|| file.absent("[session]"));
    let sessions = Sessions {
        cookie: read_cookie(&mut section),
        login: read_login(&mut section, services),
        subject_header: read_subject_header(&mut section),
        finish_timeout: section.duration("finish_timeout", Duration::from_secs(5), &FINISH),
    };
    section.finish();
    Some(sessions)
}

fn has_session_route(routes: &[Route]) -> bool {
    routes.iter().any(|route| route.access == Access::Session)
}

fn read_cookie(section: &mut Section<'_>) -> String {
    let text = section.optional("cookie").and_then(Entry::text);
    let Some(text) = text else { return "__Host-session".to_owned() };
    if !is_token(text.get_ref(), COOKIE_BYTES_MAX) {
        let sentence = format!(
            "cookie {:?} must be 1 to {COOKIE_BYTES_MAX} characters out of letters, digits and !#$%&'*+-.^_`|~",
            text.get_ref()
        );
        section.problems().add(text.span(), sentence);
    }
    text.into_inner().into_owned()
}

fn read_subject_header(section: &mut Section<'_>) -> String {
    let text = section.optional("subject_header").and_then(Entry::text);
    let Some(text) = text else { return "X-Forwarded-User".to_owned() };
    let name = text.get_ref();
    // A `_` would make it one of the names that go no further, or another name's double.
    if !is_token(name, HEADER_BYTES_MAX) || name.contains('_') {
        let sentence = format!(
            "subject_header {name:?} must be 1 to {HEADER_BYTES_MAX} characters out of letters, digits and !#$%&'*+-.^`|~"
        );
        section.problems().add(text.span(), sentence);
    } else if TAKEN.contains(&name.to_ascii_lowercase().as_str()) {
        let sentence = format!("subject_header {name:?} has a meaning of its own already");
        section.problems().add(text.span(), sentence);
    }
    text.into_inner().into_owned()
}

fn read_login(section: &mut Section<'_>, services: &[Service]) -> Login {
    let Some(text) = section.optional("login").and_then(Entry::text) else { return Login::None };
    let login = match parse_login(text.get_ref()) {
        Ok(login) => login,
        Err(reason) => {
            let sentence = format!("login {:?} {reason}", text.get_ref());
            section.problems().add(text.span(), sentence);
            return Login::None;
        }
    };
    if let Login::Path(path) = &login {
        check_login_is_open(section, &text, path, services);
    }
    login
}

/// A login address, or what is wrong with it: the end of a sentence.
fn parse_login(text: &str) -> Result<Login, String> {
    if text.len() > LOGIN_BYTES_MAX {
        return Err(format!("is longer than {LOGIN_BYTES_MAX} bytes"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte)) {
        return Err("must be percent-encoded".to_owned());
    }
    if text.contains('#') {
        return Err("must not have a fragment (\"#\")".to_owned());
    }
    if text.starts_with('/') && !text.starts_with("//") {
        return Ok(Login::Path(text.to_owned()));
    }
    let Some(rest) = text.strip_prefix("https://") else {
        return Err("must begin with \"https://\" or be a path that begins with \"/\"".to_owned());
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok_and(|port| port != 0) => host,
        Some(_) | None => authority,
    };
    match read_pattern(host) {
        Ok(host) if host.contains('*') => Err("must not have a wildcard".to_owned()),
        Ok(_) => Ok(Login::Url(text.to_owned())),
        Err(error) => Err(format!("has no valid host: {error}")),
    }
}

/// Wherever a page may be sent to the path, the path must be open to it.
fn check_login_is_open(section: &Section<'_>, text: &Text<'_>, path: &str, services: &[Service]) {
    let path = path.split('?').next().unwrap_or_default();
    for service in services.iter().filter(|service| has_session_route(&service.routes)) {
        let problem = match chosen(&service.routes, path).map(|route| route.access) {
            Some(Access::Open) => continue,
            Some(Access::Session) => "needs a session itself",
            None => "has no route",
        };
        let sentence = format!("login {path:?} {problem} in service {:?}", service.name);
        section.problems().add(text.span(), sentence);
    }
}

/// The route of a path: the exact one, else that of the longest prefix.
fn chosen<'r>(routes: &'r [Route], path: &str) -> Option<&'r Route> {
    let fit = |route: &Route| match &route.path {
        RoutePath::Exact(exact) => (exact == path).then_some(usize::MAX),
        RoutePath::Prefix(prefix) => {
            let rest = path.strip_prefix(prefix.as_str())?;
            let whole = prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/');
            whole.then_some(prefix.len())
        }
    };
    let fitting = routes.iter().filter_map(|route| Some((fit(route)?, route)));
    fitting.max_by_key(|(length, _)| *length).map(|(_, route)| route)
}

/// Whether it is a token (RFC 9110, 5.6.2) of at most so many bytes.
fn is_token(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: RoutePath, access: Access) -> Route {
        Route { path, upstream: 0, access }
    }

    #[test]
    fn the_route_of_a_path_is_the_one_that_serves_it() {
        let prefix = |text: &str| RoutePath::Prefix(text.to_owned());
        let routes = [
            route(prefix("/"), Access::Session),
            route(prefix("/login"), Access::Open),
            route(RoutePath::Exact("/login/deep".to_owned()), Access::Session),
        ];
        let cases = [
            ("/", Access::Session),
            ("/login", Access::Open),
            ("/login/x", Access::Open),
            ("/login/deep", Access::Session),
            ("/loginx", Access::Session),
        ];
        for (path, access) in cases {
            assert_eq!(chosen(&routes, path).map(|route| route.access), Some(access), "{path}");
        }
        assert_eq!(chosen(&routes[1..], "/x"), None);
    }

    #[test]
    fn login_addresses() {
        for good in ["/login", "/", "/login?x=1", "https://a.example/in?client=2", "https://a:8443"]
        {
            assert!(parse_login(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "a".repeat(LOGIN_BYTES_MAX));
        for bad in [
            "",
            "//a",
            "login",
            "http://a",
            "https://",
            "https://u@h/",
            "https://*.a/",
            "/a b",
            "/#x",
            "/ä",
            &long,
        ] {
            assert!(parse_login(bad).is_err(), "{bad}");
        }
    }
}
