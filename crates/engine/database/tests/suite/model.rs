//! Made-up lives of agents: requests arrive twice, replies get lost, old requests come back,
//! and two managers serve them. In the end every event is there once and in order.

use mainstay_database::{
    AgentUid, ChainRow, EventFilter, Exchange, Exchanged, Hash, Loaded, Presence, Range, Store,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::World;
use super::world::{MANAGER, STREAM, batch, hash, uid};

const AGENTS: u8 = 4;

/// Steps of a life.
const STEPS: usize = 120;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    RequestLost,
    ReplyLost,
    /// It arrives at both managers at the same time.
    Doubled,
    /// Somebody sends an old one instead.
    Replayed,
    Answered,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    agent: usize,
    /// Events since the last time.
    happened: u64,
    fate: Fate,
    /// Whether the second manager serves it.
    other: bool,
    /// What the next token is drawn from.
    token: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        1 => Just(Fate::RequestLost),
        1 => Just(Fate::ReplyLost),
        1 => Just(Fate::Doubled),
        1 => Just(Fate::Replayed),
        2 => Just(Fate::Answered),
    ];
    let step = (0..usize::from(AGENTS), 0_u64..4, fate, any::<bool>(), any::<u64>());
    let step = step.prop_map(|(agent, happened, fate, other, token)| Step {
        agent,
        happened,
        fate,
        other,
        token,
    });
    proptest::collection::vec(step, 1..STEPS)
}

/// Lives of agents, each in a world that `run` makes.
pub(crate) fn check(lives: u32, run: impl Fn(&[Step])) {
    let config = Config { cases: lives, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&steps(), |steps| {
        run(&steps);
        Ok(())
    });
    ran.unwrap();
}

/// What an agent knows.
struct Agent {
    uid: AgentUid,
    sequence: u64,
    token: Hash,
    /// Events that it has had.
    happened: u64,
    /// As far as it knows them to be stored.
    acknowledged: u64,
    /// A request that was not answered: it is sent again as it was.
    open: Option<Request>,
    /// A request of long ago, that somebody has kept.
    old: Option<Request>,
}

/// A request as it goes over the wire.
#[derive(Clone)]
struct Request {
    agent: AgentUid,
    sequence: u64,
    token: Hash,
    first: u64,
    count: u64,
}

/// What a manager answers: a token and how far events are stored, or nothing.
type Reply = Option<(Hash, u64)>;

impl Agent {
    fn request(&mut self, happened: u64) -> Request {
        if let Some(open) = &self.open {
            return open.clone();
        }
        self.happened += happened;
        let first = self.acknowledged + 1;
        let request = Request {
            agent: self.uid,
            sequence: self.sequence + 1,
            token: self.token,
            first,
            count: (self.happened + 1 - first).min(5),
        };
        self.open = Some(request.clone());
        request
    }

    fn answered(&mut self, request: &Request, (token, through): (Hash, u64)) {
        self.old = self.open.take();
        (self.sequence, self.token, self.acknowledged) = (request.sequence, token, through);
    }
}

fn reply(token: Hash, through: u64) -> Vec<u8> {
    [&token.0[..], &through.to_le_bytes()].concat()
}

fn read(reply: &[u8]) -> (Hash, u64) {
    let (token, through) = reply.split_at(32);
    (Hash::from_slice(token).unwrap(), u64::from_le_bytes(through.try_into().unwrap()))
}

/// What a manager does with a request.
async fn serve(store: &dyn Store, token: u64, request: &Request) -> Reply {
    let mut loaded = store.load(request.agent, Some(STREAM)).await.unwrap().unwrap();
    // The manager may be slow, and another one quicker.
    loop {
        let chain = loaded.chain;
        if request.sequence == chain.sequence && request.token == chain.previous {
            let kept = store.last_reply(request.agent, request.sequence).await.unwrap();
            return kept.as_deref().map(read);
        }
        if request.sequence != chain.sequence + 1 || request.token != chain.current {
            return None;
        }
        let exchange = exchange(request, &loaded, hash(token));
        let answer = exchange.reply.clone();
        match store.exchange(exchange).await.unwrap() {
            Exchanged::Committed { .. } => return Some(read(&answer)),
            Exchanged::Moved(row) => loaded = *row,
            Exchanged::Unknown => panic!("the agent was there"),
        }
    }
}

fn exchange(request: &Request, loaded: &Loaded, token: Hash) -> Exchange {
    let events = batch(request.first, request.count);
    let through = loaded.cursor.judge(&events).through();
    Exchange {
        agent: request.agent,
        expected: (loaded.chain.sequence, loaded.chain.current),
        next: ChainRow { sequence: request.sequence, current: token, previous: request.token },
        presence: Presence::Online,
        reply: reply(token, through),
        manager: MANAGER,
        address: String::new(),
        status: None,
        events: Some(events),
        remarks: vec![],
    }
}

/// One life.
pub(crate) async fn live(world: &World, steps: &[Step]) {
    world.agents(AGENTS).await;
    let new = |number| Agent {
        uid: uid(number),
        sequence: 0,
        token: hash(1000),
        happened: 0,
        acknowledged: 0,
        open: None,
        old: None,
    };
    let mut agents: Vec<Agent> = (1..=AGENTS).map(new).collect();
    for step in steps {
        perform(world, &mut agents[step.agent], step).await;
    }
    for agent in &mut agents {
        while agent.open.is_some() || agent.acknowledged < agent.happened {
            let request = agent.request(0);
            let answer = serve(&*world.one, request.sequence, &request).await;
            agent.answered(&request, answer.expect("a fresh request is served"));
        }
        let filter = EventFilter { agent: Some(agent.uid), ..EventFilter::default() };
        let (rows, _next) =
            world.two.events_after(Default::default(), filter, Range::MAX).await.unwrap();
        let stored: Vec<u64> = rows.iter().filter_map(|row| row.origin.map(|o| o.1)).collect();
        assert_eq!(stored, (1..=agent.happened).collect::<Vec<u64>>());
    }
}

async fn perform(world: &World, agent: &mut Agent, step: &Step) {
    let store = if step.other { &*world.two } else { &*world.one };
    let request = agent.request(step.happened);
    match step.fate {
        Fate::RequestLost => {}
        Fate::ReplyLost => drop(serve(store, step.token, &request).await),
        Fate::Doubled => {
            let both = futures_util::future::join(
                serve(&*world.one, step.token, &request),
                serve(&*world.two, step.token.wrapping_add(1), &request),
            );
            let (first, second) = both.await;
            assert_eq!(first, second, "both got the answer that was committed");
            agent.answered(&request, first.expect("a fresh request is served"));
        }
        Fate::Replayed => {
            if let Some(old) = agent.old.clone() {
                let answer = serve(store, step.token, &old).await;
                assert!(answer.is_none() || old.sequence == agent.sequence);
            }
        }
        Fate::Answered => {
            let answer = serve(store, step.token, &request).await;
            agent.answered(&request, answer.expect("a fresh request is served"));
        }
    }
}
