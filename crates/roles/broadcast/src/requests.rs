//! The lines of the session channel.
//!
//! An id is made a key here, as soon as it is read. Nothing that a line says is logged.

use std::time::Duration;

use anyhow::Context as _;
use mainstay_model::{Claims, Session, WallTime};
use mainstay_os::wall_now;
use mainstay_session::{Register, Whose, key_of};
use mainstay_wire::session::{
    LIST_MAX, Login, Reply, Request, Standing, Status, Use, Whose as Asked,
};

use crate::turn::Broadcast;

impl Broadcast {
    /// Carries out a line of a caller of the session channel.
    pub(crate) fn carry_out_session(&mut self, caller: u32, line: &[u8]) -> anyhow::Result<()> {
        let request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                self.refuse_session(caller, format!("the line is not a command: {error}"));
                return Ok(());
            }
        };
        let now = wall_now();
        match request {
            Request::Set(login) => self.log_in(caller, *login, now),
            Request::Touch { id } => {
                let uses = [Use { key: key_of(&id), at: now }];
                let count = self.sessions.register.find(Whose::Key(key_of(&id))).len();
                let update = self.sessions.register.used(&uses);
                self.change_sessions(Some((caller, count as u64)), update.into_iter().collect())
            }
            Request::Logout(asked) => self.log_out(caller, &asked),
            Request::Status {} => {
                let reply = Reply::Status(self.session_status());
                self.reply(caller, &reply);
                Ok(())
            }
            Request::List { subject } => {
                let reply = self.list_sessions(subject.as_deref());
                self.reply(caller, &reply);
                Ok(())
            }
        }
    }

    fn refuse_session(&mut self, caller: u32, reason: String) {
        self.reply(caller, &Reply::Refused { reason });
    }

    fn log_in(&mut self, caller: u32, login: Login, now: WallTime) -> anyhow::Result<()> {
        let text = serde_json::to_string(&login.claims).context("claims are JSON")?;
        let claims = match Claims::new(&text) {
            Ok(claims) => claims,
            Err(error) => {
                self.refuse_session(caller, error.to_string());
                return Ok(());
            }
        };
        let settings = &self.host.sessions;
        let limit = |asked: Option<u64>, default| asked.map_or(default, Duration::from_millis);
        let said = login.authenticated_at_ms.map_or(now, WallTime::from_millis);
        let session = Session {
            subject: login.subject,
            claims,
            // Nobody was authenticated later than now, whatever their clock says.
            authenticated_at: said.min(now),
            idle_limit: limit(login.idle_limit_ms, settings.idle),
            absolute_limit: limit(login.absolute_limit_ms, settings.absolute),
            provider_session: login.provider_session,
        };
        match self.sessions.register.set(key_of(&login.id), session, now) {
            Ok(update) => self.change_sessions(Some((caller, 1)), vec![update]),
            Err(error) => {
                self.refuse_session(caller, error.to_string());
                Ok(())
            }
        }
    }

    fn log_out(&mut self, caller: u32, asked: &Asked) -> anyhow::Result<()> {
        let named = [
            asked.id.as_ref().map(|id| Whose::Key(key_of(id))),
            asked.key.map(Whose::Key),
            asked.subject.as_deref().map(Whose::Subject),
            asked.provider_session.as_deref().map(Whose::ProviderSession),
        ];
        let mut named = named.into_iter().flatten();
        let (Some(whose), None) = (named.next(), named.next()) else {
            let reason = "a logout names exactly one of id, key, subject and provider_session";
            self.refuse_session(caller, reason.to_owned());
            return Ok(());
        };
        // Without any, the answer waits all the same: an earlier logout of them may be under
        // way still.
        let keys = self.sessions.register.find(whose);
        self.change_sessions(Some((caller, keys.len() as u64)), Register::log_out(&keys))
    }

    fn list_sessions(&self, subject: Option<&str>) -> Reply {
        let register = &self.sessions.register;
        let (keys, all) = match subject {
            Some(subject) => {
                let keys = register.find(Whose::Subject(subject));
                let all = keys.len();
                (keys, all)
            }
            None => {
                let keys = register.table().iter().take(LIST_MAX).map(|(key, ..)| *key);
                (keys.collect(), register.table().len())
            }
        };
        let sessions = register.list(keys.into_iter().take(LIST_MAX));
        Reply::List { sessions, all: all as u64 }
    }

    fn session_status(&self) -> Status {
        let sessions = &self.sessions;
        let replication = &sessions.replication;
        let standing = |standing: mainstay_session::Standing| Standing {
            process: standing.member.process.to_string(),
            pid: standing.member.pid,
            number: standing.number,
        };
        Status {
            sessions: sessions.register.table().len() as u64,
            sessions_max: self.host.sessions.max as u64,
            epoch: sessions.epoch,
            number: replication.last(),
            committed: replication.committed(),
            confirmed: replication.confirmed().unwrap_or(0),
            journal_bytes: sessions.journal.figures().tail_bytes,
            processes: replication.standings().into_iter().map(standing).collect(),
        }
    }
}
