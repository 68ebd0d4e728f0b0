//! Agents: who they are, how they joined, and what they last said.

pub use mainstay_fleet::enroll::Standing;

use crate::exchange::{ChainRow, Desired, EventCursor};
use crate::id::{AgentUid, EnrolmentId, GroupId, Hash, ManagerId, VersionId};
use crate::time::WallTime;

/// How an agent proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Signs every request with the Ed25519 key whose public half this is.
    Key([u8; 32]),
    /// Brings a secret of which this is the hash: OpAMP clients that cannot sign.
    Bearer(Hash),
}

/// Whether an agent is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has enrolled, and not been heard since.
    Never,
    Online,
    /// Its absence has been recorded as an event, or it has taken its leave.
    Offline,
}

/// What an agent says about itself. `None` means: as before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusReport {
    /// For people: the host's name.
    pub name: Option<String>,
    /// Of the agent's program.
    pub version: Option<String>,
    /// OpAMP's capability bits.
    pub capabilities: Option<u64>,
    /// The agent description, as the manager chose to encode it.
    pub description: Option<Vec<u8>>,
    pub healthy: Option<bool>,
    /// The health tree, as the manager chose to encode it.
    pub health: Option<Vec<u8>>,
    /// Of the configuration it serves.
    pub effective: Option<Hash>,
    /// The text that it serves.
    pub effective_text: Option<Vec<u8>>,
    pub applied: Option<Applied>,
    /// Of the pin by which it knew this manager.
    pub pin: Option<Hash>,
    /// Its list of managers, where it is in it, why it switched last: the manager's encoding.
    pub contact: Option<Vec<u8>>,
}

/// What came of the configuration that was offered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub state: AppliedState,
    /// Of the offered configuration.
    pub hash: Hash,
    /// Why it failed.
    pub message: String,
}

/// OpAMP's `RemoteConfigStatuses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliedState {
    Unset,
    Applied,
    Applying,
    Failed,
}

/// An agent that wants to join with an enrolment token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Of the token's secret.
    pub secret: Hash,
    /// What the agent chose; if the uid is taken by another key it is refused.
    pub agent: AgentUid,
    pub credential: Credential,
    pub fingerprint: Vec<u8>,
    pub name: String,
    pub version: String,
    /// Sequence number and token after the answer to this request.
    pub chain: ChainRow,
    /// What is sent again if the reply gets lost.
    pub reply: Vec<u8>,
    pub manager: ManagerId,
    pub address: String,
}

/// What became of an [`Enrolment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// A row was made.
    New {
        group: GroupId,
        standing: Standing,
    },
    /// The same agent with the same key is there: the reply to its first try got lost, or it
    /// registers again. Its chain is now the one of this request; the token lost no use.
    Again {
        group: GroupId,
        standing: Standing,
    },
    Refused(EnrolmentRefusal),
}

/// Why an agent may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentRefusal {
    UnknownToken,
    Expired,
    UsedUp,
    Revoked,
    /// The uid belongs to somebody with another key.
    UidTaken,
    /// The key belongs to another uid.
    KeyTaken,
    /// The agent is blocked.
    Blocked,
}

/// A token to make. The secret is drawn by the caller and shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnrolmentToken {
    pub secret: Hash,
    pub group: GroupId,
    pub expires_at: Option<WallTime>,
    /// How many agents may join with it; none for any number.
    pub uses: Option<u32>,
    /// Of those who join: [`Standing::Active`], or [`Standing::Pending`] if somebody must look.
    pub standing: Standing,
    pub note: String,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentToken {
    pub id: EnrolmentId,
    pub group: GroupId,
    pub created_at: WallTime,
    pub created_by: String,
    pub expires_at: Option<WallTime>,
    pub uses: Option<u32>,
    pub used: u32,
    pub revoked: bool,
    pub standing: Standing,
    pub note: String,
}

/// All that is known of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    pub agent: AgentUid,
    pub group: GroupId,
    pub name: String,
    pub version: String,
    pub credential: Credential,
    /// Whether it is to replace the key that it has.
    pub key_retired: bool,
    pub standing: Standing,
    pub fingerprint: Vec<u8>,
    pub enrolled_at: WallTime,
    /// The token it joined with; none if it was removed since.
    pub enrolled_with: Option<EnrolmentId>,
    pub chain: ChainRow,
    pub presence: Presence,
    pub seen_at: Option<WallTime>,
    pub manager: Option<ManagerId>,
    pub address: String,
    pub capabilities: u64,
    pub description: Vec<u8>,
    pub healthy: Option<bool>,
    pub health: Vec<u8>,
    pub effective: Option<Hash>,
    pub applied: Option<Applied>,
    pub desired: Option<Desired>,
    /// Set by hand or by a rollout; none if the group's counts.
    pub own_version: Option<VersionId>,
    pub pin: Option<Hash>,
    pub contact: Vec<u8>,
    /// Times that two holders of this identity were seen.
    pub forks: u32,
    pub forked_at: Option<WallTime>,
}

/// Whom a list is about. Nothing set: everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFilter {
    /// Part of the name, of the address, or the beginning of the uid; case does not count.
    pub search: Option<String>,
    pub group: Option<GroupId>,
    pub standing: Option<Standing>,
    pub presence: Option<Presence>,
    pub healthy: Option<bool>,
    /// Heard of last at this instant or later.
    pub seen_from: Option<WallTime>,
    /// Heard of last before this instant.
    pub seen_before: Option<WallTime>,
    pub sync: Option<Sync>,
}

/// Whether an agent serves what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// What it serves is what it should serve, or it should serve nothing in particular.
    InSync,
    /// It serves something else, and has not failed.
    Drifting,
    /// It could not apply what it should serve.
    Failed,
}

/// The fleet in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetCounts {
    pub agents: u64,
    pub never: u64,
    pub offline: u64,
    /// Not recorded as offline, but silent since before the instant that was given.
    pub late: u64,
    pub online: u64,
    pub pending: u64,
    pub blocked: u64,
    pub in_sync: u64,
    pub drifting: u64,
    pub failed: u64,
    /// Program versions, the most frequent first.
    pub versions: Vec<(String, u64)>,
    /// By the manager that heard them last.
    pub managers: Vec<(ManagerId, u64)>,
    /// By the pin they know us by; stragglers of a rotation are here.
    pub pins: Vec<(Option<Hash>, u64)>,
}

/// Two holders of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    pub agent: AgentUid,
    /// What the second holder presented.
    pub sequence: u64,
    pub fingerprint: Vec<u8>,
    pub address: String,
    /// JSON for the alert.
    pub detail: Vec<u8>,
}

/// A stream of an agent, for the proof that nothing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRow {
    pub cursor: EventCursor,
    pub updated_at: WallTime,
}
