//! What cannot be arranged through the binary: a database that has lost commits; and what is
//! offered to whom.

use std::net::Ipv4Addr;

use hyper::header::{HeaderName, HeaderValue};
use mainstay_database::{Enrolled, Enrolment, Hash, NewEnrolmentToken, NewVersion};
use mainstay_opamp::capability::agent as can;
use mainstay_opamp::message::{
    ConnectionSettingsStatus, ConnectionSettingsStatuses, EffectiveConfig, RemoteConfigStatus,
    ServerToAgent,
};
use mainstay_opamp::{INSTANCE_UID_HEADER, PATH, renewal};
use mainstay_trust::digest::{CONTENT_DIGEST, content, sha256};
use mainstay_trust::key::AgentKey;
use mainstay_trust::signature::{Covered, SIGNATURE, SIGNATURE_INPUT, sign};
use mainstay_trust::token::random;
use tempfile::TempDir;

use super::*;
use crate::crowd::Crowd;
use crate::figures::Figures;
use crate::fleet::{Duty, by_command_line, chain_key, first_group, open_store};
use crate::offers::{Offers, config_map};

const TEXT: &[u8] = b"[[listener]]\n";

/// A fleet with one agent.
struct World {
    fleet: Fleet,
    key: AgentKey,
    uid: InstanceUid,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = directory.path().join("fleet.db");
        let text = format!("[database]\nlocation = \"{}\"\n", location.display());
        let settings = mainstay_config::manager::parse(&text).unwrap();
        let store = open_store(&settings.database, directory.path()).await.unwrap();
        let fleet = Fleet {
            id: mainstay_database::ManagerId([1; 16]),
            name: "m".to_owned(),
            database: store.database_id().await.unwrap(),
            chain_key: chain_key(&*store).await.unwrap(),
            offers: Offers::new(&settings.agents, ""),
            figures: Figures::default(),
            duty: Duty::default(),
            crowd: Crowd::new(&settings.agents),
            settings,
            store,
        };
        let key = AgentKey::generate().unwrap();
        Self { fleet, key, uid: InstanceUid::new(1, random()), _directory: directory }
    }

    /// Joins the agent; the token of its first exchange, which has number 2.
    async fn join(&self) -> Vec<u8> {
        let store = &self.fleet.store;
        let group = first_group(&**store).await.unwrap();
        let new = NewEnrolmentToken {
            secret: Hash([7; 32]),
            group,
            expires_at: None,
            uses: None,
            standing: Standing::Active,
            note: String::new(),
        };
        store.create_enrolment_token(new, by_command_line("t", "t")).await.unwrap();
        let agent = answer::agent(self.uid);
        let chain = token::make(&self.fleet.chain_key, agent, 1);
        let enrolment = Enrolment {
            secret: Hash([7; 32]),
            agent,
            credential: Credential::Key(*self.key.public().as_bytes()),
            fingerprint: b"host".to_vec(),
            name: String::new(),
            version: String::new(),
            chain: ChainRow { sequence: 1, current: token::hash(&chain), previous: Hash::NONE },
            reply: Vec::new(),
            manager: self.fleet.id,
            address: String::new(),
        };
        let enrolled = store.enroll(enrolment).await.unwrap();
        assert!(matches!(enrolled, Enrolled::New { .. }), "{enrolled:?}");
        chain
    }

    fn message(&self, sequence_num: u64) -> AgentToServer {
        let batch = Batch {
            stream: vec![3; 16],
            first_seq: 1,
            host_fingerprint: b"host".to_vec(),
            ..Batch::default()
        };
        AgentToServer {
            instance_uid: self.uid.into(),
            sequence_num,
            capabilities: can::OURS,
            custom_message: Some(batch.to_message()),
            ..AgentToServer::default()
        }
    }

    /// Signs a message and has it carried out: the answer and the next token.
    async fn ask(
        &self,
        message: &AgentToServer,
        token: &[u8],
    ) -> Result<(ServerToAgent, Vec<u8>), Refused> {
        let body = wire::encode(message);
        let (digest, uid) = (content(&body), self.uid.to_string());
        let covered =
            Covered { method: "POST", path: PATH, content_digest: &digest, instance_uid: &uid };
        let signed = sign(&self.key, &covered, Some(&to_text(token)), 0).unwrap();
        let headers: HeaderMap = [
            (INSTANCE_UID_HEADER, &uid),
            (CONTENT_DIGEST, &digest),
            (SIGNATURE_INPUT, &signed.signature_input),
            (SIGNATURE, &signed.signature),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
        let asked = Asked { headers: &headers, body: &body, peer: Ipv4Addr::LOCALHOST.into() };
        let answer = carry_out(&self.fleet, asked).await?;
        let answer = wire::decode_answer(&answer).unwrap();
        let ack = Ack::from_message(answer.custom_message.as_ref().unwrap()).unwrap().unwrap();
        Ok((answer, ack.chain))
    }

    /// Has the group serve a text.
    async fn desire(&self, text: &[u8]) {
        let store = &self.fleet.store;
        let asked = || by_command_line("t", "t");
        let configuration = store.create_configuration("shop", "", asked()).await.unwrap();
        let version = NewVersion {
            configuration,
            after: 0,
            hash: Hash(sha256(text)),
            text: text.to_vec(),
            note: String::new(),
        };
        let version = store.add_version(version, asked()).await.unwrap();
        let group = first_group(&**store).await.unwrap();
        store.set_group_version(group, Some(version.id), asked()).await.unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_configuration_is_offered_until_it_is_served_and_its_text_until_it_is_known() {
    run(async {
        let world = World::new().await;
        let token = world.join().await;
        let (told, token) = world.ask(&world.message(2), &token).await.unwrap();
        assert_eq!(told.remote_config, None, "nothing is desired");

        world.desire(TEXT).await;
        let (told, token) = world.ask(&world.message(3), &token).await.unwrap();
        let offer = told.remote_config.unwrap();
        assert_eq!(offer.config_hash, sha256(TEXT));
        assert_eq!(offer.config, Some(config_map(TEXT)));
        // One that could not apply it says that it knows it.
        let mut failed = world.message(4);
        failed.remote_config_status = Some(RemoteConfigStatus {
            last_remote_config_hash: offer.config_hash.clone(),
            ..RemoteConfigStatus::default()
        });
        let (told, token) = world.ask(&failed, &token).await.unwrap();
        assert_eq!(told.remote_config.map(|offer| offer.config), Some(None));
        // One that cannot take any is offered none.
        let mut other = world.message(5);
        other.capabilities = can::REPORTS_STATUS;
        let (told, token) = world.ask(&other, &token).await.unwrap();
        assert_eq!(told.remote_config, None);
        // And one that serves it has it.
        let mut serves = world.message(6);
        serves.effective_config = Some(EffectiveConfig { config_map: Some(config_map(TEXT)) });
        let (told, token) = world.ask(&serves, &token).await.unwrap();
        assert_eq!(told.remote_config, None);
        let (told, _) = world.ask(&world.message(7), &token).await.unwrap();
        assert_eq!(told.remote_config, None);
    });
}

#[test]
fn who_is_to_replace_its_key_is_asked_until_it_has() {
    run(async {
        let world = World::new().await;
        let token = world.join().await;
        let key = *world.key.public().as_bytes();
        let status = ConnectionSettingsStatus {
            last_connection_settings_hash: world.fleet.offers.connection().hash.clone(),
            status: ConnectionSettingsStatuses::Applied.into(),
            ..ConnectionSettingsStatus::default()
        };
        // It has the settings that every agent has.
        let says = |number| AgentToServer {
            connection_settings_status: Some(status.clone()),
            ..world.message(number)
        };
        let (told, token) = world.ask(&says(2), &token).await.unwrap();
        assert_eq!(told.connection_settings, None);

        let (agent, asked) = (answer::agent(world.uid), by_command_line("t", "t"));
        world.fleet.store.retire_keys(vec![agent], asked).await.unwrap();
        let (told, token) = world.ask(&says(3), &token).await.unwrap();
        let offer = told.connection_settings.unwrap();
        assert!(renewal::is_asked(&offer, &key));
        assert_ne!(offer.hash, status.last_connection_settings_hash);
        // It is asked again, and not if it could not.
        let (told, token) = world.ask(&says(4), &token).await.unwrap();
        assert_eq!(told.connection_settings, Some(offer));
        let mut other = says(5);
        other.capabilities &= !can::ACCEPTS_OTHER_CONNECTION_SETTINGS;
        let (told, _) = world.ask(&other, &token).await.unwrap();
        assert_eq!(told.connection_settings, None);
    });
}

#[test]
fn an_agent_is_not_locked_out_when_the_database_has_lost_commits() {
    run(async {
        let world = World::new().await;
        world.join().await;
        // What a manager answered to exchange 40, which the database knows nothing of any more.
        let agent = answer::agent(world.uid);
        let lost = token::make(&world.fleet.chain_key, agent, 40);
        let (_, token) = world.ask(&world.message(41), &lost).await.unwrap();
        world.ask(&world.message(42), &token).await.unwrap();
        // A token that no manager made is not believed.
        let refused = world.ask(&world.message(61), &[7; 40]).await.unwrap_err();
        assert_eq!(refused.refusal, Refusal::Replayed);
    });
}
