//! Each process, killed in each step of an apply.

use std::fmt::{self, Write as _};
use std::thread;

use anyhow::Context as _;
use mainstay_model::{Generation, Process};
use rustix::process::Signal;

use super::operator::Said;
use super::{Operator, Options};
use crate::gateway::{DEADLINE, Gateway};
use crate::traffic::Traffic;
use crate::wait;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Supervisor,
    Master,
    Broadcast,
    Active,
    Standby,
}

/// In which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instant {
    /// While the operator asks.
    Asked,
    Proving,
    Swapping,
    Watching,
    Following,
}

impl Victim {
    const ALL: [Self; 5] =
        [Self::Supervisor, Self::Master, Self::Broadcast, Self::Active, Self::Standby];

    /// Its process at this instant; none if it is not there.
    fn process(self, gateway: &Gateway) -> Option<Process> {
        let active = || gateway.status().and_then(|status| status.active);
        match self {
            Self::Supervisor => Some(Process::Supervisor),
            Self::Master => Some(Process::Master),
            Self::Broadcast => Some(Process::Broadcast),
            Self::Active => active().map(Process::Worker),
            Self::Standby => active().map(|slot| Process::Worker(slot.other())),
        }
    }
}

impl Instant {
    const ALL: [Self; 5] =
        [Self::Asked, Self::Proving, Self::Swapping, Self::Watching, Self::Following];

    /// What the log says when it comes.
    const fn line(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::Proving => Some("apply begins"),
            Self::Swapping => Some("active and standby exchanged"),
            Self::Watching => Some("watching what serves now"),
            Self::Following => Some("generation is current"),
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

/// Performs all of it.
pub(super) fn perform(
    options: &Options,
    operator: &mut Operator<'_>,
    traffic: &Traffic,
    report: &mut String,
) -> anyhow::Result<()> {
    write!(report, "\n{:12}", "applied of")?;
    Instant::ALL.iter().try_for_each(|instant| write!(report, "{instant:>12}"))?;
    writeln!(report)?;
    for victim in Victim::ALL {
        write!(report, "{victim:12}")?;
        for instant in Instant::ALL {
            let mut applied = 0;
            for _ in 0..options.kills {
                traffic.wait_answered(20)?;
                let outcome = one(operator, victim, instant)
                    .with_context(|| format!("{victim} killed while {instant}"))?;
                applied += u32::from(matches!(outcome, Said::InService(_)));
            }
            write!(report, "{:>12}", format!("{applied}/{}", options.kills))?;
        }
        writeln!(report)?;
    }
    let kills = options.kills as usize * Victim::ALL.len() * Instant::ALL.len();
    writeln!(report, "{kills} kills; every answer was true")?;
    Ok(())
}

/// One apply with one kill in it.
fn one(operator: &mut Operator<'_>, victim: Victim, instant: Instant) -> anyhow::Result<Said> {
    let before = operator.wait_of_one_mind()?;
    operator.change()?;
    let start = operator.gateway.log_bytes();
    let (answer, killed) = thread::scope(|scope| {
        let applying = scope.spawn(|| operator.apply(&[]));
        let killed = kill(operator.gateway, victim, instant, start);
        (applying.join().expect("an operator does not panic"), killed)
    });
    let (answer, killed) = (answer?, killed?);
    operator.gateway.wait_ready_without(&[killed])?;
    let serves = operator.wait_of_one_mind()?;
    let said = Said::by(&answer)?;
    check(said, serves, before).with_context(|| format!("{answer:?}"))?;
    Ok(said)
}

/// Waits for the instant and kills; returns whom.
fn kill(gateway: &Gateway, victim: Victim, instant: Instant, start: usize) -> anyhow::Result<u32> {
    if let Some(line) = instant.line() {
        wait::until(line, DEADLINE, || gateway.log_from(start).contains(line).then_some(()))?;
    }
    let name = format!("{victim} to be there");
    let killed = wait::until(&name, DEADLINE, || {
        let process = gateway.process(victim.process(gateway)?).ok()?;
        process.signal(Signal::KILL).ok()?;
        Some(process.pid())
    });
    Ok(killed?)
}

fn check(said: Said, serves: Generation, before: Generation) -> anyhow::Result<()> {
    anyhow::ensure!(
        said.is_true(serves, before),
        "the answer {said:?} is not true: generation {serves} serves, {before} did before"
    );
    Ok(())
}
