//! A note to do something later names who does it and when: `TODO(ada, when the kernel has
//! it): …`. Anything less is a wish.

use super::{Finding, Rule, Tree};

const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in &tree.sources {
        // What is quoted in a comment is spoken about, not meant.
        for (index, line) in source.comments.lines().enumerate() {
            let plain: String = line.split('`').step_by(2).collect();
            if MARKS.iter().any(|mark| is_bare(&plain, mark)) {
                let text = "a note to do something later needs `TODO(who, when …): what`";
                findings.push(Finding::new(path, index + 1, Rule::Owner, text));
            }
        }
        for word in source.words().filter(|word| matches!(word.text, "todo" | "unimplemented")) {
            let text = format!("`{}!` is not an answer", word.text);
            findings.push(Finding::new(path, word.line, Rule::Owner, text));
        }
    }
    findings
}

fn is_bare(comment: &str, mark: &str) -> bool {
    let mut words = comment.split_inclusive(|c: char| !c.is_alphanumeric());
    let mut rest = comment;
    words.any(|word| {
        rest = rest.get(word.len()..).unwrap_or_default();
        let is_mark = word.trim_end_matches(|c: char| !c.is_alphanumeric()) == mark;
        is_mark && !(word.ends_with('(') && is_owned(rest))
    })
}

/// `ada, when the kernel has it): …`
fn is_owned(rest: &str) -> bool {
    rest.split_once(')')
        .and_then(|(inside, _)| inside.split_once(", "))
        .is_some_and(|(owner, condition)| !owner.trim().is_empty() && !condition.trim().is_empty())
}
