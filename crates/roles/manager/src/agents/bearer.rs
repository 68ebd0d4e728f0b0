//! OpAMP clients that cannot sign: they bring the secret of an enrolment token with every request.
//!
//! They are trusted less: whoever reads a request can speak in their name, and nothing tells a
//! repeat or a clone. So they get status and configuration, and no events are taken. The database
//! keeps a hash over secret and name, so that one secret may serve several clients and none of
//! them can speak for another without it; an agent with a key is never believed on a secret.

use mainstay_config::manager::Bearer;
use mainstay_database::{
    ChainRow, Credential, Enrolment, Exchange, Exchanged, Hash, Loaded, Standing,
};
use mainstay_model::InstanceUid;
use mainstay_opamp::capability::{agent_flag, server};
use mainstay_opamp::message::{AgentIdentification, ServerToAgent};
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::wire;
use mainstay_trust::digest::{same, sha256};
use mainstay_trust::token::{Secret, random};

use super::answer::{self, FullState, compose};
use super::exchange::{Request, blocked, commit, held, load, presence, remark, unknown};
use super::refused::Refused;
use super::{enrol, report};
use crate::fleet::Fleet;

/// How often an exchange is decided again because its row had moved.
const ATTEMPTS: usize = 4;

/// Carries out a request that brings a secret.
pub(super) async fn carry_out(
    fleet: &Fleet,
    request: Request,
    secret: Secret,
) -> Result<Vec<u8>, Refused> {
    if fleet.settings.agents.bearer == Bearer::Refused {
        return Err(Refused::new(Refusal::BadSignature, "requests have to be signed here"));
    }
    if request.message.flags & agent_flag::REQUEST_INSTANCE_UID != 0 {
        return Ok(other_name(&request));
    }
    let mut loaded = match load(fleet, request.agent, None).await? {
        Some(loaded) => loaded,
        None => {
            join(fleet, &request, secret).await?;
            load(fleet, request.agent, None).await?.ok_or_else(unknown)?
        }
    };
    for _ in 0..ATTEMPTS {
        check_secret(&loaded, secret)?;
        match loaded.standing {
            Standing::Active => {}
            Standing::Pending => return Err(held(fleet)),
            Standing::Blocked => return Err(blocked()),
        }
        let exchange = prepare(fleet, &request, &loaded).await?;
        let reply = exchange.reply.clone();
        match commit(fleet, exchange).await? {
            Exchanged::Committed { .. } => return Ok(reply),
            Exchanged::Moved(now) => loaded = *now,
            Exchanged::Unknown => return Err(unknown()),
        }
    }
    Err(Refused::later(fleet, Refusal::Overloaded, "this agent is served elsewhere right now"))
}

/// The client wants a name; it comes back with it.
fn other_name(request: &Request) -> Vec<u8> {
    let name = InstanceUid::new(mainstay_os::unix_millis(), random());
    wire::encode(&ServerToAgent {
        instance_uid: answer::uid(request.agent),
        capabilities: server::OURS,
        agent_identification: Some(AgentIdentification { new_instance_uid: name.into() }),
        ..ServerToAgent::default()
    })
}

fn credential(request: &Request, secret: Secret) -> Hash {
    let mut text = secret.as_bytes().to_vec();
    text.extend_from_slice(&request.agent.0);
    Hash(sha256(&text))
}

async fn join(fleet: &Fleet, request: &Request, secret: Secret) -> Result<(), Refused> {
    let description = request.message.agent_description.as_ref();
    let enrolment = Enrolment {
        secret: Hash(secret.hash()),
        agent: request.agent,
        credential: Credential::Bearer(credential(request, secret)),
        fingerprint: Vec::new(),
        name: description.and_then(report::name).unwrap_or_default(),
        version: String::new(),
        chain: ChainRow {
            sequence: request.message.sequence_num.wrapping_sub(1),
            current: Hash(random()),
            previous: Hash::NONE,
        },
        reply: Vec::new(),
        manager: fleet.id,
        address: request.peer.to_string(),
    };
    enrol::enroll(fleet, enrolment).await.map(drop)
}

fn check_secret(loaded: &Loaded, secret: Secret) -> Result<(), Refused> {
    let mut text = secret.as_bytes().to_vec();
    text.extend_from_slice(&loaded.agent.0);
    match loaded.credential {
        Credential::Bearer(kept) if same(&kept.0, &sha256(&text)) => Ok(()),
        Credential::Bearer(_) => {
            Err(Refused::new(Refusal::BadSignature, "the secret is not that of this agent"))
        }
        Credential::Key(_) => {
            Err(Refused::new(Refusal::BadSignature, "this agent has a key, and has to sign"))
        }
    }
}

async fn prepare(fleet: &Fleet, request: &Request, loaded: &Loaded) -> Result<Exchange, Refused> {
    let message = &request.message;
    let status = report::read(message);
    let in_order = message.sequence_num == loaded.chain.sequence.wrapping_add(1);
    let described = message.agent_description.is_some() || (loaded.reported && in_order);
    let full = if described { FullState::Known } else { FullState::Wanted };
    let answer = compose(fleet, message, loaded, status.as_ref(), full).await?;
    let mut remarks = Vec::new();
    remark(&mut remarks, request, loaded, 0);
    Ok(Exchange {
        agent: request.agent,
        expected: (loaded.chain.sequence, loaded.chain.current),
        // Drawn for this exchange, so that the database knows it again.
        next: ChainRow {
            sequence: message.sequence_num,
            current: Hash(random()),
            previous: loaded.chain.current,
        },
        presence: presence(message),
        reply: wire::encode(&answer),
        manager: fleet.id,
        address: request.peer.to_string(),
        status,
        events: None,
        remarks,
    })
}
