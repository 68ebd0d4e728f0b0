//! Every source file opens with `//!`: what it is and why it exists.

use super::{Finding, Rule, Tree};

/// A header says something; this many characters is less than any sentence.
const CHARACTERS_MIN: usize = 12;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .filter(|(_, source)| {
            let first = source.text.lines().find(|line| !line.trim().is_empty());
            let header = first.and_then(|line| line.strip_prefix("//!")).unwrap_or_default();
            header.trim().chars().count() < CHARACTERS_MIN
        })
        .map(|(path, _)| Finding::new(path, 1, Rule::Header, "opens without saying what it is"))
        .collect()
}
