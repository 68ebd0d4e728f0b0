//! What a manager may ask of its database. Everything that outlives a request is here, so any
//! manager can serve any agent.
//!
//! # Invariants
//!
//! 1. An answer comes after the commit is on the disk. An error of
//!    [`StoreError::Unavailable`] leaves open whether the operation took place; every operation
//!    can be asked for again (an exchange then finds its own row and reports it as moved).
//! 2. Each operation is one transaction, and they behave as if they ran one after the other.
//! 3. Time is the database's: no operation takes the caller's word for what time it is.
//!
//! # Not here
//!
//! What to do about an answer: `mainstay-fleet` and the manager.

use std::time::Duration;

use async_trait::async_trait;

use crate::access::{
    ApiToken, Audit, AuditFilter, AuditRow, NewApiToken, Role, Session, User, UserChange,
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

/// What came of an operation.
pub type Stored<T> = Result<T, StoreError>;

/// The database of a fleet.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    // The database itself.

    /// Drawn when the database was made: what an agent is registered with.
    async fn database_id(&self) -> Stored<String>;
    /// The database's clock.
    async fn now(&self) -> Stored<WallTime>;
    async fn setting(&self, key: &str) -> Stored<Option<Vec<u8>>>;
    /// Sets `key` to `value` (none removes it) if it is `expected` now; whether it was.
    async fn set_setting(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        audit: Option<Audit>,
    ) -> Stored<bool>;

    // Exchanges.

    /// The row of an agent, and how far `stream` is stored. No agent: none.
    async fn load(&self, agent: AgentUid, stream: Option<StreamId>) -> Stored<Option<Loaded>>;
    /// The reply to the exchange with this number, if it was the last.
    async fn last_reply(&self, agent: AgentUid, sequence: u64) -> Stored<Option<Vec<u8>>>;
    /// Commits one exchange, together with what others commit at the same time.
    async fn exchange(&self, exchange: Exchange) -> Stored<Exchanged>;
    async fn enroll(&self, enrolment: Enrolment) -> Stored<Enrolled>;
    /// Counts a second holder of an identity, and raises the alert `clone:<uid>`.
    async fn record_fork(&self, fork: Fork) -> Stored<()>;
    /// Records as offline whom nobody has heard since `silent_since`, with an event
    /// `agent.offline` for each; at most `limit` of them. For the holder of a lease.
    async fn sweep_offline(&self, silent_since: WallTime, limit: u32) -> Stored<Vec<AgentUid>>;

    // Agents.

    async fn agent(&self, agent: AgentUid) -> Stored<Option<AgentRow>>;
    /// By name, then uid.
    async fn agents(&self, filter: AgentFilter, range: Range) -> Stored<Page<AgentRow>>;
    /// `late_since`: who was not heard since is counted as late.
    async fn fleet_counts(&self, late_since: WallTime) -> Stored<FleetCounts>;
    /// The text that an agent last said to serve.
    async fn effective_text(&self, agent: AgentUid) -> Stored<Option<Vec<u8>>>;
    async fn move_agents(&self, agents: Vec<AgentUid>, to: GroupId, audit: Audit) -> Stored<u64>;
    async fn set_standing(
        &self,
        agents: Vec<AgentUid>,
        standing: Standing,
        audit: Audit,
    ) -> Stored<u64>;
    /// Replaces a credential if it is still `expected`; whether it was.
    async fn set_credential(
        &self,
        agent: AgentUid,
        expected: Credential,
        credential: Credential,
        audit: Option<Audit>,
    ) -> Stored<bool>;
    /// Has agents replace the keys that they have now, when they are heard next; how many have one
    /// that they were not to replace already.
    async fn retire_keys(&self, agents: Vec<AgentUid>, audit: Audit) -> Stored<u64>;
    /// Has one agent serve a version of its own; none: its group's again.
    async fn set_own_version(
        &self,
        agent: AgentUid,
        version: Option<VersionId>,
        audit: Audit,
    ) -> Stored<()>;
    /// Forgets an agent; its events stay.
    async fn remove_agent(&self, agent: AgentUid, audit: Audit) -> Stored<()>;
    async fn streams(&self, agent: AgentUid) -> Stored<Vec<StreamRow>>;

    async fn create_enrolment_token(
        &self,
        token: NewEnrolmentToken,
        audit: Audit,
    ) -> Stored<EnrolmentId>;
    async fn enrolment_tokens(&self) -> Stored<Vec<EnrolmentToken>>;
    async fn revoke_enrolment_token(&self, token: EnrolmentId, audit: Audit) -> Stored<()>;

    // Events.

    /// Stores what managers have to tell.
    async fn tell(&self, manager: Option<ManagerId>, events: Vec<NewEvent>) -> Stored<()>;
    /// The newest first.
    async fn events(&self, filter: EventFilter, range: Range) -> Stored<Page<EventRow>>;
    /// What follows `after`, the oldest first, at most `limit`; and where to go on from.
    async fn events_after(
        &self,
        after: EventPosition,
        filter: EventFilter,
        limit: u32,
    ) -> Stored<(Vec<EventRow>, EventPosition)>;
    /// Where [`Store::events_after`] finds what comes from now on.
    async fn events_end(&self) -> Stored<EventPosition>;
    async fn event_days(&self) -> Stored<Vec<EventDay>>;
    /// Makes room for today and the days that follow, and drops the days before the last
    /// `keep`, today included. Exchanges go on meanwhile. For the holder of a lease.
    async fn turn_days(&self, keep: u32) -> Stored<Vec<Day>>;

    // Groups and configurations.

    async fn create_group(&self, name: &str, note: &str, audit: Audit) -> Stored<GroupId>;
    async fn groups(&self) -> Stored<Vec<Group>>;
    async fn rename_group(&self, g: GroupId, name: &str, note: &str, audit: Audit) -> Stored<()>;
    /// Refused while it has agents or tokens.
    async fn remove_group(&self, group: GroupId, audit: Audit) -> Stored<()>;
    /// What a group should serve, at once and without waves.
    async fn set_group_version(
        &self,
        group: GroupId,
        version: Option<VersionId>,
        audit: Audit,
    ) -> Stored<()>;

    async fn create_configuration(
        &self,
        name: &str,
        note: &str,
        audit: Audit,
    ) -> Stored<ConfigurationId>;
    async fn configurations(&self) -> Stored<Vec<Configuration>>;
    /// Refused while a group, an agent or a rollout names one of its versions.
    async fn remove_configuration(&self, id: ConfigurationId, audit: Audit) -> Stored<()>;
    async fn add_version(&self, version: NewVersion, audit: Audit) -> Stored<Version>;
    /// The newest first.
    async fn versions(&self, configuration: ConfigurationId, range: Range)
    -> Stored<Page<Version>>;
    async fn version(&self, version: VersionId) -> Stored<Option<Version>>;
    async fn version_text(&self, version: VersionId) -> Stored<Option<Vec<u8>>>;

    /// One rollout of a group at a time.
    async fn create_rollout(&self, rollout: NewRollout, audit: Audit) -> Stored<RolloutId>;
    async fn rollout(&self, rollout: RolloutId) -> Stored<Option<Rollout>>;
    /// The newest first.
    async fn rollouts(&self, group: Option<GroupId>, range: Range) -> Stored<Page<Rollout>>;
    /// Those that are running or rolling back.
    async fn live_rollouts(&self) -> Stored<Vec<Rollout>>;
    async fn members(&self, rollout: RolloutId, range: Range) -> Stored<Page<Member>>;
    /// Whether the rollout was still at the revision that the step was decided on.
    async fn step_rollout(&self, step: RolloutStep, audit: Option<Audit>) -> Stored<bool>;

    // Managers.

    /// Says that a manager is there; whether it should drain.
    async fn beat(&self, beat: ManagerBeat) -> Stored<Drain>;
    async fn managers(&self) -> Stored<Vec<ManagerRow>>;
    async fn set_drain(&self, manager: ManagerId, drain: Drain, audit: Audit) -> Stored<()>;
    async fn remove_manager(&self, manager: ManagerId, audit: Audit) -> Stored<()>;
    /// Takes or keeps the job `name` for `ttl`, unless another has it.
    async fn lease(&self, name: &str, holder: ManagerId, ttl: Duration) -> Stored<Lease>;
    /// Gives the job back, if it is still the holder's.
    async fn release(&self, name: &str, holder: ManagerId) -> Stored<()>;

    // People.

    async fn create_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        audit: Audit,
    ) -> Stored<UserId>;
    async fn users(&self) -> Stored<Vec<User>>;
    async fn user_named(&self, name: &str) -> Stored<Option<User>>;
    /// The last administrator stays one. A new password, a lower role and disabling end the
    /// user's sessions.
    async fn change_user(&self, user: UserId, change: UserChange, audit: Audit) -> Stored<()>;
    async fn remove_user(&self, user: UserId, audit: Audit) -> Stored<()>;

    async fn open_session(
        &self,
        secret: Hash,
        user: UserId,
        ttl: Duration,
        audit: Audit,
    ) -> Stored<()>;
    /// The session of a cookie and its user, if it has not expired, has been used within
    /// `idle`, and the user is not disabled. That it was used is noted once a minute.
    async fn session(&self, secret: Hash, idle: Duration) -> Stored<Option<Session>>;
    async fn close_session(&self, secret: Hash) -> Stored<()>;
    /// Removes sessions that have expired, and says how many. For the holder of a lease.
    async fn sweep_sessions(&self) -> Stored<u64>;

    async fn create_api_token(&self, token: NewApiToken, audit: Audit) -> Stored<ApiTokenId>;
    async fn api_tokens(&self) -> Stored<Vec<ApiToken>>;
    /// The token with this secret and its user, if it counts. That it was used is noted once a
    /// minute.
    async fn api_token(&self, secret: Hash) -> Stored<Option<(ApiToken, User)>>;
    async fn revoke_api_token(&self, token: ApiTokenId, audit: Audit) -> Stored<()>;

    /// Writes down what was asked for and changed nothing here: a login that failed.
    async fn audit(&self, audit: Audit) -> Stored<()>;
    /// The newest first.
    async fn audit_log(&self, filter: AuditFilter, range: Range) -> Stored<Page<AuditRow>>;

    // Alerts.

    async fn raise(&self, alert: NewAlert) -> Stored<AlertId>;
    /// Closes the open alert with this key, if there is one: the condition has passed.
    async fn settle(&self, key: &str) -> Stored<bool>;
    /// The newest first.
    async fn alerts(&self, filter: AlertFilter, range: Range) -> Stored<Page<AlertRow>>;
    async fn set_alert(&self, alert: AlertId, state: AlertState, audit: Audit) -> Stored<()>;
}
