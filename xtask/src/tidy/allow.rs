//! The exceptions: `xtask/tidy-allow.txt`.
//!
//! ```text
//! sleep crates/testing/e2e/src/wait.rs 1: between two looks at a process that starts
//! ```
//!
//! A line names the rule, the file, how much is excused (findings; for `length`, lines) and
//! why. More than that fails, and so does less: then the line must be lowered or removed.

use std::path::{Path, PathBuf};

use super::{Finding, Rule, Tree};

const LIST: &str = "xtask/tidy-allow.txt";

struct Exception {
    rule: Rule,
    path: PathBuf,
    count: usize,
    line: usize,
}

/// What is left of `findings` after the exceptions, and what is wrong with those.
pub(super) fn apply(tree: &Tree, mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut wrong = Vec::new();
    for (index, text) in tree.allowed.lines().enumerate() {
        let line = index + 1;
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        match read(text, line) {
            Some(exception) => wrong.extend(excuse(&exception, &mut findings)),
            None => {
                let text = "a line is `rule path count: reason`";
                wrong.push(Finding::new(Path::new(LIST), line, Rule::Allow, text));
            }
        }
    }
    findings.extend(wrong);
    findings
}

fn read(text: &str, line: usize) -> Option<Exception> {
    let (head, reason) = text.split_once(": ")?;
    if reason.trim().is_empty() {
        return None;
    }
    let words: Vec<&str> = head.split_whitespace().collect();
    let [rule, path, count] = words[..] else { return None };
    let count = count.parse().ok()?;
    Some(Exception { rule: Rule::named(rule)?, path: PathBuf::from(path), count, line })
}

fn excuse(exception: &Exception, findings: &mut Vec<Finding>) -> Option<Finding> {
    let fits = |finding: &Finding| finding.rule == exception.rule && finding.path == exception.path;
    let found = match exception.rule {
        // Its findings carry the length of the file as their line.
        Rule::Length => findings.iter().find(|f| fits(f)).map_or(0, |finding| finding.line),
        _ => findings.iter().filter(|finding| fits(finding)).count(),
    };
    if found <= exception.count {
        findings.retain(|finding| !fits(finding));
    }
    if found >= exception.count {
        return None;
    }
    let text = format!("{} needs {found} now, not {}", exception.path.display(), exception.count);
    Some(Finding::new(Path::new(LIST), exception.line, Rule::Allow, text))
}
