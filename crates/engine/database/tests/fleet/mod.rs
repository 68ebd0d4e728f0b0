//! Agents on a thread of their own, which exchange until they are told to stop, whatever
//! happens to the database; and the check that nothing of it was lost or stored twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_database::{
    EventFilter, EventPosition, Exchanged, Limits, Location, Store, StoreError, open,
};

use crate::suite::World;
use crate::suite::world::{STREAM, batch, next, uid};

/// How many there are.
pub(crate) const AGENTS: u8 = 8;

/// Events in each exchange.
const EVENTS: u64 = 3;

/// How long the next answer may take, outages included.
const DEADLINE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Fleet {
    thread: JoinHandle<Vec<u64>>,
    answered: mpsc::Receiver<(u8, u64)>,
    stop: Arc<AtomicBool>,
}

impl Fleet {
    /// Makes the database and enrols them.
    pub(crate) fn start(location: Location, limits: Limits) -> Self {
        let (sender, answered) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                let one = open(&location, &limits).await.unwrap();
                let two = open(&location, &limits).await.unwrap();
                let world = World { one, two };
                world.agents(AGENTS).await;
                let lives = (1..=AGENTS).map(|number| {
                    let store = if number % 2 == 0 { &world.one } else { &world.two };
                    // Nobody may be counting any more.
                    let answered = |number, through| {
                        let _counted = sender.send((number, through));
                    };
                    live(&**store, number, answered, &over)
                });
                join_all(lives).await
            })
        });
        Self { thread, answered, stop }
    }

    /// Waits for so many answers.
    pub(crate) fn answers(&self, count: u32) {
        for _answer in 0..count {
            self.answered.recv_timeout(DEADLINE).expect("exchanges are answered");
        }
    }

    /// Ends them, and finds in `location` each of their events once and in order.
    pub(crate) fn finish(self, location: &Location) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.thread.join().unwrap();
        runtime().block_on(async {
            let store = open(location, &Limits::default()).await.unwrap();
            for (number, through) in (1..).zip(answered) {
                let stored = stored(&*store, number).await;
                assert_eq!(stored, (1..=through).collect::<Vec<u64>>(), "agent {number}");
            }
        });
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// One agent: every exchange is asked for until it is answered. How many events it has had.
pub(crate) async fn live(
    store: &dyn Store,
    number: u8,
    answered: impl Fn(u8, u64),
    stop: &AtomicBool,
) -> u64 {
    let mut loaded = store.load(uid(number), Some(STREAM)).await.unwrap().unwrap();
    while !stop.load(Ordering::Relaxed) {
        let mut exchange = next(&loaded);
        exchange.events = Some(batch(loaded.cursor.through + 1, EVENTS));
        let through = loop {
            match store.exchange(exchange.clone()).await {
                Ok(Exchanged::Committed { events: Some(judged), .. }) => break judged.through(),
                // It is a short time until the next.
                Err(StoreError::Unavailable { .. }) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(through, loaded.cursor.through + EVENTS);
        loaded.chain = exchange.next;
        loaded.cursor.through = through;
        answered(number, through);
    }
    loaded.cursor.through
}

/// Numbers of the events of an agent, in the order in which they can be read.
pub(crate) async fn stored(store: &dyn Store, number: u8) -> Vec<u64> {
    let filter = EventFilter { agent: Some(uid(number)), ..EventFilter::default() };
    let mut position = EventPosition::default();
    let mut numbers = Vec::new();
    loop {
        let (rows, next) = store.events_after(position, filter.clone(), 500).await.unwrap();
        if rows.is_empty() {
            return numbers;
        }
        numbers.extend(rows.iter().filter_map(|row| row.origin.map(|origin| origin.1)));
        position = next;
    }
}
