//! The certificate of all managers exchanged under a fleet, a part of which is away; and managers
//! that are none.
//!
//! ```text
//!   next ─▶ those who are there hold both ─▶ the first manager shows it ─▶ the second may not yet
//!        ─▶ those who were away come back, to the second ─▶ it may ─▶ the former is withdrawn
//! ```
//!
//! Most agents are in this process and compare certificates with the code of the real one; a few are
//! processes of the real binary. The managers are real, and none is started again.

mod agents;
mod managers;
mod stranger;

use std::fmt;

use anyhow::ensure;

use agents::{Agents, Pulse};
use managers::Managers;
pub use stranger::{Row, Shown, Stranger, Strangers, Version, observe as strangers};

/// Exchanges the certificate of all managers, and counts the agents that no longer find one.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Options {
    /// Agents of the fleet
    #[arg(long, default_value_t = 500)]
    pub agents: usize,

    /// How many of them are away until the exchange is almost over, in percent
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(..=50))]
    pub away: u8,

    /// How many of them are processes of their own
    #[arg(long, default_value_t = 10)]
    pub processes: usize,
}

/// Runs, prints what was seen, and fails if it is not what was promised.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let seen = observe(options)?;
    let strangers = strangers()?;
    println!("{seen}{strangers}");
    seen.verdict()?;
    strangers.verdict()
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub agents: usize,
    /// Processes among them.
    pub processes: usize,
    /// Who was away until the first manager had switched.
    pub away: usize,
    /// Whom the last manager was told that it would leave alone.
    pub refused_for: Option<usize>,
    /// Of the agent that exchanged all the while, each without a second try.
    pub exchanges: u64,
    pub exchanges_failed: u64,
    /// Rows of agents in the database.
    pub registered: usize,
    /// Who holds the next certificate and nothing else.
    pub hold_the_next: usize,
    /// Who did not exchange with each manager at the end.
    pub orphans: usize,
}

/// Exchanges the certificate; returns what was seen.
pub fn observe(options: &Options) -> anyhow::Result<Seen> {
    ensure!(options.processes <= options.agents, "more processes than agents");
    let managers = Managers::serve()?;
    let mut agents = Agents::enrol(&managers, options)?;
    agents.exchange_all(&managers.both())?;
    let pulse = Pulse::start(&managers)?;
    let away = agents.leave(options.away)?;

    managers.make_next()?;
    agents.until_present_hold(&managers, 2)?;
    pulse.until_it_holds(2)?;
    // The one that exchanges all the while is one more.
    let present = options.agents - away + 1;
    managers.until_next_is_held_by(present, options.agents + 1)?;
    managers.switch_first()?;
    agents.exchange_present(&managers.both())?;
    // Whoever is away holds the former alone: it must go on being shown somewhere.
    let refused_for = managers.try_to_switch_second()?;
    agents.come_back(&managers)?;
    managers.switch_second()?;
    agents.exchange_all(&managers.both())?;
    managers.withdraw_former()?;
    agents.until_all_hold(&managers, 1)?;
    let orphans = agents.orphans(&managers);
    let (exchanges, exchanges_failed) = pulse.stop()?;
    let (hold_the_next, registered) =
        managers.until_next_is_held_by(options.agents + 1, options.agents + 1)?;
    Ok(Seen {
        agents: options.agents,
        processes: options.processes,
        away,
        refused_for,
        exchanges,
        exchanges_failed,
        registered: registered.saturating_sub(1),
        hold_the_next: hold_the_next.saturating_sub(1),
        orphans,
    })
}

impl Seen {
    /// An error if it is not what was promised.
    pub fn verdict(&self) -> anyhow::Result<()> {
        ensure!(self.orphans == 0, "{} agents find no manager any more", self.orphans);
        ensure!(self.registered == self.agents, "{} agents are registered", self.registered);
        ensure!(self.hold_the_next == self.agents, "{} hold the next", self.hold_the_next);
        ensure!(self.exchanges_failed == 0, "{} exchanges failed", self.exchanges_failed);
        ensure!(self.exchanges > 0, "nobody exchanged meanwhile");
        let refused = self.refused_for.unwrap_or_default();
        ensure!(refused == self.away, "{} are away, it was refused for {refused}", self.away);
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, processes, away, .. } = self;
        writeln!(f, "{agents} agents, {processes} of them processes, {away} of them away\n")?;
        writeln!(f, "| what | promised | seen |\n| --- | ---: | ---: |")?;
        writeln!(f, "| agents that find no manager afterwards | 0 | {} |", self.orphans)?;
        let holders = self.hold_the_next;
        writeln!(f, "| agents that hold the next certificate alone | {agents} | {holders} |")?;
        writeln!(f, "| rows of agents in the database | {agents} | {} |", self.registered)?;
        let refused = self.refused_for.unwrap_or_default();
        writeln!(f, "| agents for which the last manager may not switch | {away} | {refused} |")?;
        writeln!(
            f,
            "| exchanges of one agent all the while that failed | 0 | {} of {} |",
            self.exchanges_failed, self.exchanges
        )
    }
}
