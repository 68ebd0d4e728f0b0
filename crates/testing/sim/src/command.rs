//! The command line of the simulator, for whoever has one.
//!
//! ```text
//! gateway [--seed N | --seeds N] [--steps N] [--flaw NAME]
//! gateway --replay FILE [--step]
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::gateway;
use crate::history::{History, HistoryError};
use crate::shorten::shorten;
use crate::world::Flaw;

/// Actions of one run, unless told otherwise.
const STEPS: u32 = 500;

/// Why the simulator has nothing good to say.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(
        "usage: gateway [--seed N | --seeds N] [--steps N] [--flaw NAME] | gateway --replay FILE [--step]"
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
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Seeds { first: u64, count: u64, steps: u32, flaw: Option<Flaw> },
    Replay { file: PathBuf, show: Show },
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
        Request::Seeds { first, count, steps, flaw } => {
            for seed in first..first.saturating_add(count) {
                let played = gateway::run_flawed(seed, steps, flaw);
                played.or_else(|broken| keep(broken, folder))?;
            }
            let last = first.saturating_add(count.saturating_sub(1));
            writeln!(out, "seeds {first} to {last}, {steps} actions each: every invariant holds")
                .map_err(|source| CommandError::Print { source })
        }
        Request::Replay { file, show } => {
            let text = std::fs::read_to_string(&file)
                .map_err(|source| CommandError::Read { path: file.clone(), source })?;
            let history = History::from_lines(&text)
                .map_err(|source| CommandError::History { path: file.clone(), source })?;
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
            writeln!(out, "{} actions: every invariant holds", history.actions.len())
                .map_err(|source| CommandError::Print { source })
        }
    }
}

/// Writes the history of a failure, made short; it is also the failure.
fn keep(broken: Box<crate::Broken>, folder: &Path) -> Result<(), CommandError> {
    let broken = shorten(broken);
    let path = folder.join(format!("gateway-{}.jsonl", broken.history.seed));
    let lines = broken
        .history
        .to_lines()
        .map_err(|source| CommandError::History { path: path.clone(), source })?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, lines))
        .map_err(|source| CommandError::Write { path: path.clone(), source })?;
    Err(CommandError::Broken { path, source: broken })
}

fn read(arguments: &[String], fresh: u64) -> Option<Request> {
    let mut arguments = arguments.iter().map(String::as_str);
    if arguments.next()? != "gateway" {
        return None;
    }
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
    Some(match file {
        Some(file) => Request::Replay { file, show },
        None => Request::Seeds { first, count, steps, flaw },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn arguments_say_what_is_played() {
        let seeds = |first, count, steps, flaw| Some(Request::Seeds { first, count, steps, flaw });
        assert_eq!(read(&words("gateway"), 7), seeds(7, 1, 500, None));
        assert_eq!(read(&words("gateway --seed 9 --steps 20"), 7), seeds(9, 1, 20, None));
        assert_eq!(read(&words("gateway --seeds 100"), 7), seeds(0, 100, 500, None));
        let flaw = Some(Flaw::LanesStayOpen);
        assert_eq!(read(&words("gateway --flaw lanes_stay_open"), 7), seeds(7, 1, 500, flaw));
        let replay = Request::Replay { file: PathBuf::from("x"), show: Show::EveryStep };
        assert_eq!(read(&words("gateway --replay x --step"), 7), Some(replay));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", "fleet", "gateway --seed", "gateway --seed x", "gateway --flaw none"] {
            assert_eq!(read(&words(wrong), 7), None, "{wrong}");
        }
    }
}
