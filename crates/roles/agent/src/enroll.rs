//! How a host becomes an agent: by a token, or under another name if it is a clone.

use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_config::agent::{ManagerAddress, read_manager};
use mainstay_model::{Chain, InstanceUid};
use mainstay_opamp::enrol::{Enrolled, Request};
use mainstay_opamp::message::{AgentToServer, CustomCapabilities, ServerToAgent};
use mainstay_opamp::refusal::Refusal;
use mainstay_opamp::token::{EnrolmentToken, PREFIX, TOKEN_BYTES_MAX};
use mainstay_opamp::{capability, wire};
use mainstay_trust::certificate::to_pem;
use mainstay_trust::key::AgentKey;
use mainstay_trust::token::{from_long_text, random};

use crate::contact::{Answered, Asked, Contact, ContactError};
use crate::directory::Directory;
use crate::fingerprint::Fingerprint;
use crate::keys::Keys;
use crate::report;
use crate::state::{Bytes, Joining, State};

/// A token from its text.
pub(crate) fn read_token(text: &str) -> anyhow::Result<EnrolmentToken> {
    let text = text.trim().strip_prefix(PREFIX);
    let text = text.with_context(|| format!("a token begins with {PREFIX}"))?;
    let bytes = from_long_text(text, TOKEN_BYTES_MAX).context("the token is cut or damaged")?;
    EnrolmentToken::decode(&bytes).context("the token is cut or damaged")
}

/// Makes the files of an agent that may join with this token, unless they are there.
pub(crate) fn prepare(directory: &Directory, token: &EnrolmentToken) -> anyhow::Result<State> {
    let former = directory.state()?;
    if former.as_ref().is_some_and(|state| state.joining.is_none()) {
        bail!(
            "{} has an agent that has joined; `mainstay agent reregister` registers it anew",
            directory.path().display()
        );
    }
    let managers: Option<Vec<ManagerAddress>> =
        token.managers.iter().map(|text| read_manager(text)).collect();
    let managers = managers.context("the token names a manager that is no address")?;
    if managers.is_empty() {
        bail!("the token names no manager");
    }
    let pins: String = token.certificates.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
    if !pins.is_empty() {
        directory.write_pins(&pins)?;
    }
    if !directory.has_settings() {
        directory.write_settings(&managers)?;
    }
    let joining = Some(Joining { secret: Bytes(token.secret.clone()), group: token.group.clone() });
    let state = match former {
        // An answer may have got lost: the same name, so that the token is not used twice.
        Some(former) => State { joining, ..former },
        None => {
            let uid = InstanceUid::new(mainstay_os::unix_millis(), random());
            directory.write_key(&uid.to_string(), &AgentKey::generate()?)?;
            let joining = joining.context("a token has a secret")?;
            State::new(uid, Fingerprint::take(), joining)
        }
    };
    directory.write_state(&state)?;
    Ok(state)
}

/// A request to join, or to register anew if nothing is joined with; with this key from then on.
fn message(state: &State, uid: InstanceUid, key: &AgentKey) -> AgentToServer {
    let (secret, group) = match &state.joining {
        Some(joining) => (joining.secret.0.clone(), joining.group.clone()),
        None => (Vec::new(), String::new()),
    };
    let wanted = Request {
        secret,
        public_key: key.public().as_bytes().to_vec(),
        host_fingerprint: state.fingerprint.now(),
        host_name: mainstay_os::host_name(),
        group,
    };
    AgentToServer {
        instance_uid: uid.into(),
        sequence_num: state.sequence,
        capabilities: capability::agent::OURS,
        agent_description: Some(report::description(None, None)),
        custom_capabilities: Some(CustomCapabilities::ours()),
        custom_message: Some(wanted.to_message()),
        ..AgentToServer::default()
    }
}

/// Goes on from the answer to such a request; nothing if it is another answer.
pub(crate) fn take(state: &State, answer: &ServerToAgent) -> Option<State> {
    let custom = answer.custom_message.as_ref()?;
    let enrolled = Enrolled::from_message(custom).ok().flatten()?;
    Some(State {
        sequence: enrolled.next_sequence,
        chain: Bytes(enrolled.chain),
        joining: None,
        database: enrolled.database,
        group: enrolled.group,
        ..state.clone()
    })
}

/// Asks one manager to let it join, or to register it anew. If it has a next key, that is the one
/// that it has from then on: signed with the former at first, and if managers do not know that any
/// more, for the answer to an earlier request got lost, with the next.
pub(crate) async fn ask(
    contact: &Contact,
    manager: &ManagerAddress,
    keys: &Keys,
    state: &State,
    limit: Duration,
) -> Result<Answered, ContactError> {
    let uid: InstanceUid = state.uid.parse().unwrap_or_else(|_| InstanceUid::new(0, [0; 10]));
    let body = wire::encode(&message(state, uid, keys.brought()));
    let chain = if state.joining.is_some() { Vec::new() } else { state.chain.0.clone() };
    let asked = Asked { uid, body, chain };
    let begun = mainstay_os::now();
    let answered = challenged(contact, manager, &keys.current, asked.clone(), limit).await;
    match (&answered, &keys.next) {
        (Err(error), Some(next)) if error.refusal() == Some(Refusal::BadSignature) => {
            let left = limit.saturating_sub(mainstay_os::now().since(begun));
            challenged(contact, manager, next, asked, left).await
        }
        _ => answered,
    }
}

/// Asks, and once more with the challenge that it is answered at first.
async fn challenged(
    contact: &Contact,
    manager: &ManagerAddress,
    key: &AgentKey,
    asked: Asked,
    limit: Duration,
) -> Result<Answered, ContactError> {
    let begun = mainstay_os::now();
    match contact.ask(manager, key, &asked, limit).await {
        Err(error) => {
            let Some(challenge) = error.challenge() else { return Err(error) };
            let asked = Asked { chain: challenge.to_vec(), ..asked };
            let left = limit.saturating_sub(mainstay_os::now().since(begun));
            contact.ask(manager, key, &asked, left).await
        }
        answered => answered,
    }
}

/// Asks every manager of the list, in order, until one does it. Nobody else works here meanwhile.
pub(crate) async fn at_any(
    directory: &Directory,
    state: &State,
) -> anyhow::Result<(State, String)> {
    let settings = directory.settings()?;
    let contact = Contact::new(directory.pins()?)?;
    let mut keys = Keys::read(directory, &state.uid)?;
    let mut said = Vec::new();
    for manager in &settings.managers {
        match ask(&contact, manager, &keys, state, settings.failover_after).await {
            Ok(answered) => {
                let taken = take(state, &answered.message);
                let taken = taken.with_context(|| format!("{manager} said something else"))?;
                keys.registered(directory, &state.uid)?;
                directory.write_state(&taken)?;
                return Ok((taken, manager.to_string()));
            }
            Err(error) => said.push(Chain(&error).to_string()),
        }
    }
    bail!("no manager did it:\n{}", said.join("\n"))
}
