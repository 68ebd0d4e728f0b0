//! Groups of gateways, and what they should serve.

pub use mainstay_fleet::rollout::Desire;

use crate::agent::{Applied, Presence};
use crate::id::{AgentUid, ConfigurationId, GroupId, Hash, RolloutId, VersionId};
use crate::time::WallTime;

/// A group of gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: GroupId,
    pub name: String,
    pub note: String,
    /// What its agents should serve, unless a rollout says otherwise.
    pub version: Option<VersionId>,
    pub agents: u64,
    pub created_at: WallTime,
}

/// A configuration: a name for a row of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    pub id: ConfigurationId,
    pub name: String,
    pub note: String,
    /// Number of its last version; 0 if there is none yet.
    pub last: u32,
    pub created_at: WallTime,
}

/// A version without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub id: VersionId,
    pub configuration: ConfigurationId,
    /// Within the configuration, from 1.
    pub number: u32,
    pub hash: Hash,
    /// Bytes of its text.
    pub size: u64,
    pub note: String,
    pub created_at: WallTime,
    pub created_by: String,
}

/// A text to keep. It was validated by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    pub configuration: ConfigurationId,
    /// The number of the last version that its author has seen; another one refuses it.
    pub after: u32,
    pub hash: Hash,
    pub text: Vec<u8>,
    pub note: String,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Somebody must start it.
    Draft,
    Running,
    /// A wave has failed, or somebody stopped it. What was offered stays.
    Halted,
    RollingBack,
    RolledBack,
    /// Every wave has it, and it is the group's version now.
    Done,
}

/// Where one agent stands in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// Its wave has not come.
    Waiting,
    /// It should serve the new version, and has not said what came of it.
    Offered,
    Applied,
    Failed,
    /// It should serve what it served before.
    RolledBack,
}

/// A rollout to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRollout {
    pub group: GroupId,
    pub version: VersionId,
    /// [`RolloutState::Draft`] or [`RolloutState::Running`].
    pub state: RolloutState,
    /// The plan (waves, limits), as the manager encodes it.
    pub plan: Vec<u8>,
    /// Everyone with the number of their wave, from 0.
    pub members: Vec<(AgentUid, u32)>,
    pub note: String,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub id: RolloutId,
    pub group: GroupId,
    pub version: VersionId,
    /// What the group's version was when it began.
    pub former: Option<VersionId>,
    pub state: RolloutState,
    /// The last wave that was offered; none before the first.
    pub wave: Option<u32>,
    /// When that wave was offered.
    pub wave_at: Option<WallTime>,
    pub plan: Vec<u8>,
    /// Grows with every step; a step names the one it was decided on.
    pub revision: u64,
    /// Why it is in this state.
    pub reason: String,
    pub note: String,
    pub created_at: WallTime,
    pub created_by: String,
    pub updated_at: WallTime,
}

/// A member of a rollout, with what its agent last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub agent: AgentUid,
    pub wave: u32,
    pub state: MemberState,
    pub message: String,
    pub updated_at: WallTime,
    /// What the agent should have said for [`MemberState::Applied`]: its last outcome.
    pub applied: Option<Applied>,
    pub effective: Option<Hash>,
    pub healthy: Option<bool>,
    pub presence: Presence,
    pub seen_at: Option<WallTime>,
}

/// What a rollout does next. Everything in it happens at once, or, if the rollout has been
/// changed meanwhile, not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStep {
    pub rollout: RolloutId,
    /// The revision that this was decided on.
    pub revision: u64,
    pub state: RolloutState,
    pub reason: String,
    /// Offer this wave: its waiting members should serve the new version from now on.
    pub offer: Option<u32>,
    /// What was found about members.
    pub members: Vec<(AgentUid, MemberState, String)>,
    /// What becomes of the version of the group and of its members.
    pub desire: Desire,
}
