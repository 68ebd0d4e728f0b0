//! What a document points to is there: relative links with their headings, and paths of this
//! repository in backticks.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Rule, Tree};

/// A path in backticks is checked if it begins with one of these.
const FOLDERS: [&str; 6] = ["crates/", "docs/", "xtask/", "fuzz/", ".ci/", "deploy/"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.documents {
        let folder = path.parent().unwrap_or(path);
        for (line, prose) in prose(text) {
            for target in targets(prose) {
                if let Some(text) = missing(tree, path, folder, target) {
                    findings.push(Finding::new(path, line, Rule::Links, text));
                }
            }
            for code in prose.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
                if !tree.has(Path::new(code)) {
                    let text = format!("there is no {code}");
                    findings.push(Finding::new(path, line, Rule::Links, text));
                }
            }
        }
    }
    findings
}

/// The lines outside fenced blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        (!is_fenced && !is_fence).then_some((index + 1, line))
    })
}

/// What the links of one line point to: `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

fn is_path(code: &str) -> bool {
    FOLDERS.iter().any(|folder| code.starts_with(folder))
        && !code.contains([' ', '*', '<', '…', '{', '|', 'N'])
}

fn missing(tree: &Tree, path: &Path, folder: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(f, h)| (f, Some(h)));
    let place = if file.is_empty() { path.to_path_buf() } else { plain(&folder.join(file)) };
    if !tree.has(&place) {
        return Some(format!("the link to {target} points to nothing"));
    }
    let (heading, document) = (heading?, tree.documents.get(&place)?);
    let is_there = prose(document).any(|(_, line)| {
        line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == heading
    });
    (!is_there).then(|| format!("{} has no heading #{heading}", place.display()))
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The anchor that a heading gets.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
