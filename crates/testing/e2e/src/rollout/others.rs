//! The agents without a gateway: they ask, and say that what they are offered is in service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_opamp::message::{
    AgentRemoteConfig, EffectiveConfig, RemoteConfigStatus, RemoteConfigStatuses,
};

use super::Options;
use crate::fleet::Agent;
use crate::gateway::DEADLINE;
use crate::wait::{self, Stop};

/// Threads that the agents share.
const THREADS: u32 = 16;

/// All of them, at work.
#[derive(Debug)]
pub(super) struct Others {
    shared: Arc<Shared>,
    threads: Vec<Asking>,
}

/// A thread with a part of them.
#[derive(Debug)]
struct Asking {
    /// How often each of its agents has asked.
    rounds: Arc<AtomicUsize>,
    thread: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: Stop,
    /// What each agent was offered last, by its name, since [`Others::forget`].
    offers: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Others {
    /// Has all of them join, and begin to ask.
    pub(super) fn enrol(
        manager: SocketAddr,
        token: &str,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let poll = Duration::from_secs(options.poll.into());
        let joining = (0..THREADS).map(|number| {
            let count = options.agents / THREADS + u32::from(number < options.agents % THREADS);
            let token = token.to_owned();
            thread::spawn(move || -> anyhow::Result<Vec<Agent>> {
                (0..count).map(|_| Agent::enroll_at(&token, manager)).collect()
            })
        });
        let joining: Vec<_> = joining.collect();
        let (shared, mut threads) = (Arc::new(Shared::default()), Vec::new());
        for joined in joining {
            let agents = joined.join().unwrap().context("an agent cannot join")?;
            let (shared, rounds) = (Arc::clone(&shared), Arc::new(AtomicUsize::new(0)));
            let told = Arc::clone(&rounds);
            let thread = thread::spawn(move || take_turns(agents, manager, poll, &shared, &told));
            threads.push(Asking { rounds, thread });
        }
        Ok(Self { shared, threads })
    }

    /// Whatever was offered so far is of no interest.
    pub(super) fn forget(&self) {
        self.shared.offers.lock().unwrap().clear();
    }

    /// What each was offered last, who was offered anything.
    pub(super) fn offers(&self) -> Vec<Vec<u8>> {
        self.shared.offers.lock().unwrap().values().cloned().collect()
    }

    /// Waits until each has asked once more, from beginning to end.
    pub(super) fn wait_for_a_round(&self) -> anyhow::Result<()> {
        let rounds = |asking: &Asking| asking.rounds.load(Ordering::Relaxed);
        let before: Vec<usize> = self.threads.iter().map(rounds).collect();
        wait::until("a round of exchanges", DEADLINE, || {
            let mut asked = self.threads.iter().zip(&before);
            asked
                .all(|(one, before)| rounds(one) >= before + 2 || one.thread.is_finished())
                .then_some(())
        })?;
        Ok(())
    }

    /// Ends their work; an error if one of their exchanges failed.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.shared.stop.stop();
        for asking in self.threads {
            asking.thread.join().unwrap()?;
        }
        Ok(())
    }
}

/// Each in turn, all of them within a poll.
fn take_turns(
    agents: Vec<Agent>,
    manager: SocketAddr,
    poll: Duration,
    shared: &Shared,
    rounds: &AtomicUsize,
) -> anyhow::Result<()> {
    let pause = poll / u32::try_from(agents.len().max(1))?;
    let mut agents: Vec<(Agent, Option<AgentRemoteConfig>)> =
        agents.into_iter().map(|agent| (agent, None)).collect();
    loop {
        for (agent, offered) in &mut agents {
            if shared.stop.pause(pause) {
                return Ok(());
            }
            exchange(agent, offered, manager, shared)?;
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

fn exchange(
    agent: &mut Agent,
    offered: &mut Option<AgentRemoteConfig>,
    manager: SocketAddr,
    shared: &Shared,
) -> anyhow::Result<()> {
    let mut message = agent.batch(Vec::new());
    if let Some(offer) = offered.take() {
        message.remote_config_status = Some(RemoteConfigStatus {
            last_remote_config_hash: offer.config_hash,
            status: RemoteConfigStatuses::Applied.into(),
            error_message: String::new(),
        });
        message.effective_config = Some(EffectiveConfig { config_map: offer.config });
    }
    let told = agent.carry_out(manager, &message).context("an exchange failed")?;
    if let Some(offer) = told.message.remote_config {
        let hash = offer.config_hash.clone();
        shared.offers.lock().unwrap().insert(agent.uid.to_string(), hash);
        *offered = Some(offer);
    }
    Ok(())
}
