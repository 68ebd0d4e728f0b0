//! Who asks: a person with a session, or a program with a token.
//!
//! A browser sends its cookie with whatever page makes it do so. So a cookie counts only if the
//! browser itself says that the request comes from the same origin, or says nothing of it; and a
//! change has to bring [`FIELD`], which no form and no simple request of another origin can.

use hyper::Method;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, ORIGIN};
use mainstay_database::{Hash, Role, UserId, WallTime};
use mainstay_trust::token::Secret;

use super::Api;
use super::problem::Problem;

/// The cookie. Its prefix has the browser take it from HTTPS alone, and for this host alone.
pub(super) const COOKIE_NAME: &str = "__Host-mainstay-session";

/// What a change with a cookie has to bring, with any value.
pub(super) const FIELD: &str = "mainstay-request";

/// What a token for programs begins with, so that it is found where it should not be.
pub(super) const TOKEN_PREFIX: &str = "mainstay-api.";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) by: By,
}

/// By what it is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Session { secret: Hash, expires_at: WallTime },
    Token { secret: Hash },
}

impl Api {
    /// Who asks; none if nobody says so.
    pub(super) async fn caller(
        &self,
        method: &Method,
        fields: &HeaderMap,
    ) -> Result<Option<Caller>, Problem> {
        if let Some(value) = fields.get(AUTHORIZATION) {
            let secret = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
            let secret = secret.and_then(|token| token.strip_prefix(TOKEN_PREFIX));
            let secret = secret.and_then(Secret::from_text).ok_or_else(Problem::unauthorized)?;
            return self.by_token(Hash(secret.hash())).await.map(Some);
        }
        let Some(secret) = cookie(fields) else { return Ok(None) };
        check_origin(fields)?;
        let changes = method != Method::GET && method != Method::HEAD;
        if changes && !fields.contains_key(FIELD) {
            let sentence = "a change with a cookie needs the field Mainstay-Request";
            return Err(Problem::foreign(sentence));
        }
        self.by_session(Hash(secret.hash())).await
    }

    pub(super) async fn by_token(&self, secret: Hash) -> Result<Caller, Problem> {
        let found = self.store.api_token(secret).await?;
        let (token, user) = found.ok_or_else(Problem::unauthorized)?;
        // Whoever has been given less since may do less with what they made before.
        let role = token.role.min(user.role);
        Ok(Caller { user: user.id, name: user.name, role, by: By::Token { secret } })
    }

    pub(super) async fn by_session(&self, secret: Hash) -> Result<Option<Caller>, Problem> {
        let idle = self.settings.admin.session_idle;
        let Some(session) = self.store.session(secret, idle).await? else { return Ok(None) };
        Ok(Some(Caller {
            user: session.user.id,
            name: session.user.name,
            role: session.user.role,
            by: By::Session { secret, expires_at: session.expires_at },
        }))
    }
}

/// The secret in the cookie, if there is one.
fn cookie(fields: &HeaderMap) -> Option<Secret> {
    let values = fields.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).map(str::trim);
    pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == COOKIE_NAME).then_some(value).and_then(Secret::from_text)
    })
}

/// What a browser says of where a request was made.
pub(super) fn check_origin(fields: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| fields.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return Err(Problem::foreign("the browser says that another site made it"));
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    if authority.is_some() && authority == text(HOST.as_str()) {
        return Ok(());
    }
    Err(Problem::foreign("its origin is not this host"))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            fields.append(*name, HeaderValue::from_str(value).unwrap());
        }
        fields
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let secret = Secret::new();
        let text = secret.to_text();
        let ours = format!("{COOKIE_NAME}={text}");
        for value in [ours.clone(), format!("a=b; {ours}"), format!("{ours}; c=d")] {
            assert_eq!(cookie(&fields(&[("cookie", &value)])), Some(secret), "{value}");
        }
        for value in ["", "a=b", &format!("x{ours}"), &format!("{COOKIE_NAME}=short")] {
            assert_eq!(cookie(&fields(&[("cookie", value)])), None, "{value}");
        }
    }

    #[test]
    fn another_origin_is_refused() {
        let host = ("host", "fleet.example:4321");
        for (pairs, is_ours) in [
            (&[host][..], true),
            (&[host, ("origin", "https://fleet.example:4321")], true),
            (&[host, ("sec-fetch-site", "same-origin")], true),
            (&[host, ("sec-fetch-site", "none")], true),
            (&[host, ("origin", "https://evil.example")], false),
            (&[host, ("origin", "https://fleet.example:9")], false),
            (&[host, ("origin", "null")], false),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://fleet.example:4321")], false),
        ] {
            assert_eq!(check_origin(&fields(pairs)).is_ok(), is_ours, "{pairs:?}");
        }
    }
}
