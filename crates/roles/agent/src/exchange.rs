//! What the next request says, and what becomes of its answer.
//!
//! ```text
//!   compose ─▶ pending ─▶ (sent as often as it takes) ─▶ answer ─▶ state on disk ─▶ acted on
//! ```
//!
//! After a start it is not known whether a request of this number was carried out already. The
//! first one says nothing, so that nothing is missed if it was.

use anyhow::Context as _;
use mainstay_model::InstanceUid;
use mainstay_opamp::enrol::Invite;
use mainstay_opamp::events::{Ack, Batch, Event, STREAM_BYTES};
use mainstay_opamp::message::{
    AgentDescription, AgentDisconnect, AgentRemoteConfig, AgentToServer, ComponentHealth,
    ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses,
    CustomCapabilities, RemoteConfigStatus, ServerToAgent,
};
use mainstay_opamp::{capability, renewal, wire};
use mainstay_trust::digest::sha256;
use mainstay_trust::key::AgentKey;
use mainstay_trust::token::random;
use tracing::{info, warn};

use crate::contact::Asked;
use crate::directory::Directory;
use crate::enroll;
use crate::fingerprint::Fingerprint;
use crate::gateway::Look;
use crate::keys::Keys;
use crate::queue::Queue;
use crate::report;
use crate::state::{Bytes, Joining, Offer, Outcome, RefusedSettings, State};

/// The longest interval that is taken from a manager.
const POLL_S_MAX: u64 = 24 * 60 * 60;

/// What there is to say beside events.
pub(crate) struct View<'a> {
    /// None: there is no gateway here.
    pub(crate) look: Option<Result<&'a Look, &'a str>>,
    pub(crate) description: AgentDescription,
}

/// What an answer asks for, once it is safe to do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// There is more to say at once.
    More,
    /// It has joined, or is registered anew.
    Registered,
    /// It has another key since then.
    Renewed,
    /// It is to have another key.
    Renew,
    /// It is another agent from now on, and has to join.
    Renamed,
    /// Other connection settings are offered.
    Settings(Box<Candidate>),
    /// A configuration is to be put into service.
    Offer,
}

/// Connection settings that a manager offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    hash: Vec<u8>,
    poll_s: Option<u64>,
    /// As PEM; none if they change nothing.
    pub(crate) pins: Option<String>,
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    description: Option<AgentDescription>,
    health: Option<ComponentHealth>,
    effective: Option<[u8; 32]>,
    config: Option<RemoteConfigStatus>,
}

/// What a request is to say.
enum Words<'a> {
    /// Only what finds out where the chain stands.
    Few,
    /// What is new.
    News(&'a View<'a>),
    /// What is new, and that nothing follows.
    Last(&'a View<'a>),
}

/// A request of an agent that ends.
pub(crate) struct Parting {
    pub(crate) asked: Asked,
    pub(crate) then: Then,
}

/// What follows a request of an agent that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Another: this one was said before, or has to be.
    Another,
    /// Nothing.
    End,
}

/// A request that may have been sent.
struct Pending {
    asked: Asked,
    dropped: u64,
    said: Said,
}

/// An agent's side of the chain.
pub(crate) struct Exchanges {
    pub(crate) directory: Directory,
    pub(crate) state: State,
    pub(crate) queue: Queue,
    keys: Keys,
    uid: InstanceUid,
    pending: Option<Pending>,
    said: Said,
    /// Whether something may have been said under the next number that is not known here.
    start: Start,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Uncertain,
    Over,
}

impl Exchanges {
    pub(crate) fn open(directory: &Directory, queue_bytes: u64) -> anyhow::Result<Self> {
        let state = directory
            .state()?
            .with_context(|| format!("there is no agent in {}", directory.path().display()))?;
        let mut queue = Queue::open(&directory.queue(), &state.stream, queue_bytes)?;
        queue.forget_through(state.durable_through)?;
        let uid = state.uid.parse().context("the state does not name its agent")?;
        let keys = Keys::read(directory, &state.uid)?;
        Ok(Self {
            directory: directory.clone(),
            state,
            queue,
            keys,
            uid,
            pending: None,
            said: Said::default(),
            start: Start::Uncertain,
        })
    }

    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Makes the key that is to replace the one that it has. It counts when it is registered.
    pub(crate) fn make_next_key(&mut self) -> anyhow::Result<()> {
        self.keys.make_next(&self.directory, &self.state.uid)
    }

    /// The next request: the same as the last, if that was not answered.
    pub(crate) fn next(&mut self, view: &View<'_>) -> Asked {
        if let Some(pending) = &self.pending {
            return pending.asked.clone();
        }
        let pending = match self.start {
            Start::Uncertain => self.compose(&Words::Few),
            Start::Over => self.compose(&Words::News(view)),
        };
        self.say(pending)
    }

    /// The next request of an agent that ends: what was not answered comes first.
    pub(crate) fn leave(&mut self, view: &View<'_>) -> Parting {
        if self.pending.is_some() || self.start == Start::Uncertain {
            return Parting { asked: self.next(view), then: Then::Another };
        }
        let pending = self.compose(&Words::Last(view));
        Parting { asked: self.say(pending), then: Then::End }
    }

    fn say(&mut self, pending: Pending) -> Asked {
        let asked = pending.asked.clone();
        self.pending = Some(pending);
        asked
    }

    fn compose(&self, words: &Words<'_>) -> Pending {
        let (view, agent_disconnect) = match *words {
            Words::Few => (None, None),
            Words::News(view) => (Some(view), None),
            Words::Last(view) => (Some(view), Some(AgentDisconnect {})),
        };
        let (first_seq, events) = self.queue.first();
        let dropped = if view.is_some() { self.queue.dropped() } else { 0 };
        let batch = Batch {
            stream: self.state.stream.0.clone(),
            first_seq,
            events: if view.is_some() { events } else { Vec::new() },
            host_fingerprint: self.state.fingerprint.now(),
            dropped,
        };
        let mut message = AgentToServer {
            instance_uid: self.uid.into(),
            sequence_num: self.state.sequence,
            capabilities: capability::agent::OURS,
            custom_capabilities: Some(CustomCapabilities::ours()),
            custom_message: Some(batch.to_message()),
            connection_settings_status: Some(self.connection_status()),
            agent_disconnect,
            ..AgentToServer::default()
        };
        let said = match view {
            Some(view) => self.report(&mut message, view),
            None => Said::default(),
        };
        let body = wire::encode(&message);
        let asked = Asked { uid: self.uid, body, chain: self.state.chain.0.clone() };
        Pending { asked, dropped, said }
    }

    /// What became of the settings that were offered.
    fn connection_status(&self) -> ConnectionSettingsStatus {
        let refused = self.state.refused.as_ref();
        ConnectionSettingsStatus {
            last_connection_settings_hash: match refused {
                Some(refused) => refused.hash.0.clone(),
                None => self.state.connection.0.clone(),
            },
            status: match refused {
                Some(_) => ConnectionSettingsStatuses::Failed.into(),
                None => ConnectionSettingsStatuses::Applied.into(),
            },
            error_message: refused.map(|refused| refused.reason.clone()).unwrap_or_default(),
        }
    }

    /// What is new since the last report.
    fn report(&self, message: &mut AgentToServer, view: &View<'_>) -> Said {
        let mut said = self.said.clone();
        if said.description.as_ref() != Some(&view.description) {
            message.agent_description = Some(view.description.clone());
            said.description = Some(view.description.clone());
        }
        if let Some(look) = view.look {
            let health = report::health(look);
            let outline = report::outline(&health);
            if said.health.as_ref() != Some(&outline) {
                message.health = Some(health);
                said.health = Some(outline);
            }
            if let Ok(look) = look {
                let hash = sha256(&look.text);
                if said.effective != Some(hash) {
                    message.effective_config = Some(report::effective(look));
                    said.effective = Some(hash);
                }
            }
        }
        let config = self.state.config_status();
        // While it differs, each answer would bring the text again if this was left out.
        let differs = config.as_ref().is_some_and(|config| {
            said.effective.is_none_or(|hash| config.last_remote_config_hash != hash)
        });
        if differs || said.config != config {
            message.remote_config_status.clone_from(&config);
            said.config = config;
        }
        said
    }

    /// Forgets a request that was not answered: a registration takes its number.
    pub(crate) fn begin_anew(&mut self) {
        self.pending = None;
        self.said = Said::default();
    }

    /// Goes on from an answer.
    pub(crate) fn take(&mut self, answer: &ServerToAgent) -> anyhow::Result<Vec<Told>> {
        if let Some(state) = enroll::take(&self.state, answer) {
            let renewed = self.keys.registered(&self.directory, &state.uid)?;
            self.directory.write_state(&state)?;
            self.state = state;
            self.begin_anew();
            // Nothing was ever said under its next number.
            self.start = Start::Over;
            let renewed = renewed.then_some(Told::Renewed);
            return Ok([Told::Registered, Told::More].into_iter().chain(renewed).collect());
        }
        if let Some(identification) = &answer.agent_identification {
            return self.take_name(&identification.new_instance_uid, answer);
        }
        let custom = answer.custom_message.as_ref().context("the answer has no ack")?;
        let ack = Ack::from_message(custom)?.context("the answer has no ack")?;
        let pending = self.pending.take().context("nothing was asked")?;
        // If anything fails from here on, it is not known what the next number may say.
        let start = std::mem::replace(&mut self.start, Start::Uncertain);
        let mut told = Vec::new();
        let mut state = State {
            sequence: self.state.sequence + 1,
            chain: Bytes(ack.chain),
            ..self.state.clone()
        };
        let is_ours = ack.stream == state.stream.0;
        if is_ours && ack.durable_through < self.queue.before() {
            warn!("the managers' database has lost events, numbering begins anew");
            state.stream = Bytes(random::<STREAM_BYTES>().to_vec());
            state.durable_through = 0;
        } else if is_ours {
            state.durable_through = ack.durable_through;
        }
        let offer = take_offer(answer.remote_config.as_ref(), &mut state);
        if let Some(text) = &offer {
            self.directory.write_offered(text)?;
        }
        let settings = answer.connection_settings.as_ref();
        let own = self.keys.current.public();
        if settings.is_some_and(|offers| renewal::is_asked(offers, own.as_bytes())) {
            told.push(Told::Renew);
        }
        let candidate = settings.and_then(read_settings);
        told.extend(candidate.map(|candidate| Told::Settings(Box::new(candidate))));
        // From here on the next number counts.
        self.directory.write_state(&state)?;
        if state.stream != self.state.stream {
            self.queue.begin_stream(&state.stream)?;
        } else if is_ours {
            self.queue.forget_through(state.durable_through)?;
        }
        self.queue.told_dropped(pending.dropped)?;
        self.state = state;
        self.said = pending.said;
        if offer.is_some() {
            told.push(Told::Offer);
        }
        let wants_all = answer.flags & capability::server_flag::REPORT_FULL_STATE != 0;
        if wants_all {
            self.said = Said::default();
        }
        if start == Start::Uncertain || wants_all || self.queue.len() > 0 {
            told.push(Told::More);
        }
        self.start = Start::Over;
        Ok(told)
    }

    /// The manager says that somebody else has this name.
    fn take_name(&mut self, name: &[u8], answer: &ServerToAgent) -> anyhow::Result<Vec<Told>> {
        let uid = InstanceUid::try_from(name).context("the other name is none")?;
        let custom = answer.custom_message.as_ref().context("there is no invitation")?;
        let invite = Invite::from_message(custom)?.context("there is no invitation")?;
        info!(from = self.state.uid, to = %uid, "another host has this name, joining as another");
        let key = AgentKey::generate()?;
        self.directory.write_key(&uid.to_string(), &key)?;
        let joining = Joining { secret: Bytes(invite.secret), group: invite.group };
        let state = State::new(uid, Fingerprint::take(), joining);
        self.directory.write_state(&state)?;
        self.queue.begin_stream(&state.stream)?;
        self.state = state;
        self.keys = Keys::new(key);
        self.uid = uid;
        self.begin_anew();
        Ok(vec![Told::Renamed, Told::More])
    }

    /// Has these settings from now on. The pins are on the disk before anything says so.
    pub(crate) fn use_settings(&mut self, candidate: &Candidate) -> anyhow::Result<()> {
        if let Some(pem) = &candidate.pins {
            self.directory.write_pins(pem)?;
        }
        let state = &mut self.state;
        state.poll_s = candidate.poll_s.or(state.poll_s);
        state.connection = Bytes(candidate.hash.clone());
        state.refused = None;
        self.directory.write_state(&self.state)
    }

    /// Whether these were refused before, and nothing else was offered since.
    pub(crate) fn has_refused(&self, candidate: &Candidate) -> bool {
        self.state.refused.as_ref().is_some_and(|refused| refused.hash.0 == candidate.hash)
    }

    /// Has the former settings on.
    pub(crate) fn refuse_settings(
        &mut self,
        candidate: &Candidate,
        reason: String,
    ) -> anyhow::Result<()> {
        self.state.refused = Some(RefusedSettings { hash: Bytes(candidate.hash.clone()), reason });
        self.directory.write_state(&self.state)
    }

    /// Notes what became of the configuration that was offered.
    pub(crate) fn set_outcome(&mut self, outcome: Outcome, message: String) -> anyhow::Result<()> {
        let Some(offer) = &mut self.state.offer else { return Ok(()) };
        offer.outcome = outcome;
        offer.message = message;
        self.directory.write_state(&self.state)
    }

    /// Puts an event of the agent's own into the queue.
    pub(crate) fn note(&mut self, event: Event) -> anyhow::Result<()> {
        Ok(self.queue.add(vec![event], None)?)
    }
}

/// The settings of an offer.
fn read_settings(offer: &ConnectionSettingsOffers) -> Option<Candidate> {
    let opamp = offer.opamp.as_ref()?;
    let poll_s = opamp.heartbeat_interval_seconds;
    let pem = opamp.tls.as_ref().map(|tls| &tls.ca_pem_contents).filter(|pem| !pem.is_empty());
    Some(Candidate {
        hash: offer.hash.clone(),
        poll_s: (poll_s > 0).then_some(poll_s.min(POLL_S_MAX)),
        pins: pem.cloned(),
    })
}

/// The text of a new offer; it is noted in the state.
fn take_offer(offer: Option<&AgentRemoteConfig>, state: &mut State) -> Option<Vec<u8>> {
    let offer = offer?;
    let files = &offer.config.as_ref()?.config_map;
    let file = files.get(report::FILE).or_else(|| files.values().next())?;
    let known = state.offer.as_ref().is_some_and(|known| known.hash.0 == offer.config_hash);
    if known {
        return None;
    }
    if sha256(&file.body).as_slice() != offer.config_hash {
        warn!("a configuration was offered that is not what its hash says");
        return None;
    }
    state.offer = Some(Offer {
        hash: Bytes(offer.config_hash.clone()),
        outcome: Outcome::Applying,
        message: String::new(),
    });
    Some(file.body.clone())
}
