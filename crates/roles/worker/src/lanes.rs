//! The worker's threads, as its control thread sees them.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{Builder, JoinHandle};

use anyhow::Context as _;
use mainstay_ledger::Kept;
use mainstay_model::Chain;
use mainstay_os::{Channel, Event, Interest, Poller, pin_thread, random_u64};
use mainstay_proxy::{Command, Lane, LaneHandle, LaneSetup, Report};
use tracing::{error, warn};

use crate::settings::Settings;

/// The lanes, and what they report.
#[derive(Debug)]
pub(crate) struct Lanes {
    handles: Vec<LaneHandle>,
    threads: Vec<JoinHandle<()>>,
    /// The sending ends of their channels, for each master in turn.
    senders: Vec<Channel>,
    reports: Receiver<(usize, Report)>,
    raised: Arc<Event>,
    /// Whose turn it is to adopt.
    next: usize,
}

impl Lanes {
    /// Makes the lanes and starts their threads.
    pub(crate) fn start(settings: &Settings, kept: &mut Kept) -> anyhow::Result<Self> {
        let (sender, reports) = mpsc::channel();
        let raised = Arc::new(Event::new().context("cannot make an event")?);
        let mut lanes = Self {
            handles: Vec::new(),
            threads: Vec::new(),
            senders: Vec::new(),
            reports,
            raised: Arc::clone(&raised),
            next: 0,
        };
        for index in 0..settings.worker.threads {
            let (ours, theirs) = Channel::pair().context("cannot make a lane's channel")?;
            let (lane, handle) = Lane::new(LaneSetup {
                settings: Arc::clone(&settings.proxy),
                ledger: kept.ledger().lane(index),
                handoffs: theirs,
                access_log: settings.access_log(),
                origin: settings.origin(),
                seed: random_u64().context("cannot get a random number")?,
                reports: sender.clone(),
                report_raised: Arc::clone(&raised),
                index,
            })?;
            let cpus = &settings.worker.cpus;
            let cpu = cpus.get(index % cpus.len().max(1)).copied();
            let thread = Builder::new()
                .name(format!("lane-{index}"))
                .spawn(move || work(lane, cpu))
                .context("cannot start a lane's thread")?;
            lanes.handles.push(handle);
            lanes.threads.push(thread);
            lanes.senders.push(ours);
        }
        Ok(lanes)
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.handles.len()
    }

    /// The sending ends of their channels.
    pub(crate) fn senders(&self) -> &[Channel] {
        &self.senders
    }

    /// Has `poller` tell, under `token`, when there are reports.
    pub(crate) fn watch(&self, poller: &Poller, token: u64) -> std::io::Result<()> {
        poller.add(self.raised.as_fd(), token, Interest::ReadLevel)
    }

    /// Tells every lane.
    pub(crate) fn tell_all(&self, command: impl Fn() -> Command) -> anyhow::Result<()> {
        for handle in &self.handles {
            handle.tell(command()).context("cannot tell a lane")?;
        }
        Ok(())
    }

    /// Tells each lane something of its own.
    pub(crate) fn tell_each(
        &self,
        commands: impl IntoIterator<Item = Command>,
    ) -> anyhow::Result<()> {
        for (handle, command) in self.handles.iter().zip(commands) {
            handle.tell(command).context("cannot tell a lane")?;
        }
        Ok(())
    }

    /// The lane whose turn it is.
    pub(crate) fn next(&mut self) -> anyhow::Result<&LaneHandle> {
        self.next = (self.next + 1) % self.handles.len();
        self.handles.get(self.next).context("a worker has a lane")
    }

    /// Tells one lane after another.
    pub(crate) fn tell_next(&mut self, command: Command) -> anyhow::Result<()> {
        self.next()?.tell(command).context("cannot tell a lane")
    }

    /// What they reported since the last call, and which of them did.
    pub(crate) fn reports(&self) -> anyhow::Result<Vec<(usize, Report)>> {
        self.raised.take().context("cannot take an event back")?;
        Ok(self.reports.try_iter().collect())
    }

    /// Waits for the end of all threads, which were told to end.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                warn!("a lane ended badly");
            }
        }
    }
}

/// The life of a lane's thread. A lane that cannot go on ends the process: its connections
/// are adopted, which it could not do for them itself.
fn work(lane: Lane, cpu: Option<usize>) {
    if let Some(cpu) = cpu
        && let Err(error) = pin_thread(&[cpu])
    {
        warn!(cpu, %error, "cannot keep a lane on its processor");
    }
    if let Err(error) = lane.run() {
        error!(error = %Chain(&error), "a lane cannot go on");
        std::process::abort();
    }
}
