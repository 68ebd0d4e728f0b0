//! Who is let through, and what is open of each session.
//!
//! ```text
//!   cookie ──▶ id ──SHA-256──▶ key ──▶ table: is it there and not over?
//!                               │
//!                               └──▶ record of the exchange, and `Bound`: so that what is under
//!                                    way ends with its session, here and at an heir
//! ```
//!
//! # Invariants
//!
//! 1. A record names a session exactly while [`Bound`] holds its slot under that key.
//! 2. What a client has begun to read of a session ends with it, in the middle; nothing makes
//!    it look whole.
//!
//! # Not here
//!
//! The table and its changes: `sessions.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_config::gateway::{Access, Login};
use mainstay_http::{Aside, Forwarded, Identity, LoginAddress, Mark, Phase, Request};
use mainstay_ledger::{Counter, NO_SESSION, Record};
use mainstay_model::{Session, SessionId, SessionKey};
use mainstay_os::wall_now;
use mainstay_session::{News, key_of};
use mainstay_wire::session::Use;

use crate::answer::{Plea, Told};
use crate::connection::{Connection, Gone, Progress};
use crate::lane::Lane;
use crate::sessions::Sessions;
use crate::settings::{Serves, Settings};

/// How a gateway knows sessions.
#[derive(Debug)]
pub(crate) struct Known {
    cookie: String,
    subject_header: String,
    login: Login,
    /// What a 401 says.
    challenge: String,
    finish_timeout: Duration,
}

impl Known {
    pub(crate) fn new(sessions: &mainstay_config::gateway::Sessions) -> Self {
        Self {
            cookie: sessions.cookie.clone(),
            subject_header: sessions.subject_header.clone(),
            login: sessions.login.clone(),
            // The name of a cookie is a token, which has no quote in it.
            challenge: format!("Cookie realm=\"mainstay\", cookie-name=\"{}\"", sessions.cookie),
            finish_timeout: sessions.finish_timeout,
        }
    }

    /// The answer to a request that has no session and needs one.
    fn turn_away(&self, request: &Request<'_, '_>, scheme: &str) -> Plea {
        let login = match &self.login {
            Login::None => None,
            Login::Path(path) => Some(LoginAddress::Path(path)),
            Login::Url(url) => Some(LoginAddress::Url(url)),
        };
        match login {
            Some(login) if request.is_navigation() => {
                let location = request.location(login, scheme);
                Plea { told: Told::Location(location), ..Plea::new(302, "") }
            }
            Some(_) | None => {
                Plea { told: Told::Challenge(self.challenge.clone()), ..Plea::new(401, "") }
            }
        }
    }
}

impl Settings {
    /// The answer to a request that has no session and needs one.
    pub(crate) fn turn_away(&self, connection: &Connection, request: &Request<'_, '_>) -> Plea {
        match &self.sessions {
            Some(known) => known.turn_away(request, self.scheme(connection, request)),
            None => Plea::new(401, ""),
        }
    }

    /// What a server is told of whose request it is; nothing where there are no sessions.
    pub(crate) fn identity<'a>(&'a self, visitor: Option<&Visitor<'a>>) -> Option<Identity<'a>> {
        self.sessions.as_ref().map(|known| Identity {
            cookie: &known.cookie,
            subject_header: &known.subject_header,
            subject: visitor.map(|visitor| visitor.session.subject.as_str()),
        })
    }

    /// What the client used, as far as we or a proxy that we trust can tell.
    fn scheme(&self, connection: &Connection, request: &Request<'_, '_>) -> &'static str {
        let listener = self.listeners.get(usize::from(connection.record.listener));
        let trusted = matches!(
            listener.map(|listener| listener.serves),
            Some(Serves::Http { forwarded: Forwarded::Append })
        );
        let mut fields = request.fields.iter();
        let secure = fields.any(|field| {
            field.name.eq_ignore_ascii_case("x-forwarded-proto")
                && field.value.eq_ignore_ascii_case(b"https")
        });
        if trusted && secure { "https" } else { "http" }
    }
}

/// Whether a request goes on.
#[derive(Debug)]
pub(crate) enum Admission<'t> {
    /// It needs no session.
    Open,
    Visitor(Visitor<'t>),
    Refused,
    /// Nobody can tell yet.
    Unknown,
}

/// Somebody who is logged in.
#[derive(Debug)]
pub(crate) struct Visitor<'t> {
    pub(crate) key: SessionKey,
    session: &'t Session,
}

/// The exchanges and tunnels that are under way of each session, by their slots.
#[derive(Debug, Default)]
pub(crate) struct Bound(BTreeSet<(SessionKey, u32)>);

impl Bound {
    fn slots(&self, key: SessionKey) -> Vec<u32> {
        self.0.range((key, 0)..=(key, u32::MAX)).map(|(_, slot)| *slot).collect()
    }
}

impl Sessions {
    /// Whether a request may go on, by the session that its cookie names. Notes that the
    /// session was used, if others are to hear of it.
    pub(crate) fn admit<'t>(
        &'t mut self,
        settings: &Settings,
        request: &Request<'_, '_>,
        route: u32,
        uses: &mut Vec<Use>,
    ) -> Admission<'t> {
        let access = settings.targets.get(route as usize).map_or(Access::Open, |to| to.access);
        if access == Access::Open {
            return Admission::Open;
        }
        let Self::Whole(table) = self else { return Admission::Unknown };
        let cookie = settings.sessions.as_ref().and_then(|known| request.cookie(&known.cookie));
        let id = cookie.and_then(|text| str::from_utf8(text).ok()?.parse::<SessionId>().ok());
        let Some(key) = id.map(|id| key_of(&id)) else { return Admission::Refused };
        let now = wall_now();
        let Some(visit) = table.visit(&key, now) else { return Admission::Refused };
        if visit.news == News::Tell {
            uses.push(Use { key, at: now });
        }
        Admission::Visitor(Visitor { key, session: visit.session })
    }

    /// Whether there is such a session. Where nobody can tell, it is given the benefit of the
    /// doubt: this is about what is under way, which was let in when somebody could.
    fn may_have(&self, key: &SessionKey) -> bool {
        match self {
            Self::Absent => true,
            Self::Whole(table) => table.find(key).is_some(),
        }
    }
}

impl Lane {
    /// Notes that an exchange is this session's.
    pub(crate) fn bind(&mut self, connection: &mut Connection, key: SessionKey) {
        connection.change().session = *key.bytes();
        self.bound.0.insert((key, connection.slot));
    }

    /// Notes that a connection has nothing of a session any more.
    pub(crate) fn unbind(&mut self, connection: &mut Connection) {
        if let Some(key) = session_of(&connection.record) {
            self.bound.0.remove(&(key, connection.slot));
            connection.change().session = NO_SESSION;
            connection.ends_by = None;
        }
    }

    /// Takes in a connection that another process left: the session of what is under way may
    /// have ended since.
    pub(crate) fn bind_again(&mut self, connection: &mut Connection) {
        if let Some(key) = session_of(&connection.record) {
            self.bound.0.insert((key, connection.slot));
            connection.lapsed = !self.sessions.may_have(&key);
        }
    }

    /// Ends what is under way of sessions that are over.
    pub(crate) fn end_sessions(&mut self, keys: &[SessionKey]) {
        for key in keys {
            for slot in self.bound.slots(*key) {
                self.work_on(slot, Self::end_with_session);
            }
        }
    }

    /// Ends what is under way of sessions that are not there any more.
    pub(crate) fn recheck_sessions(&mut self) {
        let keys: BTreeSet<SessionKey> = self.bound.0.iter().map(|(key, _)| *key).collect();
        let gone = keys.into_iter().filter(|key| !self.sessions.may_have(key));
        self.end_sessions(&gone.collect::<Vec<_>>());
    }

    /// Ends what a connection has under way of a session that is over: at once if the client
    /// has some of the response; else it may be what ended the session, and gets a while.
    pub(crate) fn end_with_session(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        let exchange = &connection.record.exchange;
        match exchange.phase {
            Phase::Exchanging if exchange.response_begun == Mark::No => {
                let known = self.settings.sessions.as_ref();
                let limit = known.map_or(Duration::ZERO, |known| known.finish_timeout);
                connection.ends_by = Some(self.now + limit);
                Ok(())
            }
            Phase::Exchanging | Phase::Tunnel => {
                // The worker that sent the last of it may have died before it could note that.
                if self.turn_over(connection)? == Progress::Made {
                    return Ok(());
                }
                self.ledger.count(Counter::SessionEnded, 1);
                Err(Gone::SessionEnded)
            }
            // Nothing of a server's, or nothing more.
            Phase::Waiting | Phase::Answering | Phase::Lingering => Ok(()),
        }
    }

    /// The while is over.
    pub(crate) fn end_late(&mut self, connection: &mut Connection) -> Result<(), Gone> {
        connection.ends_by = None;
        self.ledger.count(Counter::SessionEnded, 1);
        let challenge = self.settings.sessions.as_ref().map(|known| known.challenge.clone());
        let told = challenge.map_or(Told::Nothing, Told::Challenge);
        let plea = Plea { told, ..Plea::new(401, "the session ended before the response began") };
        self.answer_or_close(connection, &plea, Gone::SessionEnded)
    }
}

/// The session that a record names.
fn session_of(record: &Record) -> Option<SessionKey> {
    (record.session != NO_SESSION).then(|| SessionKey::from_bytes(record.session))
}

impl Told {
    /// As an answer says it.
    pub(crate) fn aside(&self) -> Aside<'_> {
        match self {
            Self::Nothing => Aside::Nothing,
            Self::Location(address) => Aside::Location(address),
            Self::Challenge(challenge) => Aside::Challenge(challenge),
        }
    }
}

impl Plea {
    /// What counts such answers, if anything does.
    pub(crate) const fn counter(&self) -> Option<Counter> {
        match self.told {
            Told::Nothing => None,
            Told::Location(_) => Some(Counter::AccessRedirected),
            Told::Challenge(_) => Some(Counter::AccessRefused),
        }
    }
}
