//! One thing that is wrong with a configuration, and where.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

/// Most problems that are reported of one text. Who has more has given the wrong file.
const PROBLEMS_MAX: usize = 1_000;

/// One thing wrong with a configuration file: a place and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the text.
    span: Range<usize>,
    text: String,
}

impl Problem {
    pub(crate) const fn at(span: Range<usize>, text: String) -> Self {
        Self { span, text }
    }

    /// The sentence, without the place.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `gateway.toml:12:10: sentence`: line and column from 1, the column in characters.
    ///
    /// `text` is what was parsed.
    pub fn locate(&self, path: &Path, text: &str) -> String {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        format!("{}:{line}:{column}: {}", path.display(), self.text)
    }
}

/// The problems found so far.
///
/// Behind a `RefCell` because the sections of a file are read side by side and each reports.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(crate) fn add(&self, span: Range<usize>, text: String) {
        self.0.borrow_mut().push(Problem::at(span, text));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// The value if nothing is wrong, else every problem from the top of the file down.
    pub(crate) fn check<T>(self, value: T) -> Result<T, Vec<Problem>> {
        let mut problems = self.0.into_inner();
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by_key(|problem| problem.span.start);
        if let Some(first_left_out) = problems.get(PROBLEMS_MAX) {
            let sentence = format!("{} more problems from here on", problems.len() - PROBLEMS_MAX);
            let rest = Problem::at(first_left_out.span.clone(), sentence);
            problems.truncate(PROBLEMS_MAX);
            problems.push(rest);
        }
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a = 1\n# äöü\nb = 2\n";
        let cases = [(0, "1:1"), (4, "1:5"), (6, "2:1"), (14, "2:6"), (15, "3:1"), (99, "4:1")];
        for (start, place) in cases {
            let problem = Problem::at(start..start, "no".to_owned());
            let expected = format!("x.toml:{place}: no");
            assert_eq!(problem.locate(Path::new("x.toml"), text), expected, "at byte {start}");
        }
    }

    #[test]
    fn problems_are_sorted_by_place() {
        let problems = Problems::default();
        problems.add(9..10, "second".to_owned());
        problems.add(1..2, "first".to_owned());
        let problems = problems.check(()).unwrap_err();
        assert_eq!(problems.iter().map(Problem::text).collect::<Vec<_>>(), ["first", "second"]);
    }
}
