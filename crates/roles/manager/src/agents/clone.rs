//! What a second holder of an identity is told: another name, and a token to join under it.
//!
//! The host that enrolled keeps the identity. Name and token are made from the identity and the
//! second host's fingerprint, so however often a clone asks, there is one of each for it.

use std::time::Duration;

use mainstay_config::manager::Clones;
use mainstay_database::{Fork, Hash, Loaded, NewEnrolmentToken, Standing, StoreError};
use mainstay_model::InstanceUid;
use mainstay_opamp::enrol::Invite;
use mainstay_opamp::message::AgentIdentification;
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::wire;
use mainstay_trust::digest::sha256;
use mainstay_trust::token::{SECRET_BYTES, mac};
use serde_json::json;
use tracing::warn;

use super::enrol;
use super::exchange::Request;
use super::refused::Refused;
use crate::fleet::{Fleet, by_command_line};

/// How long a clone may take to join.
const VALID: Duration = Duration::from_hours(24);

/// The answer to a second holder. Nothing of its request is carried out.
pub(super) async fn other_name(
    fleet: &Fleet,
    request: &Request,
    loaded: &Loaded,
    fingerprint: &[u8],
) -> Result<Vec<u8>, Refused> {
    let drawn = mac(&fleet.chain_key.0, &[b"clone", &loaded.agent.0, fingerprint]);
    let secret = drawn.get(..SECRET_BYTES).unwrap_or(&drawn);
    if offer(fleet, loaded, Hash(sha256(secret))).await? == Offer::New {
        record(fleet, request, loaded, fingerprint).await?;
    }
    let mut luck = [0; 10];
    for (byte, drawn) in luck.iter_mut().zip(drawn.iter().skip(SECRET_BYTES)) {
        *byte = *drawn;
    }
    let name = InstanceUid::new(mainstay_os::unix_millis(), luck);
    let group = enrol::group_name(fleet, loaded.group).await?;
    let invite = Invite { secret: secret.to_vec(), group };
    let mut answer = enrol::message(request.agent, invite.to_message());
    answer.agent_identification = Some(AgentIdentification { new_instance_uid: name.into() });
    Ok(wire::encode(&answer))
}

/// A second holder is sent away; whoever runs the fleet hears of it.
pub(super) async fn refuse(
    fleet: &Fleet,
    request: &Request,
    loaded: &Loaded,
    fingerprint: &[u8],
) -> Result<Vec<u8>, Refused> {
    record(fleet, request, loaded, fingerprint).await?;
    Err(Refused::new(Refusal::Forked, "another host has this identity"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    New,
    There,
}

/// Makes the token, unless it is there.
async fn offer(fleet: &Fleet, loaded: &Loaded, secret: Hash) -> Result<Offer, Refused> {
    let token = NewEnrolmentToken {
        secret,
        group: loaded.group,
        expires_at: Some(loaded.now.plus(VALID)),
        uses: Some(1),
        standing: match fleet.settings.agents.clones {
            Clones::Enroll => Standing::Active,
            Clones::Approve | Clones::Refuse => Standing::Pending,
        },
        note: format!("for a second holder of {}", loaded.agent),
    };
    let mut asked = by_command_line("token.create", "a second holder of an identity");
    "clones".clone_into(&mut asked.actor);
    match fleet.store.create_enrolment_token(token, asked).await {
        Ok(_) => Ok(Offer::New),
        Err(StoreError::Exists { .. } | StoreError::Failed { .. }) => Ok(Offer::There),
        Err(error) => Err(Refused::store(fleet, &error)),
    }
}

async fn record(
    fleet: &Fleet,
    request: &Request,
    loaded: &Loaded,
    fingerprint: &[u8],
) -> Result<(), Refused> {
    let agent = loaded.agent;
    let address = request.peer.to_string();
    warn!(%agent, address, "an identity is held by two hosts, the second gets another");
    fleet.figures.forks.add(1);
    let detail = json!({
        "address": address,
        "sequence": request.message.sequence_num,
        "expected_sequence": loaded.chain.sequence.saturating_add(1),
    });
    let fork = Fork {
        agent,
        sequence: request.message.sequence_num,
        fingerprint: fingerprint.to_vec(),
        address,
        detail: detail.to_string().into_bytes(),
    };
    fleet.store.record_fork(fork).await.map_err(|error| Refused::store(fleet, &error))
}
