//! Who dies, one after the other, while users come and go.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mainstay_model::Process;
use rustix::process::Signal;

use crate::children;
use crate::gateway::{DEADLINE, Gateway};
use crate::luck::Luck;
use crate::wait;

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Broadcast,
    Active,
    Standby,
    Both,
    Master,
    Supervisor,
}

impl Victim {
    pub(super) const ALL: [Self; 6] =
        [Self::Broadcast, Self::Active, Self::Standby, Self::Both, Self::Master, Self::Supervisor];
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broadcast => "of broadcast",
            Self::Active => "of the active",
            Self::Standby => "of the standby",
            Self::Both => "of both workers",
            Self::Master => "of the master",
            Self::Supervisor => "of the supervisor",
        })
    }
}

/// How often each dies, in a hundred.
const WEIGHTS: [(u64, Victim); 6] = [
    (35, Victim::Broadcast),
    (25, Victim::Active),
    (15, Victim::Standby),
    (5, Victim::Both),
    (12, Victim::Master),
    (8, Victim::Supervisor),
];

/// One death.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) victim: Victim,
    /// Since the first could be.
    at: Duration,
    /// Until the gateway was whole again.
    pub(super) whole_after: Duration,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { victim, at, whole_after } = self;
        write!(f, "at {at:.3?} a kill {victim}, whole after {whole_after:.3?}")
    }
}

/// Kills processes of one gateway.
#[derive(Debug)]
pub(super) struct Killer<'g> {
    gateway: &'g Gateway,
    luck: Luck,
    number: u32,
    /// Between the gateway's being whole and the next death, at most.
    pause: Duration,
    pub(super) kills: Vec<Kill>,
}

impl<'g> Killer<'g> {
    pub(super) const fn new(
        gateway: &'g Gateway,
        luck: Luck,
        number: u32,
        pause: Duration,
    ) -> Self {
        Self { gateway, luck, number, pause, kills: Vec::new() }
    }

    /// Kills as often as it was told to.
    pub(super) fn perform(&mut self) -> anyhow::Result<()> {
        let pause = wait::Stop::default();
        let begin = Instant::now();
        for number in 1..=self.number {
            pause.pause(self.luck.duration(Duration::ZERO..self.pause));
            let victim = self.luck.weighted(&WEIGHTS);
            let (start, at) = (Instant::now(), begin.elapsed());
            self.kill(victim).with_context(|| format!("kill {number}: {victim}"))?;
            self.kills.push(Kill { victim, at, whole_after: start.elapsed() });
        }
        Ok(())
    }

    fn kill(&self, victim: Victim) -> anyhow::Result<()> {
        let active = self.gateway.active()?;
        let processes = match victim {
            Victim::Broadcast => vec![Process::Broadcast],
            Victim::Active => vec![Process::Worker(active)],
            Victim::Standby => vec![Process::Worker(active.other())],
            Victim::Both => vec![Process::Worker(active), Process::Worker(active.other())],
            Victim::Master => vec![Process::Master],
            Victim::Supervisor => vec![Process::Supervisor],
        };
        let victims = processes
            .into_iter()
            .map(|process| self.gateway.wait_process(process))
            .collect::<anyhow::Result<Vec<children::Process>>>()?;
        for victim in &victims {
            victim.signal(Signal::KILL)?;
        }
        if victim == Victim::Supervisor {
            // The status may not show it, so its file is what tells that another one is there.
            let is_new = || self.gateway.process(Process::Supervisor).is_ok();
            for victim in &victims {
                victim.ends_within(DEADLINE);
            }
            wait::until("another supervisor", DEADLINE, || is_new().then_some(()))?;
        }
        let gone: Vec<u32> = victims.iter().map(children::Process::pid).collect();
        self.gateway.wait_ready_without(&gone).map(drop)
    }
}
