//! The store over either database: each operation is handed to the backend, which runs it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::access::{
    ApiToken, Audit, AuditFilter, AuditRow, NewApiToken, Role, Session as Login, User, UserChange,
};
use crate::agent::{
    AgentFilter, AgentRow, Credential, Enrolled, Enrolment, EnrolmentToken, FleetCounts, Fork,
    NewEnrolmentToken, Standing, StreamRow,
};
use crate::alert::{AlertFilter, AlertRow, AlertState, NewAlert};
use crate::configuration::{
    Configuration, Group, Member, NewRollout, NewVersion, Rollout, RolloutStep, Version,
};
use crate::error::StoreError;
use crate::event::{EventDay, EventFilter, EventPosition, EventRow, NewEvent};
use crate::exchange::{Exchange, Exchanged, Loaded};
use crate::id::{
    AgentUid, AlertId, ApiTokenId, ConfigurationId, EnrolmentId, GroupId, Hash, ManagerId,
    RolloutId, StreamId, UserId, VersionId,
};
use crate::manager::{Drain, Lease, ManagerBeat, ManagerRow};
use crate::page::{Page, Range};
use crate::time::{Day, WallTime};

use crate::backend::Backend;
use crate::limits::Limits;
use crate::location::Location;
use crate::operation::{
    access, agents, alerts, audit, configurations, enrolment, events, groups, managers, presence,
    rollouts, settings,
};
use crate::postgres::Postgres;
use crate::session::Session;
use crate::sqlite::Sqlite;
use crate::store::{Store, Stored};

/// Opens the database at `location`, and makes or migrates what is in it. Within a runtime.
pub async fn open(location: &Location, limits: &Limits) -> Stored<Arc<dyn Store>> {
    match location {
        Location::File(path) => {
            let (path, limits) = (path.clone(), limits.clone());
            let opened = tokio::task::spawn_blocking(move || Sqlite::open(&path, &limits)).await;
            let backend = opened.unwrap_or(Err(StoreError::Closed))?;
            Ok(Arc::new(Database::new(backend).await?))
        }
        Location::Postgres(location) => {
            let backend = Postgres::open(location, limits).await?;
            Ok(Arc::new(Database::new(backend).await?))
        }
    }
}

/// A backend with what all backends do alike.
#[derive(Debug)]
struct Database<B> {
    backend: B,
    id: String,
}

impl<B: Backend> Database<B> {
    async fn new(backend: B) -> Stored<Self> {
        let id = backend.write(settings::database_id).await?;
        // Today must have a place before the first exchange.
        backend.turn_days(u32::MAX).await?;
        Ok(Self { backend, id })
    }
}

#[async_trait]
impl<B: Backend> Store for Database<B> {
    async fn database_id(&self) -> Stored<String> {
        Ok(self.id.clone())
    }

    async fn now(&self) -> Stored<WallTime> {
        self.backend.read(|s| s.now()).await
    }

    async fn setting(&self, key: &str) -> Stored<Option<Vec<u8>>> {
        let key = key.to_owned();
        self.backend.read(move |s| settings::get(s, &key)).await
    }

    async fn set_setting(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        audit: Option<Audit>,
    ) -> Stored<bool> {
        let key = key.to_owned();
        let expected = expected.map(<[u8]>::to_vec);
        let value = value.map(<[u8]>::to_vec);
        self.backend
            .write(move |s| {
                settings::set(s, &key, (expected.as_deref(), value.as_deref()), audit.as_ref())
            })
            .await
    }

    async fn load(&self, agent: AgentUid, stream: Option<StreamId>) -> Stored<Option<Loaded>> {
        self.backend.load(agent, stream.unwrap_or(StreamId([0; 16]))).await
    }

    async fn last_reply(&self, agent: AgentUid, sequence: u64) -> Stored<Option<Vec<u8>>> {
        self.backend.last_reply(agent, sequence).await
    }

    async fn exchange(&self, exchange: Exchange) -> Stored<Exchanged> {
        self.backend.exchange(exchange).await
    }

    async fn enroll(&self, enrolment: Enrolment) -> Stored<Enrolled> {
        self.backend.write(move |s| enrolment::enroll(s, &enrolment)).await
    }

    async fn record_fork(&self, fork: Fork) -> Stored<()> {
        self.backend.write(move |s| presence::record_fork(s, &fork)).await
    }

    async fn sweep_offline(&self, silent_since: WallTime, limit: u32) -> Stored<Vec<AgentUid>> {
        self.backend.write(move |s| presence::sweep(s, silent_since, limit)).await
    }

    async fn agent(&self, agent: AgentUid) -> Stored<Option<AgentRow>> {
        self.backend.read(move |s| agents::get(s, agent)).await
    }

    async fn agents(&self, filter: AgentFilter, range: Range) -> Stored<Page<AgentRow>> {
        self.backend.read(move |s| agents::list(s, &filter, &range)).await
    }

    async fn fleet_counts(&self, late_since: WallTime) -> Stored<FleetCounts> {
        self.backend.read(move |s| agents::counts(s, late_since)).await
    }

    async fn effective_text(&self, agent: AgentUid) -> Stored<Option<Vec<u8>>> {
        self.backend.read(move |s| agents::effective_text(s, agent)).await
    }

    async fn move_agents(&self, agents: Vec<AgentUid>, to: GroupId, audit: Audit) -> Stored<u64> {
        self.backend.write(move |s| agents::move_to(s, &agents, to, &audit)).await
    }

    async fn set_standing(
        &self,
        agents: Vec<AgentUid>,
        standing: Standing,
        audit: Audit,
    ) -> Stored<u64> {
        self.backend.write(move |s| agents::set_standing(s, &agents, standing, &audit)).await
    }

    async fn set_credential(
        &self,
        agent: AgentUid,
        expected: Credential,
        credential: Credential,
        audit: Option<Audit>,
    ) -> Stored<bool> {
        self.backend
            .write(move |s| {
                agents::set_credential(s, agent, (&expected, &credential), audit.as_ref())
            })
            .await
    }

    async fn retire_keys(&self, agents: Vec<AgentUid>, audit: Audit) -> Stored<u64> {
        self.backend.write(move |s| agents::retire_keys(s, &agents, &audit)).await
    }

    async fn set_own_version(
        &self,
        agent: AgentUid,
        version: Option<VersionId>,
        audit: Audit,
    ) -> Stored<()> {
        self.backend.write(move |s| agents::set_own_version(s, agent, version, &audit)).await
    }

    async fn remove_agent(&self, agent: AgentUid, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| agents::remove(s, agent, &audit)).await
    }

    async fn streams(&self, agent: AgentUid) -> Stored<Vec<StreamRow>> {
        self.backend.read(move |s| agents::streams(s, agent)).await
    }

    async fn create_enrolment_token(
        &self,
        token: NewEnrolmentToken,
        audit: Audit,
    ) -> Stored<EnrolmentId> {
        self.backend.write(move |s| enrolment::create_token(s, &token, &audit)).await
    }

    async fn enrolment_tokens(&self) -> Stored<Vec<EnrolmentToken>> {
        self.backend.read(move |s| enrolment::tokens(s)).await
    }

    async fn revoke_enrolment_token(&self, token: EnrolmentId, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| enrolment::revoke(s, token, &audit)).await
    }

    async fn tell(&self, manager: Option<ManagerId>, events: Vec<NewEvent>) -> Stored<()> {
        self.backend.write(move |s| s.tell(manager, &events)).await
    }

    async fn events(&self, filter: EventFilter, range: Range) -> Stored<Page<EventRow>> {
        self.backend.read(move |s| events::list(s, &filter, &range)).await
    }

    async fn events_after(
        &self,
        after: EventPosition,
        filter: EventFilter,
        limit: u32,
    ) -> Stored<(Vec<EventRow>, EventPosition)> {
        self.backend.read(move |s| events::after(s, after, &filter, limit)).await
    }

    async fn events_end(&self) -> Stored<EventPosition> {
        self.backend.read(move |s| events::end(s)).await
    }

    async fn event_days(&self) -> Stored<Vec<EventDay>> {
        self.backend.read(events::days_with_counts).await
    }

    async fn turn_days(&self, keep: u32) -> Stored<Vec<Day>> {
        self.backend.turn_days(keep).await
    }

    async fn create_group(&self, name: &str, note: &str, audit: Audit) -> Stored<GroupId> {
        let name = name.to_owned();
        let note = note.to_owned();
        self.backend.write(move |s| groups::create(s, &name, &note, &audit)).await
    }

    async fn groups(&self) -> Stored<Vec<Group>> {
        self.backend.read(move |s| groups::list(s)).await
    }

    async fn rename_group(&self, g: GroupId, name: &str, note: &str, audit: Audit) -> Stored<()> {
        let name = name.to_owned();
        let note = note.to_owned();
        self.backend.write(move |s| groups::rename(s, g, (&name, &note), &audit)).await
    }

    async fn remove_group(&self, group: GroupId, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| groups::remove(s, group, &audit)).await
    }

    async fn set_group_version(
        &self,
        group: GroupId,
        version: Option<VersionId>,
        audit: Audit,
    ) -> Stored<()> {
        self.backend.write(move |s| groups::set_version(s, group, version, &audit)).await
    }

    async fn create_configuration(
        &self,
        name: &str,
        note: &str,
        audit: Audit,
    ) -> Stored<ConfigurationId> {
        let name = name.to_owned();
        let note = note.to_owned();
        self.backend.write(move |s| configurations::create(s, &name, &note, &audit)).await
    }

    async fn configurations(&self) -> Stored<Vec<Configuration>> {
        self.backend.read(move |s| configurations::list(s)).await
    }

    async fn remove_configuration(&self, id: ConfigurationId, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| configurations::remove(s, id, &audit)).await
    }

    async fn add_version(&self, version: NewVersion, audit: Audit) -> Stored<Version> {
        self.backend.write(move |s| configurations::add(s, &version, &audit)).await
    }

    async fn versions(
        &self,
        configuration: ConfigurationId,
        range: Range,
    ) -> Stored<Page<Version>> {
        self.backend.read(move |s| configurations::versions(s, configuration, &range)).await
    }

    async fn version(&self, version: VersionId) -> Stored<Option<Version>> {
        self.backend.read(move |s| configurations::version(s, version)).await
    }

    async fn version_text(&self, version: VersionId) -> Stored<Option<Vec<u8>>> {
        self.backend.read(move |s| configurations::text(s, version)).await
    }

    async fn create_rollout(&self, rollout: NewRollout, audit: Audit) -> Stored<RolloutId> {
        self.backend.write(move |s| rollouts::create(s, &rollout, &audit)).await
    }

    async fn rollout(&self, rollout: RolloutId) -> Stored<Option<Rollout>> {
        self.backend.read(move |s| rollouts::get(s, rollout)).await
    }

    async fn rollouts(&self, group: Option<GroupId>, range: Range) -> Stored<Page<Rollout>> {
        self.backend.read(move |s| rollouts::list(s, group, &range)).await
    }

    async fn live_rollouts(&self) -> Stored<Vec<Rollout>> {
        self.backend.read(move |s| rollouts::live(s)).await
    }

    async fn members(&self, rollout: RolloutId, range: Range) -> Stored<Page<Member>> {
        self.backend.read(move |s| rollouts::members(s, rollout, &range)).await
    }

    async fn step_rollout(&self, step: RolloutStep, audit: Option<Audit>) -> Stored<bool> {
        self.backend.write(move |s| rollouts::step(s, &step, audit.as_ref())).await
    }

    async fn beat(&self, beat: ManagerBeat) -> Stored<Drain> {
        self.backend.write(move |s| managers::beat(s, &beat)).await
    }

    async fn managers(&self) -> Stored<Vec<ManagerRow>> {
        self.backend.read(move |s| managers::list(s)).await
    }

    async fn set_drain(&self, manager: ManagerId, drain: Drain, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| managers::set_drain(s, manager, drain, &audit)).await
    }

    async fn remove_manager(&self, manager: ManagerId, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| managers::remove(s, manager, &audit)).await
    }

    async fn lease(&self, name: &str, holder: ManagerId, ttl: Duration) -> Stored<Lease> {
        let name = name.to_owned();
        self.backend.write(move |s| managers::lease(s, &name, holder, ttl)).await
    }

    async fn release(&self, name: &str, holder: ManagerId) -> Stored<()> {
        let name = name.to_owned();
        self.backend.write(move |s| managers::release(s, &name, holder)).await
    }

    async fn create_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        audit: Audit,
    ) -> Stored<UserId> {
        let name = name.to_owned();
        let password = password.to_owned();
        self.backend.write(move |s| access::create(s, &name, (&password, role), &audit)).await
    }

    async fn users(&self) -> Stored<Vec<User>> {
        self.backend.read(move |s| access::users(s)).await
    }

    async fn user_named(&self, name: &str) -> Stored<Option<User>> {
        let name = name.to_owned();
        self.backend.read(move |s| access::named(s, &name)).await
    }

    async fn change_user(&self, user: UserId, change: UserChange, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| access::change(s, user, &change, &audit)).await
    }

    async fn remove_user(&self, user: UserId, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| access::remove(s, user, &audit)).await
    }

    async fn open_session(
        &self,
        secret: Hash,
        user: UserId,
        ttl: Duration,
        audit: Audit,
    ) -> Stored<()> {
        self.backend.write(move |s| access::open_session(s, secret, (user, ttl), &audit)).await
    }

    async fn session(&self, secret: Hash, idle: Duration) -> Stored<Option<Login>> {
        let read = move |s: &mut dyn Session| access::session(s, secret, idle);
        let Some((login, note)) = self.backend.read(read).await? else { return Ok(None) };
        if note == access::Note::Used {
            self.backend.write(move |s| access::note_session(s, secret)).await?;
        }
        Ok(Some(login))
    }

    async fn close_session(&self, secret: Hash) -> Stored<()> {
        self.backend.write(move |s| access::close_session(s, secret)).await
    }

    async fn sweep_sessions(&self) -> Stored<u64> {
        self.backend.write(move |s| access::sweep_sessions(s)).await
    }

    async fn create_api_token(&self, token: NewApiToken, audit: Audit) -> Stored<ApiTokenId> {
        self.backend.write(move |s| access::create_token(s, &token, &audit)).await
    }

    async fn api_tokens(&self) -> Stored<Vec<ApiToken>> {
        self.backend.read(move |s| access::tokens(s)).await
    }

    async fn api_token(&self, secret: Hash) -> Stored<Option<(ApiToken, User)>> {
        let read = move |s: &mut dyn Session| access::token(s, secret);
        let Some((token, user, note)) = self.backend.read(read).await? else { return Ok(None) };
        if note == access::Note::Used {
            let id = token.id;
            self.backend.write(move |s| access::note_token(s, id)).await?;
        }
        Ok(Some((token, user)))
    }

    async fn revoke_api_token(&self, token: ApiTokenId, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| access::revoke_token(s, token, &audit)).await
    }

    async fn audit(&self, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| audit::write(s, &audit)).await
    }

    async fn audit_log(&self, filter: AuditFilter, range: Range) -> Stored<Page<AuditRow>> {
        self.backend.read(move |s| audit::list(s, &filter, &range)).await
    }

    async fn raise(&self, alert: NewAlert) -> Stored<AlertId> {
        self.backend.write(move |s| alerts::raise(s, &alert)).await
    }

    async fn settle(&self, key: &str) -> Stored<bool> {
        let key = key.to_owned();
        self.backend.write(move |s| alerts::settle(s, &key)).await
    }

    async fn alerts(&self, filter: AlertFilter, range: Range) -> Stored<Page<AlertRow>> {
        self.backend.read(move |s| alerts::list(s, &filter, &range)).await
    }

    async fn set_alert(&self, alert: AlertId, state: AlertState, audit: Audit) -> Stored<()> {
        self.backend.write(move |s| alerts::set(s, alert, state, &audit)).await
    }
}
