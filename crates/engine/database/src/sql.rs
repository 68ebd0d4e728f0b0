//! Statements of exchanges that both databases understand.

use crate::agent::StatusReport;
use crate::id::AgentUid;
use crate::session::{Code as _, Value};

/// Sets what was reported, and leaves the rest. [`status_values`] gives its parameters.
pub(crate) const STATUS: &str = "
    UPDATE agent SET
        name = COALESCE($2, name), version = COALESCE($3, version),
        capabilities = COALESCE($4, capabilities), description = COALESCE($5, description),
        healthy = COALESCE($6, healthy), health = COALESCE($7, health),
        effective = COALESCE($8, effective), applied_state = COALESCE($9, applied_state),
        applied_hash = COALESCE($10, applied_hash),
        applied_message = COALESCE($11, applied_message), pin = COALESCE($12, pin),
        contact = COALESCE($13, contact),
        reported = CASE WHEN $5 IS NULL THEN reported ELSE 1 END
    WHERE uid = $1";

pub(crate) fn status_values(agent: AgentUid, status: &StatusReport) -> [Value; 13] {
    let applied = status.applied.as_ref();
    [
        agent.into(),
        status.name.clone().into(),
        status.version.clone().into(),
        status.capabilities.into(),
        status.description.clone().into(),
        status.healthy.into(),
        status.health.clone().into(),
        status.effective.into(),
        applied.map(|applied| applied.state.code()).into(),
        applied.map(|applied| applied.hash).into(),
        applied.map(|applied| applied.message.clone()).into(),
        status.pin.into(),
        status.contact.clone().into(),
    ]
}

/// Keeps the text that an agent serves.
pub(crate) const EFFECTIVE_TEXT: &str = "
    INSERT INTO agent_text (agent, text) VALUES ($1, $2)
    ON CONFLICT (agent) DO UPDATE SET text = excluded.text";
