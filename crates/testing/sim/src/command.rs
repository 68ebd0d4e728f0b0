//! The command line of the simulator, for whoever has one.
//!
//! ```text
//! gateway [--seed N | --seeds N] [--steps N] [--flaw NAME]
//! gateway --replay FILE [--step]
//! sessions|agents [--seed N | --seeds N] [--steps N] [--flaw NAME]
//! sessions|agents --replay FILE
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agents;
use crate::gateway;
use crate::history::{History, HistoryError};
use crate::sessions;
use crate::world::Flaw;

/// Actions of one run, unless told otherwise.
const STEPS: u32 = 500;

/// Why the simulator has nothing good to say.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(
        "usage: gateway|sessions|agents [--seed N | --seeds N] [--steps N] [--flaw NAME] | gateway --replay FILE [--step] | sessions|agents --replay FILE"
    )]
    Usage,

    #[error("cannot read history {}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("cannot use history {}", path.display())]
    History { path: PathBuf, source: HistoryError },

    #[error("cannot write history {}", path.display())]
    Write { path: PathBuf, source: io::Error },

    #[error("cannot print")]
    Print { source: io::Error },

    #[error("an invariant is broken; history in {}", path.display())]
    Broken { path: PathBuf, source: Box<crate::Broken> },

    #[error("an invariant of sessions is broken; history in {}", path.display())]
    SessionsBroken { path: PathBuf, source: Box<sessions::Broken> },

    #[error("an invariant of agents is broken; history in {}", path.display())]
    AgentsBroken { path: PathBuf, source: Box<agents::Broken> },
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Gateway(Play<Flaw>, Show),
    Sessions(Play<sessions::Flaw>),
    Agents(Play<agents::Flaw>),
}

#[derive(Debug, PartialEq, Eq)]
enum Play<F> {
    Seeds { first: u64, count: u64, steps: u32, flaw: Option<F> },
    Replay { file: PathBuf },
}

#[derive(Debug, PartialEq, Eq)]
enum Show {
    Outcome,
    EveryStep,
}

/// Does what `arguments` ask for. Histories of failures are written into `folder`. Without a
/// seed, `fresh` is it.
pub fn command(
    arguments: &[String],
    fresh: u64,
    folder: &Path,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match read(arguments, fresh).ok_or(CommandError::Usage)? {
        Request::Gateway(Play::Seeds { first, count, steps, flaw }, _) => {
            for seed in first..first.saturating_add(count) {
                let played = gateway::run_flawed(seed, steps, flaw);
                played.or_else(|broken| keep(broken, folder))?;
            }
            report_seeds(first, count, steps, out)
        }
        Request::Gateway(Play::Replay { file }, show) => {
            let history = load(&file)?;
            let mut printed = Ok(());
            let played = gateway::replay(&history, |action, world| {
                if show == Show::EveryStep && printed.is_ok() {
                    printed = match action {
                        Some(action) => writeln!(out, "{world}{action:?}"),
                        None => writeln!(out, "{world}calm"),
                    };
                }
            });
            printed.map_err(|source| CommandError::Print { source })?;
            played.map_err(|source| CommandError::Broken { path: file, source })?;
            report_actions(history.actions.len(), out)
        }
        Request::Sessions(Play::Seeds { first, count, steps, flaw }) => {
            for seed in first..first.saturating_add(count) {
                if let Err(broken) = sessions::run(seed, steps, flaw) {
                    let source = sessions::shorten(broken);
                    let path = folder.join(format!("sessions-{seed}.jsonl"));
                    save(&source.history, folder, &path)?;
                    return Err(CommandError::SessionsBroken { path, source });
                }
            }
            report_seeds(first, count, steps, out)
        }
        Request::Sessions(Play::Replay { file }) => {
            let history = load(&file)?;
            sessions::replay(&history)
                .map_err(|source| CommandError::SessionsBroken { path: file, source })?;
            report_actions(history.actions.len(), out)
        }
        Request::Agents(Play::Seeds { first, count, steps, flaw }) => {
            for seed in first..first.saturating_add(count) {
                if let Err(broken) = agents::run(seed, steps, flaw) {
                    let source = agents::shorten(broken);
                    let path = folder.join(format!("agents-{seed}.jsonl"));
                    save(&source.history, folder, &path)?;
                    return Err(CommandError::AgentsBroken { path, source });
                }
            }
            report_seeds(first, count, steps, out)
        }
        Request::Agents(Play::Replay { file }) => {
            let history = load(&file)?;
            agents::replay(&history)
                .map_err(|source| CommandError::AgentsBroken { path: file, source })?;
            report_actions(history.actions.len(), out)
        }
    }
}

fn report_seeds(
    first: u64,
    count: u64,
    steps: u32,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let last = first.saturating_add(count.saturating_sub(1));
    writeln!(out, "seeds {first} to {last}, {steps} actions each: every invariant holds")
        .map_err(|source| CommandError::Print { source })
}

fn report_actions(count: usize, out: &mut dyn Write) -> Result<(), CommandError> {
    writeln!(out, "{count} actions: every invariant holds")
        .map_err(|source| CommandError::Print { source })
}

fn load<A, F>(file: &Path) -> Result<History<A, F>, CommandError>
where
    A: Serialize + DeserializeOwned,
    F: Copy + Serialize + DeserializeOwned,
{
    let path = || file.to_owned();
    let text = std::fs::read_to_string(file)
        .map_err(|source| CommandError::Read { path: path(), source })?;
    History::from_lines(&text).map_err(|source| CommandError::History { path: path(), source })
}

fn save<A, F>(history: &History<A, F>, folder: &Path, path: &Path) -> Result<(), CommandError>
where
    A: Serialize + DeserializeOwned,
    F: Copy + Serialize + DeserializeOwned,
{
    let lines = history
        .to_lines()
        .map_err(|source| CommandError::History { path: path.to_owned(), source })?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, lines))
        .map_err(|source| CommandError::Write { path: path.to_owned(), source })
}

/// Writes the history of a failure, made short; it is also the failure.
fn keep(broken: Box<crate::Broken>, folder: &Path) -> Result<(), CommandError> {
    let broken = gateway::shorten(broken);
    let path = folder.join(format!("gateway-{}.jsonl", broken.history.seed));
    save(&broken.history, folder, &path)?;
    Err(CommandError::Broken { path, source: broken })
}

fn read(arguments: &[String], fresh: u64) -> Option<Request> {
    let (world, arguments) = arguments.split_first()?;
    match world.as_str() {
        "gateway" => {
            let (play, show) = read_play(arguments, fresh)?;
            Some(Request::Gateway(play, show))
        }
        "sessions" => match read_play(arguments, fresh)? {
            (play, Show::Outcome) => Some(Request::Sessions(play)),
            (_, Show::EveryStep) => None,
        },
        "agents" => match read_play(arguments, fresh)? {
            (play, Show::Outcome) => Some(Request::Agents(play)),
            (_, Show::EveryStep) => None,
        },
        _ => None,
    }
}

fn read_play<F: DeserializeOwned>(arguments: &[String], fresh: u64) -> Option<(Play<F>, Show)> {
    let mut arguments = arguments.iter().map(String::as_str);
    let (mut first, mut count, mut steps, mut flaw) = (fresh, 1, STEPS, None);
    let (mut file, mut show) = (None, Show::Outcome);
    while let Some(argument) = arguments.next() {
        match argument {
            "--seed" => first = arguments.next()?.parse().ok()?,
            "--seeds" => (first, count) = (0, arguments.next()?.parse().ok()?),
            "--steps" => steps = arguments.next()?.parse().ok()?,
            "--flaw" => {
                let name = serde_json::Value::from(arguments.next()?);
                flaw = Some(serde_json::from_value(name).ok()?);
            }
            "--replay" => file = Some(PathBuf::from(arguments.next()?)),
            "--step" => show = Show::EveryStep,
            _ => return None,
        }
    }
    let play = match file {
        Some(file) => Play::Replay { file },
        None => Play::Seeds { first, count, steps, flaw },
    };
    Some((play, show))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn arguments_say_what_is_played() {
        let seeds = |first, count, steps, flaw| {
            Some(Request::Gateway(Play::Seeds { first, count, steps, flaw }, Show::Outcome))
        };
        assert_eq!(read(&words("gateway"), 7), seeds(7, 1, 500, None));
        assert_eq!(read(&words("gateway --seed 9 --steps 20"), 7), seeds(9, 1, 20, None));
        assert_eq!(read(&words("gateway --seeds 100"), 7), seeds(0, 100, 500, None));
        let flaw = Some(Flaw::LanesStayOpen);
        assert_eq!(read(&words("gateway --flaw lanes_stay_open"), 7), seeds(7, 1, 500, flaw));
        let replay = Play::Replay { file: PathBuf::from("x") };
        let replay = Request::Gateway(replay, Show::EveryStep);
        assert_eq!(read(&words("gateway --replay x --step"), 7), Some(replay));
        let flaw = Some(sessions::Flaw::NobodyWasThere);
        let play = Play::Seeds { first: 3, count: 1, steps: 500, flaw };
        assert_eq!(
            read(&words("sessions --seed 3 --flaw nobody_was_there"), 7),
            Some(Request::Sessions(play))
        );
        let play = Play::Seeds { first: 0, count: 9, steps: 500, flaw: None };
        assert_eq!(read(&words("agents --seeds 9"), 7), Some(Request::Agents(play)));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in [
            "",
            "fleet",
            "gateway --seed",
            "gateway --seed x",
            "gateway --flaw none",
            "sessions --step",
        ] {
            assert_eq!(read(&words(wrong), 7), None, "{wrong}");
        }
    }
}
