//! What happened, as lines of JSON: the seed, then one action a line. To be kept, shortened
//! by hand, and played again.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::world::Flaw;

/// Every action of one run, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<A = Action, F = Flaw> {
    /// Where the actions came from. Playing them again does not need it.
    pub seed: u64,
    /// The rule that the world leaves out, if it does.
    pub flaw: Option<F>,
    /// What happened.
    pub actions: Vec<A>,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<F> {
    seed: u64,
    flaw: Option<F>,
}

/// Why a history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("a history begins with a line that names its seed")]
    Empty,

    #[error("cannot read line {line} of a history")]
    Line { line: usize, source: serde_json::Error },

    #[error("cannot write a history")]
    Write { source: serde_json::Error },
}

impl<A: Serialize + DeserializeOwned, F: Copy + Serialize + DeserializeOwned> History<A, F> {
    /// Reads what [`History::to_lines`] wrote. Empty lines are skipped.
    pub fn from_lines(text: &str) -> Result<Self, HistoryError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty());
        let (line, head) = lines.next().ok_or(HistoryError::Empty)?;
        let Head { seed, flaw } = read(line, head)?;
        let actions = lines.map(|(line, text)| read(line, text)).collect::<Result<_, _>>()?;
        Ok(Self { seed, flaw, actions })
    }

    /// One line for the seed, one for each action.
    pub fn to_lines(&self) -> Result<String, HistoryError> {
        let write = |source| HistoryError::Write { source };
        let head = Head { seed: self.seed, flaw: self.flaw };
        let mut text = serde_json::to_string(&head).map_err(write)?;
        for action in &self.actions {
            text.push('\n');
            text.push_str(&serde_json::to_string(action).map_err(write)?);
        }
        text.push('\n');
        Ok(text)
    }
}

fn read<T: for<'a> Deserialize<'a>>(line: usize, text: &str) -> Result<T, HistoryError> {
    serde_json::from_str(text).map_err(|source| HistoryError::Line { line, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Kept = History<Action, Flaw>;

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let history = History {
            seed: 8181,
            flaw: Some(Flaw::LanesStayOpen),
            actions: vec![
                Action::Tick,
                Action::Kill { process: 2 },
                Action::Work { worker: 1, connection: 7 },
            ],
        };
        let text = history.to_lines().unwrap();
        assert_eq!(
            text,
            "{\"seed\":8181,\"flaw\":\"lanes_stay_open\"}\n\"tick\"\n{\"kill\":{\"process\":2}}\n\
             {\"work\":{\"worker\":1,\"connection\":7}}\n"
        );
        assert_eq!(History::from_lines(&text).unwrap(), history);
    }

    #[test]
    fn a_line_that_is_no_action_is_named() {
        let problem = Kept::from_lines("{\"seed\":1,\"flaw\":null}\n\"dance\"").unwrap_err();
        assert_eq!(problem.to_string(), "cannot read line 2 of a history");
        assert!(matches!(Kept::from_lines(""), Err(HistoryError::Empty)));
    }
}
