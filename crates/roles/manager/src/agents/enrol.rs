//! How a host becomes an agent, and how an agent registers anew.
//!
//! ```text
//!   unknown name, a secret            a row is made with the key that signed
//!   known name, never heard since     the answer got lost: the same again
//!   known name                        refused with a challenge; with it, a new chain
//! ```
//!
//! The challenge keeps a recording of an enrolment from taking the chain away from its agent: it
//! is good until the agent's row moves. An agent that registers anew may bring another key; the
//! signature is that of the key in the database, so only its owner can change it. If the answer
//! to that got lost, the agent signs with the new one.

use mainstay_database::{
    AgentUid, ChainRow, Credential, Enrolled, Enrolment, EnrolmentRefusal, Exchange, Exchanged,
    GroupId, Hash, Loaded, NewEvent, Presence, Severity, StoreError,
};
use mainstay_fleet::chain::Verdict;
use mainstay_fleet::enroll::{Answer as Decision, Wish};
use mainstay_opamp::enrol::{self, Request as Wanted};
use mainstay_opamp::message::{CustomCapabilities, ServerToAgent};
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::{capability, wire};
use mainstay_trust::digest::{same, sha256};
use mainstay_trust::token::from_text;
use tracing::info;

use super::exchange::{Request, blocked, check_key, commit, decide, load, stale, unknown};
use super::proof::Signed;
use super::refused::Refused;
use super::{answer, clone, report, token};
use crate::fleet::Fleet;

/// How often a registration is decided again because its row had moved.
const ATTEMPTS: usize = 4;

/// Carries out a signed request to join or to register anew.
pub(super) async fn carry_out(
    fleet: &Fleet,
    request: &Request,
    wanted: &Wanted,
    signed: &Signed<'_>,
) -> Result<Vec<u8>, Refused> {
    match load(fleet, request.agent, None).await? {
        None => join(fleet, request, wanted, signed).await,
        Some(loaded) => anew(fleet, request, wanted, signed, loaded).await,
    }
}

async fn join(
    fleet: &Fleet,
    request: &Request,
    wanted: &Wanted,
    signed: &Signed<'_>,
) -> Result<Vec<u8>, Refused> {
    if wanted.secret.is_empty() {
        return Err(unknown());
    }
    let Ok(key) = <[u8; enrol::PUBLIC_KEY_BYTES]>::try_from(wanted.public_key.as_slice()) else {
        return Err(Refused::new(Refusal::Malformed, "a public key has 32 bytes"));
    };
    // Who enrols holds the key that it brings.
    signed.check(&key)?;
    let sequence = request.message.sequence_num;
    let chain = token::make(&fleet.chain_key, request.agent, sequence);
    let enrolment = Enrolment {
        secret: Hash(sha256(&wanted.secret)),
        agent: request.agent,
        credential: Credential::Key(key),
        fingerprint: wanted.host_fingerprint.clone(),
        name: wanted.host_name.clone(),
        version: version(request),
        chain: ChainRow { sequence, current: token::hash(&chain), previous: Hash::NONE },
        reply: Vec::new(),
        manager: fleet.id,
        address: request.peer.to_string(),
    };
    let group = enroll(fleet, enrolment).await?;
    info!(agent = %request.agent, name = wanted.host_name, "agent joined");
    enrolled(fleet, request, group, (sequence, chain)).await
}

/// Makes the row of an agent; the group that it is in.
pub(super) async fn enroll(fleet: &Fleet, enrolment: Enrolment) -> Result<GroupId, Refused> {
    let done = fleet.store.enroll(enrolment).await;
    match done.map_err(|error| Refused::store(fleet, &error))? {
        Enrolled::New { group, .. } | Enrolled::Again { group, .. } => {
            fleet.figures.enrolments.add(1);
            Ok(group)
        }
        Enrolled::Refused(refusal) => Err(refused(refusal)),
    }
}

fn refused(refusal: EnrolmentRefusal) -> Refused {
    let (refusal, sentence) = match refusal {
        EnrolmentRefusal::UnknownToken => (Refusal::TokenRefused, "there is no such token"),
        EnrolmentRefusal::Expired => (Refusal::TokenRefused, "the token has expired"),
        EnrolmentRefusal::UsedUp => (Refusal::TokenRefused, "the token is used up"),
        EnrolmentRefusal::Revoked => (Refusal::TokenRefused, "the token was revoked"),
        EnrolmentRefusal::UidTaken => {
            (Refusal::TokenRefused, "another agent has this name: choose another one")
        }
        EnrolmentRefusal::KeyTaken => {
            (Refusal::TokenRefused, "another agent has this key: make another one")
        }
        EnrolmentRefusal::Blocked => (Refusal::Revoked, "this agent is blocked"),
    };
    Refused::new(refusal, sentence)
}

/// A known agent wants another chain, and maybe another key.
async fn anew(
    fleet: &Fleet,
    request: &Request,
    wanted: &Wanted,
    signed: &Signed<'_>,
    mut loaded: Loaded,
) -> Result<Vec<u8>, Refused> {
    for _ in 0..ATTEMPTS {
        check_key(signed, &loaded.credential)?;
        let verdict = verdict(fleet, wanted, signed, &loaded);
        match decide(fleet, verdict, Wish::RegisterAnew, loaded.standing) {
            // Who waits for approval registers too: that is all it can do.
            Decision::Register | Decision::Serve | Decision::Hold | Decision::Repeat => {}
            Decision::MustRegister => return Err(stale(fleet, &loaded)),
            Decision::Blocked => return Err(blocked()),
            Decision::Invite | Decision::InviteLater => {
                return clone::other_name(fleet, request, &loaded, &wanted.host_fingerprint).await;
            }
            Decision::RefuseClone => {
                return clone::refuse(fleet, request, &loaded, &wanted.host_fingerprint).await;
            }
        }
        if verdict == Verdict::Stale {
            return Err(stale(fleet, &loaded));
        }
        if loaded.credential != key(wanted)? {
            change_key(fleet, &loaded, key(wanted)?).await?;
        }
        let sequence = loaded.chain.sequence.max(request.message.sequence_num).saturating_add(1);
        let chain = token::make(&fleet.chain_key, request.agent, sequence);
        let exchange = registration(fleet, request, &loaded, (sequence, &chain));
        match commit(fleet, exchange).await? {
            Exchanged::Committed { .. } => {
                fleet.figures.enrolments.add(1);
                info!(agent = %request.agent, "agent registered anew");
                return enrolled(fleet, request, loaded.group, (sequence, chain)).await;
            }
            Exchanged::Moved(now) => loaded = *now,
            Exchanged::Unknown => return Err(unknown()),
        }
    }
    Err(Refused::later(fleet, Refusal::Overloaded, "this agent is served elsewhere right now"))
}

/// Where a registration comes from. Its place in the chain is that of its challenge.
fn verdict(fleet: &Fleet, wanted: &Wanted, signed: &Signed<'_>, loaded: &Loaded) -> Verdict {
    let host = &loaded.fingerprint;
    if !host.is_empty() && *host != wanted.host_fingerprint {
        return Verdict::OtherHost;
    }
    let challenge = token::challenge(&fleet.chain_key, loaded.agent, loaded.chain.current);
    let meets = |brought: Vec<u8>| same(&brought, &challenge);
    // Never heard since it joined: there is no chain that a recording could take away.
    if loaded.presence == Presence::Never || signed.nonce().and_then(from_text).is_some_and(meets) {
        Verdict::Next
    } else {
        Verdict::Stale
    }
}

fn key(wanted: &Wanted) -> Result<Credential, Refused> {
    let key = wanted.public_key.as_slice().try_into().map(Credential::Key);
    key.map_err(|_length| Refused::new(Refusal::Malformed, "a public key has 32 bytes"))
}

async fn change_key(fleet: &Fleet, loaded: &Loaded, new: Credential) -> Result<(), Refused> {
    let (agent, old) = (loaded.agent, loaded.credential.clone());
    match fleet.store.set_credential(agent, old, new, None).await {
        Ok(true) => {
            info!(%agent, "agent has another key");
            Ok(())
        }
        // Somebody else was faster; whoever it was had the old key.
        Ok(false) => Err(Refused::later(fleet, Refusal::Overloaded, "the key was changed")),
        Err(StoreError::Exists { .. } | StoreError::Failed { .. }) => {
            Err(refused(EnrolmentRefusal::KeyTaken))
        }
        Err(error) => Err(Refused::store(fleet, &error)),
    }
}

fn registration(
    fleet: &Fleet,
    request: &Request,
    loaded: &Loaded,
    (sequence, chain): (u64, &[u8]),
) -> Exchange {
    let registered = NewEvent {
        agent: Some(request.agent),
        kind: "agent.registered-anew".to_owned(),
        severity: Severity::Information,
        body: format!("{{\"sequence\":{}}}", loaded.chain.sequence).into_bytes(),
    };
    Exchange {
        agent: request.agent,
        expected: (loaded.chain.sequence, loaded.chain.current),
        next: ChainRow { sequence, current: token::hash(chain), previous: Hash::NONE },
        presence: Presence::Online,
        reply: Vec::new(),
        manager: fleet.id,
        address: request.peer.to_string(),
        status: report::read(&request.message),
        events: None,
        remarks: vec![registered],
    }
}

fn version(request: &Request) -> String {
    let description = request.message.agent_description.as_ref();
    let version = description.and_then(|description| description.text("service.version"));
    version.unwrap_or_default().to_owned()
}

/// The answer.
async fn enrolled(
    fleet: &Fleet,
    request: &Request,
    group: GroupId,
    (sequence, chain): (u64, Vec<u8>),
) -> Result<Vec<u8>, Refused> {
    let outcome = enrol::Enrolled {
        database: fleet.database.clone(),
        group: group_name(fleet, group).await?,
        next_sequence: sequence.saturating_add(1),
        chain,
    };
    Ok(wire::encode(&message(request.agent, outcome.to_message())))
}

/// An answer to an enrolment with this custom message.
pub(super) fn message(
    agent: AgentUid,
    custom: mainstay_opamp::message::CustomMessage,
) -> ServerToAgent {
    ServerToAgent {
        instance_uid: answer::uid(agent),
        capabilities: capability::server::OURS,
        custom_capabilities: Some(CustomCapabilities::ours()),
        custom_message: Some(custom),
        ..ServerToAgent::default()
    }
}

pub(super) async fn group_name(fleet: &Fleet, group: GroupId) -> Result<String, Refused> {
    let groups = fleet.store.groups().await.map_err(|error| Refused::store(fleet, &error))?;
    let found = groups.into_iter().find(|found| found.id == group);
    Ok(found.map(|found| found.name).unwrap_or_default())
}
