//! `unsafe` lives in `crates/engine/os`, and every other crate root forbids it.

use std::path::Path;

use super::{Finding, Rule, Tree};

/// The one crate that may ask the kernel for what no safe interface offers.
const OS: &str = "crates/engine/os";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in tree.sources.iter().filter(|(path, _)| !path.starts_with(OS)) {
        if is_root(path) && !is_forbidding(&source.code) {
            let text = "says not `#![forbid(unsafe_code)]`";
            findings.push(Finding::new(path, 0, Rule::Forbid, text));
        }
        for word in source.words().filter(|word| word.text == "unsafe") {
            let text = format!("`unsafe` belongs into {OS}");
            findings.push(Finding::new(path, word.line, Rule::Unsafe, text));
        }
    }
    findings
}

/// The root of a library or a program. Tests and fuzz targets have none of their own.
fn is_root(path: &Path) -> bool {
    let is_named = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    is_named || path.parent().is_some_and(|folder| folder.ends_with("src/bin"))
}

fn is_forbidding(code: &str) -> bool {
    let packed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    packed.contains("#![forbid(unsafe_code)]")
}
