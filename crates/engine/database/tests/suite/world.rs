//! Two managers, and short ways to what a test needs.

use std::sync::Arc;

use mainstay_database::{
    AgentEvent, AgentUid, Audit, ChainRow, ChainedEvent, Credential, Enrolled, Enrolment,
    EventBatch, Exchange, Exchanged, GroupId, Hash, Loaded, ManagerId, NewEnrolmentToken, Presence,
    Range, Severity, Standing, Store, StreamId,
};

/// Two managers on one database.
pub(crate) struct World {
    pub one: Arc<dyn Store>,
    pub two: Arc<dyn Store>,
}

pub(crate) const MANAGER: ManagerId = ManagerId([1; 16]);
pub(crate) const OTHER: ManagerId = ManagerId([2; 16]);
pub(crate) const STREAM: StreamId = StreamId([5; 16]);
pub(crate) const SECRET: Hash = Hash([77; 32]);

pub(crate) fn uid(number: u8) -> AgentUid {
    AgentUid([number; 16])
}

pub(crate) fn hash(number: u64) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Hash(bytes)
}

pub(crate) fn audit(action: &str) -> Audit {
    Audit {
        actor: "alice".into(),
        address: "192.0.2.7".into(),
        action: action.into(),
        subject: "subject".into(),
        detail: b"{}".to_vec(),
    }
}

pub(crate) fn all() -> Range {
    Range::default()
}

impl World {
    /// A group, and a token for it that anybody may use.
    pub(crate) async fn group(&self) -> GroupId {
        let group = self.one.create_group("gateways", "", audit("group.create")).await.unwrap();
        self.token(group, SECRET, None).await;
        group
    }

    pub(crate) async fn token(&self, group: GroupId, secret: Hash, uses: Option<u32>) {
        let token = NewEnrolmentToken {
            secret,
            group,
            expires_at: None,
            uses,
            standing: Standing::Active,
            note: String::new(),
        };
        self.one.create_enrolment_token(token, audit("token.create")).await.unwrap();
    }

    /// A group with agents 1 to `count`.
    pub(crate) async fn agents(&self, count: u8) -> GroupId {
        let group = self.group().await;
        for number in 1..=count {
            let enrolled = self.one.enroll(enrolment(number)).await.unwrap();
            assert_eq!(enrolled, Enrolled::New { group, standing: Standing::Active });
        }
        group
    }

    pub(crate) async fn load(&self, agent: AgentUid) -> Loaded {
        self.one.load(agent, Some(STREAM)).await.unwrap().expect("the agent is there")
    }

    /// The next exchange of an agent, through the first manager.
    pub(crate) async fn next(&self, agent: AgentUid) -> Exchange {
        next(&self.load(agent).await)
    }

    /// Performs an exchange that must be committed.
    pub(crate) async fn commit(&self, exchange: Exchange) {
        let done = self.one.exchange(exchange).await.unwrap();
        assert!(matches!(done, Exchanged::Committed { .. }), "{done:?}");
    }
}

/// An agent that wants to join.
pub(crate) fn enrolment(number: u8) -> Enrolment {
    Enrolment {
        secret: SECRET,
        agent: uid(number),
        credential: Credential::Key([number; 32]),
        fingerprint: vec![number],
        name: format!("gateway-{number}"),
        version: "1.0".into(),
        chain: ChainRow { sequence: 0, current: hash(1000), previous: Hash::NONE },
        reply: b"welcome".to_vec(),
        manager: MANAGER,
        address: format!("192.0.2.{number}:4000"),
    }
}

/// What follows a row, with nothing in it.
pub(crate) fn next(loaded: &Loaded) -> Exchange {
    let sequence = loaded.chain.sequence + 1;
    Exchange {
        agent: loaded.agent,
        expected: (loaded.chain.sequence, loaded.chain.current),
        next: ChainRow { sequence, current: hash(1000 + sequence), previous: loaded.chain.current },
        presence: Presence::Online,
        reply: format!("reply {sequence}").into_bytes(),
        manager: MANAGER,
        address: "192.0.2.9:4000".into(),
        status: None,
        events: None,
        remarks: vec![],
    }
}

/// Events `first` and so on of the stream of made-up hashes.
pub(crate) fn batch(first: u64, count: u64) -> EventBatch {
    let event = |number: u64| ChainedEvent {
        event: AgentEvent {
            at: number.cast_signed(),
            kind: if number.is_multiple_of(2) { "failover.even".into() } else { "swap".into() },
            severity: if number.is_multiple_of(2) {
                Severity::Error
            } else {
                Severity::Information
            },
            body: format!("{number}").into_bytes(),
        },
        hash: hash(number),
    };
    EventBatch {
        stream: STREAM,
        first,
        previous: if first == 1 { Hash::NONE } else { hash(first - 1) },
        events: (first..first + count).map(event).collect(),
    }
}
