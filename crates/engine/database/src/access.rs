//! Who may use the admin API, and what they did with it.

use crate::id::{ApiTokenId, AuditId, Hash, UserId};
use crate::time::WallTime;

/// What a user may do. Each may do what the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Viewer,
    Operator,
    Administrator,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    /// A password hash with its parameters (PHC string); empty if there is no password.
    pub password: String,
    pub disabled: bool,
    pub created_at: WallTime,
    pub used_at: Option<WallTime>,
}

/// What to change of a user; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    pub role: Option<Role>,
    pub password: Option<String>,
    pub disabled: Option<bool>,
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Of the cookie.
    pub secret: Hash,
    pub user: User,
    pub created_at: WallTime,
    pub used_at: WallTime,
    pub expires_at: WallTime,
    pub address: String,
}

/// A secret for programs to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiToken {
    pub secret: Hash,
    pub user: UserId,
    /// At most the user's own role counts.
    pub role: Role,
    pub expires_at: Option<WallTime>,
    pub note: String,
}

/// A secret for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: ApiTokenId,
    pub user: UserId,
    pub role: Role,
    pub created_at: WallTime,
    pub expires_at: Option<WallTime>,
    pub used_at: Option<WallTime>,
    pub note: String,
}

/// Who asks for a change. It is written down in the same transaction as the change itself, so
/// there is none without the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// A user's name, or the name of a job.
    pub actor: String,
    pub address: String,
    /// What was asked for: `group.create`.
    pub action: String,
    /// What it was done to, by name.
    pub subject: String,
    /// JSON: what was before and after.
    pub detail: Vec<u8>,
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub id: AuditId,
    pub at: WallTime,
    pub audit: Audit,
}

/// Which lines. Nothing set: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<String>,
    /// Exactly, or with a `*` at the end all that begin so.
    pub action: Option<String>,
    pub subject: Option<String>,
}
