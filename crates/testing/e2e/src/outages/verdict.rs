//! What the database has, beside what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, ensure};
use mainstay_database::{AgentUid, EventRow};
use serde_json::Value;

use super::world::World;
use super::writer;

/// What was kept, and how.
#[derive(Debug, Default)]
pub(super) struct Kept {
    written: u64,
    /// Events of agents, those that they wrote themselves too.
    events: usize,
    lost: u64,
    twice: u64,
    out_of_order: u64,
    agents: usize,
    registered_anew: usize,
    forks: u32,
}

/// Reads everything back; `written` has the number of lines of each agent.
pub(super) fn judge(world: &World, written: &[u64]) -> anyhow::Result<(Kept, Vec<EventRow>)> {
    let records = world.records()?;
    let all = records.all_events()?;
    let agents = records.agents()?;
    let names: BTreeSet<AgentUid> = agents.iter().map(|row| row.agent).collect();
    let mut kept = Kept {
        written: written.iter().sum(),
        agents: names.len(),
        registered_anew: all.iter().filter(|row| row.kind == "agent.registered-anew").count(),
        forks: agents.iter().map(|row| row.forks).sum(),
        ..Kept::default()
    };
    let mut numbers: BTreeMap<AgentUid, Vec<u64>> = BTreeMap::new();
    for row in &all {
        let Some(agent) = row.agent.filter(|_| row.origin.is_some()) else { continue };
        kept.events += 1;
        if row.kind == writer::KIND {
            numbers.entry(agent).or_default().push(number(row)?);
        }
    }
    for (agent, written) in world.agents.iter().zip(written) {
        ensure!(names.contains(&agent.uid), "{:?} is not registered", agent.uid);
        kept.compare(&numbers.remove(&agent.uid).unwrap_or_default(), *written);
    }
    ensure!(numbers.is_empty(), "events of strangers: {:?}", numbers.keys());
    Ok((kept, all))
}

fn number(row: &EventRow) -> anyhow::Result<u64> {
    let body: Value = serde_json::from_slice(&row.body)?;
    body["number"].as_u64().with_context(|| format!("an event without a number: {body}"))
}

impl Kept {
    /// What is there, in the order of all events, and how many there should be: 1, 2, 3, …
    fn compare(&mut self, there: &[u64], written: u64) {
        let distinct: BTreeSet<u64> = there.iter().copied().collect();
        self.lost += (1..=written).filter(|number| !distinct.contains(number)).count() as u64;
        self.twice += (there.len() - distinct.len()) as u64;
        self.out_of_order +=
            there.windows(2).filter(|pair| matches!(pair, [a, b] if a > b)).count() as u64;
    }

    pub(super) fn verdict(&self, agents: usize) -> anyhow::Result<()> {
        ensure!(
            (self.lost, self.twice, self.out_of_order) == (0, 0, 0),
            "{} lost, {} twice, {} out of order",
            self.lost,
            self.twice,
            self.out_of_order
        );
        ensure!(self.agents == agents, "{} are registered, there are {agents}", self.agents);
        ensure!(self.forks == 0, "{} agents were taken for clones", self.forks);
        Ok(())
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| lines that were written | | {} |", self.written)?;
        writeln!(f, "| of these lost | 0 | {} |", self.lost)?;
        writeln!(f, "| of these twice | 0 | {} |", self.twice)?;
        writeln!(f, "| of these out of order | 0 | {} |", self.out_of_order)?;
        writeln!(f, "| events of agents in the database | | {} |", self.events)?;
        writeln!(f, "| agents in the database | as many as there are | {} |", self.agents)?;
        writeln!(f, "| agents that registered anew | | {} |", self.registered_anew)?;
        writeln!(f, "| agents that were taken for clones | 0 | {} |", self.forks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_twice_or_out_of_order_is_counted() {
        let mut kept = Kept::default();
        kept.compare(&[1, 2, 3], 3);
        assert!(kept.verdict(0).is_ok());
        kept.compare(&[1, 3, 2, 2], 4);
        assert_eq!((kept.lost, kept.twice, kept.out_of_order), (1, 1, 1));
        assert!(kept.verdict(0).is_err());
    }
}
