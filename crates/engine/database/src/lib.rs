//! What managers know, in SQLite or PostgreSQL.
//!
//! Managers keep nothing that matters to themselves. Whatever one of them must know of an
//! agent, an operator or another manager is a row behind [`Store`], and one suite
//! says what a backend must do.
//!
//! # Not here
//!
//! What an exchange means: `mainstay-fleet`. Messages: `mainstay-opamp`. Who may ask: the
//! manager.
//!
//! Source: DESIGN 10.

#![forbid(unsafe_code)]

mod access;
mod agent;
mod alert;
mod backend;
mod configuration;
mod database;
mod error;
mod event;
mod exchange;
mod id;
mod limits;
mod location;
mod manager;
mod operation;
mod page;
mod postgres;
mod queue;
mod schema;
mod session;
mod sql;
mod sqlite;
mod store;
mod time;

pub use access::{
    ApiToken, Audit, AuditFilter, AuditRow, NewApiToken, Role, Session, User, UserChange,
};
pub use agent::{
    AgentFilter, AgentRow, Applied, AppliedState, Credential, Enrolled, Enrolment,
    EnrolmentRefusal, EnrolmentToken, FleetCounts, Fork, NewEnrolmentToken, Presence, Standing,
    StatusReport, StreamRow, Sync,
};
pub use alert::{AlertFilter, AlertRow, AlertState, NewAlert};
pub use configuration::{
    Configuration, Desire, Group, Member, MemberState, NewRollout, NewVersion, Rollout,
    RolloutState, RolloutStep, Version,
};
pub use database::open;
pub use error::StoreError;
pub use event::{EventDay, EventFilter, EventPosition, EventRow, NewEvent, Severity};
pub use exchange::{
    AgentEvent, ChainRow, ChainedEvent, Desired, EventBatch, EventCursor, Exchange, Exchanged,
    Judgement, Loaded,
};
pub use id::{
    AgentUid, AlertId, ApiTokenId, AuditId, ConfigurationId, EnrolmentId, GroupId, Hash, ManagerId,
    NotAnId, RolloutId, StreamId, UserId, VersionId,
};
pub use limits::Limits;
pub use location::{Location, LocationError, PostgresLocation};
pub use manager::{Drain, Lease, ManagerBeat, ManagerRow};
pub use page::{Page, Range};
pub use store::{Store, Stored};
pub use time::{Day, WallTime};
