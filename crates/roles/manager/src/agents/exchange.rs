//! A signed exchange: read the row, judge the chain, commit everything at once, answer.
//!
//! ```text
//!   load ─▶ signature ─▶ standing ─▶ chain ─┬─ next ────▶ commit ─┬─ done ──▶ the new answer
//!    ▲                                      ├─ repeat ────────────┼─────────▶ the old answer
//!    └──────── moved meanwhile ─────────────┼─────────────────────┘
//!                                           ├─ other host ─▶ another name for it
//!                                           └─ stale ──────▶ refused, with a challenge
//! ```

use std::net::IpAddr;

use hyper::HeaderMap;
use mainstay_config::manager::Clones;
use mainstay_database::{
    AgentUid, ChainRow, Credential, Exchange, Exchanged, Loaded, NewEvent, Presence, Severity,
    Standing, StreamId,
};
use mainstay_fleet::chain::{Claim, Link, Verdict, judge};
use mainstay_fleet::enroll::{self, Answer as Decision, Wish};
use mainstay_model::InstanceUid;
use mainstay_opamp::enrol;
use mainstay_opamp::events::{Ack, Batch};
use mainstay_opamp::message::AgentToServer;
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::wire;
use mainstay_trust::token::{from_text, to_text};

use super::answer::{self, FullState, compose};
use super::proof::{Proof, Signed};
use super::refused::Refused;
use super::{bearer, clone, enrol as enrolment, events, report, token};
use crate::fleet::Fleet;

/// How often an exchange is decided again because its row had moved. Each time somebody else got
/// on, and an agent asks for one thing at a time.
const ATTEMPTS: usize = 4;

/// A request as it came.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Where the connection came from.
    pub(super) peer: IpAddr,
}

/// A request that was read.
pub(super) struct Request {
    pub(super) agent: AgentUid,
    pub(super) message: AgentToServer,
    pub(super) peer: IpAddr,
}

/// Carries out one request; the answer is the bytes of a message.
pub(super) async fn carry_out(fleet: &Fleet, asked: Asked<'_>) -> Result<Vec<u8>, Refused> {
    let (uid, message) =
        wire::decode_request(asked.body).map_err(|error| Refused::malformed(&error))?;
    let proof = Proof::read(asked.headers, uid, asked.body)?;
    let request = Request { agent: answer::agent(uid), message, peer: asked.peer };
    match proof {
        Proof::Bearer(secret) => bearer::carry_out(fleet, request, secret).await,
        Proof::Signed(signed) => match read_custom(&request.message)? {
            Custom::Enrol(wanted) => enrolment::carry_out(fleet, &request, &wanted, &signed).await,
            Custom::Batch(batch) => signed_exchange(fleet, &request, batch, &signed).await,
        },
    }
}

enum Custom {
    Batch(Batch),
    Enrol(enrol::Request),
}

fn read_custom(message: &AgentToServer) -> Result<Custom, Refused> {
    let none = || Refused::new(Refusal::Malformed, "a signed request has a batch or an enrolment");
    let custom = message.custom_message.as_ref().ok_or_else(none)?;
    let malformed = |error| Refused::malformed(&error);
    if let Some(batch) = Batch::from_message(custom).map_err(malformed)? {
        return Ok(Custom::Batch(batch));
    }
    let request = enrol::Request::from_message(custom).map_err(malformed)?;
    request.map(Custom::Enrol).ok_or_else(none)
}

async fn signed_exchange(
    fleet: &Fleet,
    request: &Request,
    batch: Batch,
    signed: &Signed<'_>,
) -> Result<Vec<u8>, Refused> {
    let stream = stream(&batch)?;
    let mut loaded = load(fleet, request.agent, Some(stream)).await?.ok_or_else(unknown)?;
    let brought = signed.nonce().and_then(from_text);
    for _ in 0..ATTEMPTS {
        check_key(signed, &loaded.credential)?;
        let verdict = verdict(fleet, request, &batch, brought.as_deref(), &loaded);
        match decide(fleet, verdict, Wish::Exchange, loaded.standing) {
            Decision::Serve | Decision::Register => {}
            Decision::Hold => return Err(held(fleet)),
            Decision::Blocked => return Err(blocked()),
            Decision::Repeat => {
                if let Some(reply) = last_reply(fleet, request).await? {
                    fleet.figures.repeats.add(1);
                    return Ok(reply);
                }
                loaded = load(fleet, request.agent, Some(stream)).await?.ok_or_else(unknown)?;
                continue;
            }
            Decision::Invite | Decision::InviteLater => {
                return clone::other_name(fleet, request, &loaded, &batch.host_fingerprint).await;
            }
            Decision::RefuseClone => {
                return clone::refuse(fleet, request, &loaded, &batch.host_fingerprint).await;
            }
            Decision::MustRegister => return Err(stale(fleet, &loaded)),
        }
        let exchange = prepare(fleet, request, batch.clone(), &loaded).await?;
        let (reply, events) =
            (exchange.reply.clone(), exchange.events.as_ref().map_or(0, |new| new.events.len()));
        match commit(fleet, exchange).await? {
            Exchanged::Committed { .. } => {
                fleet.figures.events.add(events as u64);
                return Ok(reply);
            }
            Exchanged::Moved(now) => loaded = *now,
            Exchanged::Unknown => return Err(unknown()),
        }
    }
    Err(Refused::later(fleet, Refusal::Overloaded, "this agent is served elsewhere right now"))
}

/// All that is to be committed, the answer among it.
async fn prepare(
    fleet: &Fleet,
    request: &Request,
    mut batch: Batch,
    loaded: &Loaded,
) -> Result<Exchange, Refused> {
    let message = &request.message;
    let status = report::read(message);
    let described = loaded.reported || message.agent_description.is_some();
    let full = if described { FullState::Known } else { FullState::Wanted };
    let mut answer = compose(fleet, message, loaded, status.as_ref(), full).await?;
    let mut remarks = Vec::new();
    remark(&mut remarks, request, loaded, batch.dropped);
    let (events, durable_through) = events::fresh(&mut batch, &loaded.cursor);
    let chain = token::make(&fleet.chain_key, request.agent, message.sequence_num);
    let next = ChainRow {
        sequence: message.sequence_num,
        current: token::hash(&chain),
        previous: loaded.chain.current,
    };
    let ack = Ack { stream: batch.stream, durable_through, hold_ms: 0, chain };
    answer.custom_message = Some(ack.to_message());
    Ok(Exchange {
        agent: request.agent,
        expected: (loaded.chain.sequence, loaded.chain.current),
        next,
        presence: presence(message),
        reply: wire::encode(&answer),
        manager: fleet.id,
        address: request.peer.to_string(),
        status,
        events,
        remarks,
    })
}

/// What the agent is from here on: one that ends says so in its last message.
pub(super) const fn presence(message: &AgentToServer) -> Presence {
    match message.agent_disconnect {
        Some(_) => Presence::Offline,
        None => Presence::Online,
    }
}

/// What the manager has to say about an exchange.
pub(super) fn remark(
    remarks: &mut Vec<NewEvent>,
    request: &Request,
    loaded: &Loaded,
    dropped: u64,
) {
    let mut say = |kind: &str, severity, body: String| {
        remarks.push(NewEvent {
            agent: Some(request.agent),
            kind: kind.to_owned(),
            severity,
            body: body.into_bytes(),
        });
    };
    match (loaded.presence, presence(&request.message)) {
        (_, Presence::Offline) => {
            say("agent.disconnected", Severity::Information, "{}".to_owned());
        }
        (Presence::Offline, _) => say("agent.online", Severity::Information, "{}".to_owned()),
        (Presence::Never | Presence::Online, _) => {}
    }
    if dropped > 0 {
        say("agent.dropped-events", Severity::Warning, format!("{{\"dropped\":{dropped}}}"));
    }
}

fn verdict(
    fleet: &Fleet,
    request: &Request,
    batch: &Batch,
    brought: Option<&[u8]>,
    loaded: &Loaded,
) -> Verdict {
    let link = Link {
        sequence: loaded.chain.sequence,
        current: loaded.chain.current.0,
        previous: loaded.chain.previous.0,
        fingerprint: &loaded.fingerprint,
    };
    let claim = Claim {
        sequence: request.message.sequence_num,
        token: brought.map(|token| token::hash(token).0),
        made_after: brought
            .and_then(|token| token::made_after(&fleet.chain_key, request.agent, token)),
        fingerprint: &batch.host_fingerprint,
    };
    judge(&link, &claim)
}

pub(super) fn check_key(signed: &Signed<'_>, credential: &Credential) -> Result<(), Refused> {
    match credential {
        Credential::Key(key) => signed.check(key),
        Credential::Bearer(_) => {
            Err(Refused::new(Refusal::BadSignature, "this agent has no key: it brings a secret"))
        }
    }
}

/// What is to be done with a request of a registered agent.
pub(super) fn decide(fleet: &Fleet, verdict: Verdict, wish: Wish, standing: Standing) -> Decision {
    let clones = match fleet.settings.agents.clones {
        Clones::Enroll => enroll::Clones::Invite,
        Clones::Approve => enroll::Clones::Approve,
        Clones::Refuse => enroll::Clones::Refuse,
    };
    enroll::answer(verdict, wish, standing, clones)
}

pub(super) fn held(fleet: &Fleet) -> Refused {
    Refused::later(fleet, Refusal::ApprovalPending, "somebody has to approve of this agent")
}

pub(super) fn blocked() -> Refused {
    Refused::new(Refusal::Revoked, "this agent is blocked")
}

/// A request from a state that was left behind; who has the key may register anew with this.
pub(super) fn stale(fleet: &Fleet, loaded: &Loaded) -> Refused {
    let challenge = token::challenge(&fleet.chain_key, loaded.agent, loaded.chain.current);
    let sentence = "this request was carried out before, or its state was left behind";
    Refused { challenge: Some(to_text(&challenge)), ..Refused::new(Refusal::Replayed, sentence) }
}

pub(super) fn unknown() -> Refused {
    Refused::new(Refusal::UnknownAgent, "no agent of this name is registered")
}

fn stream(batch: &Batch) -> Result<StreamId, Refused> {
    let id = batch.stream.as_slice().try_into().map(StreamId);
    id.map_err(|_length| Refused::new(Refusal::Malformed, "a stream has a name of 16 bytes"))
}

pub(super) async fn load(
    fleet: &Fleet,
    agent: AgentUid,
    stream: Option<StreamId>,
) -> Result<Option<Loaded>, Refused> {
    fleet.store.load(agent, stream).await.map_err(|error| Refused::store(fleet, &error))
}

async fn last_reply(fleet: &Fleet, request: &Request) -> Result<Option<Vec<u8>>, Refused> {
    let sequence = request.message.sequence_num;
    let reply = fleet.store.last_reply(request.agent, sequence).await;
    reply.map_err(|error| Refused::store(fleet, &error))
}

/// Commits, and counts how long that takes.
pub(super) async fn commit(fleet: &Fleet, exchange: Exchange) -> Result<Exchanged, Refused> {
    let begun = std::time::Instant::now();
    let done = fleet.store.exchange(exchange).await;
    fleet.figures.commit_time.add(begun.elapsed());
    let done = done.map_err(|error| Refused::store(fleet, &error))?;
    if matches!(done, Exchanged::Committed { .. }) {
        fleet.figures.exchanges.add(1);
    }
    Ok(done)
}

/// The agent's name, for a refusal.
pub(super) fn named(body: &[u8]) -> Option<InstanceUid> {
    wire::decode_request(body).ok().map(|(uid, _message)| uid)
}

#[cfg(test)]
mod tests;
