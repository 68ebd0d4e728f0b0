//! `crates/core/clippy.toml` replaces the root's instead of adding to it, so what they share
//! must be said twice, and the same.

use std::path::Path;

use super::{Finding, Rule, Tree};

const ROOT: &str = "clippy.toml";
const CORE: &str = "crates/core/clippy.toml";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let core_path = Path::new(CORE);
    let finding = |text: String| Finding::new(core_path, 0, Rule::Clippy, text);
    let Some(root) = tree.clippy.get(Path::new(ROOT)) else {
        return vec![Finding::new(Path::new(ROOT), 0, Rule::Clippy, "is not there")];
    };
    let Some(core) = tree.clippy.get(core_path) else {
        return vec![finding("is not there".to_owned())];
    };
    let mut findings = Vec::new();
    for (key, value) in root {
        let is_kept = match (value, core.get(key)) {
            // Core may ban more, never less.
            (toml::Value::Array(bans), Some(toml::Value::Array(more))) => {
                bans.iter().all(|ban| more.contains(ban))
            }
            (value, other) => Some(value) == other,
        };
        if !is_kept {
            findings.push(finding(format!("`{key}` is not what {ROOT} says")));
        }
    }
    for key in core.keys().filter(|key| !key.starts_with("disallowed-")) {
        if !root.contains_key(key) {
            findings.push(finding(format!("`{key}` is not in {ROOT}")));
        }
    }
    findings
}
