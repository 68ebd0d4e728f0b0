//! How many exchanges a second are committed, each answered after the wait for the disk.
//!
//! `cargo run --release -p mainstay-database --example throughput -- [sqlite:PATH | postgres://…]`
//!
//! 64 callers exchange for agents of their own, an event each, for ten seconds. Without an
//! argument: in a file in the working directory, then on a PostgreSQL server that it starts in
//! a temporary directory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot go on fails, and what it says is its result"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mainstay_database::{
    AgentEvent, AgentUid, Audit, ChainRow, ChainedEvent, Credential, Enrolled, Enrolment,
    EventBatch, Exchange, Exchanged, Hash, Limits, Location, ManagerId, NewEnrolmentToken,
    Presence, Severity, Standing, Store, StreamId, open,
};
use mainstay_postgres::Server;

/// Callers at the same time, each with agents that take turns.
const CALLERS: u16 = 64;
const AGENTS: u16 = 8;

const DURATION: Duration = Duration::from_secs(10);

fn main() {
    match std::env::args().nth(1) {
        Some(location) => measure("", &location.parse().unwrap()),
        None => {
            let directory = tempfile::tempdir_in(".").unwrap();
            measure("SQLite", &Location::File(directory.path().join("fleet.db")));
            let server = Server::with(&["fsync=on", "shared_buffers=128MB"]);
            measure("PostgreSQL", &server.address().parse().unwrap());
        }
    }
}

fn measure(name: &str, location: &Location) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut latencies = runtime.block_on(async {
        let store = open(location, &Limits::default()).await.unwrap();
        enroll(&*store).await;
        let until = Instant::now() + DURATION;
        let callers = (0..CALLERS).map(|caller| call(Arc::clone(&store), caller, until));
        join_all(callers).await.concat()
    });
    latencies.sort_unstable();
    let rate = latencies.len() as f64 / DURATION.as_secs_f64();
    let at = |hundredths: usize| latencies[(latencies.len() - 1) * hundredths / 100];
    println!(
        "{name}: {rate:.0} exchanges/s, {CALLERS} at once; half within {:?}, 99 % within {:?}",
        at(50),
        at(99)
    );
}

fn uid(number: u16) -> AgentUid {
    let mut uid = [0; 16];
    uid[..2].copy_from_slice(&number.to_be_bytes());
    AgentUid(uid)
}

fn hash(number: u64) -> Hash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    Hash(hash)
}

/// Adds every agent that is not there.
async fn enroll(store: &dyn Store) {
    let audit = Audit {
        actor: "throughput".into(),
        address: String::new(),
        action: "measure".into(),
        subject: String::new(),
        detail: vec![],
    };
    let name = format!("measured at {}", store.now().await.unwrap().0);
    let group = store.create_group(&name, "", audit.clone()).await.unwrap();
    let secret = hash(store.now().await.unwrap().0.unsigned_abs());
    let token = NewEnrolmentToken {
        secret,
        group,
        expires_at: None,
        uses: None,
        standing: Standing::Active,
        note: String::new(),
    };
    store.create_enrolment_token(token, audit).await.unwrap();
    for number in 0..CALLERS * AGENTS {
        let enrolment = Enrolment {
            secret,
            agent: uid(number),
            credential: Credential::Key(hash(u64::from(number)).0),
            fingerprint: vec![],
            name: format!("measured-{number}"),
            version: "1".into(),
            chain: ChainRow { sequence: 0, current: hash(0), previous: Hash::NONE },
            reply: vec![],
            manager: ManagerId([1; 16]),
            address: String::new(),
        };
        let enrolled = store.enroll(enrolment).await.unwrap();
        assert!(matches!(enrolled, Enrolled::New { .. } | Enrolled::Again { .. }), "{enrolled:?}");
    }
}

/// One after the other until the time is over; how long each took, the reading included.
async fn call(store: Arc<dyn Store>, caller: u16, until: Instant) -> Vec<Duration> {
    let stream = StreamId([caller.to_be_bytes()[1]; 16]);
    let mut took = Vec::new();
    for turn in (0..AGENTS).cycle() {
        let start = Instant::now();
        if start >= until {
            break;
        }
        let agent = uid(caller * AGENTS + turn);
        let loaded = store.load(agent, Some(stream)).await.unwrap().unwrap();
        let (sequence, number) = (loaded.chain.sequence + 1, loaded.cursor.through + 1);
        let event = AgentEvent {
            at: 0,
            kind: "measure.tick".into(),
            severity: Severity::Information,
            body: vec![b'x'; 200],
        };
        let exchange = Exchange {
            agent,
            expected: (loaded.chain.sequence, loaded.chain.current),
            next: ChainRow { sequence, current: hash(sequence), previous: loaded.chain.current },
            presence: Presence::Online,
            reply: vec![b'r'; 200],
            manager: ManagerId([1; 16]),
            address: "192.0.2.1:40000".into(),
            status: None,
            events: Some(EventBatch {
                stream,
                first: number,
                previous: loaded.cursor.hash,
                events: vec![ChainedEvent { event, hash: hash(number) }],
            }),
            remarks: vec![],
        };
        let done = store.exchange(exchange).await.unwrap();
        assert!(matches!(done, Exchanged::Committed { .. }), "{done:?}");
        took.push(start.elapsed());
    }
    took
}
