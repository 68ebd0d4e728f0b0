//! No test is switched off: a known wrong behaviour is asserted as it is.

use super::{Finding, Rule, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in &tree.sources {
        for (index, line) in source.code.lines().enumerate() {
            let attribute = line.trim_start().strip_prefix("#[").unwrap_or_default();
            let mut words = attribute.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| word == "ignore") {
                let text = "a test that is switched off proves nothing";
                findings.push(Finding::new(path, index + 1, Rule::Ignore, text));
            }
        }
    }
    findings
}
