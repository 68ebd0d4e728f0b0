//! Every crate of the workspace takes the workspace's lints.

use std::path::Path;

use super::{Finding, Rule, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.manifests
        .iter()
        // A workspace of its own: it cannot inherit.
        .filter(|(path, _)| !path.starts_with(Path::new("fuzz")))
        .filter(|(_, manifest)| {
            let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
            inherits.and_then(toml::Value::as_bool) != Some(true)
        })
        .map(|(path, _)| Finding::new(path, 0, Rule::Lints, "says not `[lints] workspace = true`"))
        .collect()
}
