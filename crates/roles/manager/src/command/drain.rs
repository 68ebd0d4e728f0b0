//! `mainstay manager drain` and `list`: which managers there are, and which of them take agents.

use anyhow::Context as _;
use mainstay_database::{Drain, ManagerId, ManagerRow, WallTime};

use super::{At, say, table, with_store};
use crate::fleet::by_command_line;

/// What `drain` is told.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    at: At,
    /// Another manager, by its name or number as `list` shows it
    #[arg(long, value_name = "MANAGER")]
    manager: Option<String>,
    /// Have it take agents again
    #[arg(long)]
    undo: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let drain = if options.undo { Drain::Serve } else { Drain::Drain };
    with_store(&options.at, async |_content, store| {
        let id = match &options.manager {
            None => options.at.directory().id()?,
            Some(wanted) => find(&store.managers().await?, wanted)?,
        };
        let asked = by_command_line("manager.drain", &id.to_string());
        let set = store.set_drain(id, drain, asked).await;
        set.context("this manager has never served; `mainstay manager list` shows who has")
    })
}

fn find(managers: &[ManagerRow], wanted: &str) -> anyhow::Result<ManagerId> {
    let named: Vec<ManagerId> = managers
        .iter()
        .map(|row| &row.beat)
        .filter(|beat| beat.name == wanted || beat.manager.to_string() == wanted)
        .map(|beat| beat.manager)
        .collect();
    match named.as_slice() {
        [one] => Ok(*one),
        [] => anyhow::bail!("there is no manager {wanted:?}"),
        _ => anyhow::bail!("several managers are called {wanted:?}: say which by its number"),
    }
}

pub(super) fn list(at: &At) -> anyhow::Result<()> {
    let (managers, now) =
        with_store(at, async |_content, store| Ok((store.managers().await?, store.now().await?)))?;
    let rows: Vec<[String; 7]> = managers.iter().map(|row| line(row, now)).collect();
    say(&table(["NAME", "ADDRESS", "VERSION", "SEEN", "RATE", "AGENTS", "ID"], &rows))
}

fn line(row: &ManagerRow, now: WallTime) -> [String; 7] {
    let beat = &row.beat;
    let agents = match row.drain {
        Drain::Serve => "served",
        Drain::Drain => "sent away",
    };
    [
        beat.name.clone(),
        beat.address.clone(),
        beat.version.clone(),
        format!("{} s ago", now.since(row.seen_at).as_secs()),
        format!("{}.{}/s", beat.exchange_rate / 1000, beat.exchange_rate % 1000 / 100),
        agents.to_owned(),
        beat.manager.to_string(),
    ]
}
