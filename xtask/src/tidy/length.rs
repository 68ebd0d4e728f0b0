//! No file is longer than [`LINES_MAX`]. Test modules in files of their own count for
//! themselves; inline ones do not count.

use super::{Finding, LINES_MAX, Rule, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .map(|(path, source)| (path, source.lines_without_tests()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| {
            let text = format!("{lines} lines, and {LINES_MAX} are the limit");
            Finding::new(path, lines, Rule::Length, text)
        })
        .collect()
}
