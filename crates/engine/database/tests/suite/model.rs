//! Made-up lives of agents: requests arrive twice, replies get lost, old requests come back,
//! and two managers serve them. In the end every event is there once and in order.

use mainstay_database::{
    AgentUid, ChainRow, EventFilter, Exchange, Exchanged, Hash, Loaded, Range,
};

use super::World;
use super::world::{MANAGER, STREAM, batch, hash, uid};

const AGENTS: u8 = 4;
const STEPS: u32 = 150;

/// Choices from a seed (xorshift).
struct Luck(u64);

impl Luck {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
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
    fn request(&mut self, luck: &mut Luck) -> Request {
        if let Some(open) = &self.open {
            return open.clone();
        }
        self.happened += luck.below(4);
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
async fn serve(world: &World, luck: &mut Luck, request: &Request) -> Reply {
    let store = if luck.below(2) == 0 { &world.one } else { &world.two };
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
        let exchange = exchange(request, &loaded, hash(luck.below(u64::MAX)));
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
        reply: reply(token, through),
        manager: MANAGER,
        address: String::new(),
        status: None,
        events: Some(events),
        remarks: vec![],
    }
}

pub(crate) async fn every_event_once_and_in_order_whatever_gets_lost(world: &World) {
    world.agents(AGENTS).await;
    let mut luck = Luck(0x006d_6169_6e73_7461);
    let mut agents: Vec<Agent> = (1..=AGENTS)
        .map(|number| Agent {
            uid: uid(number),
            sequence: 0,
            token: hash(1000),
            happened: 0,
            acknowledged: 0,
            open: None,
            old: None,
        })
        .collect();
    for _step in 0..STEPS {
        let place = usize::try_from(luck.below(u64::from(AGENTS))).unwrap();
        let agent = &mut agents[place];
        let request = agent.request(&mut luck);
        match luck.below(6) {
            // The request gets lost.
            0 => {}
            // The reply gets lost.
            1 => drop(serve(world, &mut luck, &request).await),
            // It arrives twice, at both managers at the same time.
            2 => {
                let (mut one, mut two) =
                    (Luck(luck.below(1 << 40) + 1), Luck(luck.below(1 << 40) + 1));
                let both = futures_util::future::join(
                    serve(world, &mut one, &request),
                    serve(world, &mut two, &request),
                );
                let (first, second) = both.await;
                assert_eq!(first, second, "both got the answer that was committed");
                agent.answered(&request, first.expect("a fresh request is served"));
            }
            // Somebody sends an old one again.
            3 => {
                if let Some(old) = agent.old.clone() {
                    let answer = serve(world, &mut luck, &old).await;
                    assert!(answer.is_none() || old.sequence == agent.sequence);
                }
            }
            _ => {
                let answer = serve(world, &mut luck, &request).await;
                agent.answered(&request, answer.expect("a fresh request is served"));
            }
        }
    }
    for agent in &mut agents {
        while agent.open.is_some() || agent.acknowledged < agent.happened {
            let request = agent.request(&mut luck);
            let answer = serve(world, &mut luck, &request).await;
            agent.answered(&request, answer.expect("a fresh request is served"));
        }
        let filter = EventFilter { agent: Some(agent.uid), ..EventFilter::default() };
        let (rows, _next) =
            world.two.events_after(Default::default(), filter, Range::MAX).await.unwrap();
        let stored: Vec<u64> = rows.iter().filter_map(|row| row.origin.map(|o| o.1)).collect();
        assert_eq!(stored, (1..=agent.happened).collect::<Vec<u64>>());
    }
    assert!(agents.iter().map(|agent| agent.happened).sum::<u64>() > 50, "much has happened");
}
