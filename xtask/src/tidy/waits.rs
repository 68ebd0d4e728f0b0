//! Nothing waits for time to pass; it waits for an event, with a deadline.

use super::{Finding, Rule, Tree};

const SLEEPS: [&str; 4] = ["sleep", "sleep_until", "nanosleep", "clock_nanosleep"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in &tree.sources {
        for word in source.words().filter(|word| SLEEPS.contains(&word.text)) {
            let text = format!("`{}` waits for time instead of for an event", word.text);
            findings.push(Finding::new(path, word.line, Rule::Sleep, text));
        }
    }
    findings
}
