//! Every crate of the workspace takes the workspace's lints, and a new state in `core` must
//! visit every match.

use std::path::Path;

use super::{Finding, Rule, Tree};

/// What a crate root of core says too.
const NO_WILDCARD: &str = "#![warn(clippy::wildcard_enum_match_arm)]";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree
        .manifests
        .iter()
        // A workspace of its own: it cannot inherit.
        .filter(|(path, _)| !path.starts_with("fuzz"))
        .filter(|(_, manifest)| {
            let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
            inherits.and_then(toml::Value::as_bool) != Some(true)
        })
        .map(|(path, _)| Finding::new(path, 0, Rule::Lints, "says not `[lints] workspace = true`"));
    let roots = tree
        .sources
        .iter()
        .filter(|(path, _)| path.starts_with(Path::new("crates/core")))
        .filter(|(path, _)| path.ends_with("src/lib.rs"))
        .filter(|(_, source)| !source.code.lines().any(|line| line.trim() == NO_WILDCARD))
        .map(|(path, _)| Finding::new(path, 0, Rule::Lints, format!("says not `{NO_WILDCARD}`")));
    manifests.chain(roots).collect()
}
