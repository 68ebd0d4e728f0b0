//! Which crate may depend on which.
//!
//! ```text
//!   mainstay  ─▶  roles  ─▶  engine  ─▶  core
//!                            proxy ─▶ ledger ─▶ message ─▶ os
//!                                                config ─▶ machines ─▶ wire ─▶ model
//!   xtask  ─▶  sim, e2e  ─▶  core (sim: store too)
//! ```
//!
//! Every edge points down or right; nothing depends on its neighbour. That keeps `core` free
//! of processes, and every process free of the others' code.
//!
//! Source: ARCHITECTURE.md, "Architecture invariants".

use std::collections::BTreeMap;
use std::path::Path;

use super::{Finding, Rule, Tree};

/// Crates of others that core may use.
///
/// `prost` is the encoding of a message from its field numbers (OpAMP is protobuf), as `serde`
/// is from its field names: no I/O, no code from a schema file.
const CORE_ALLOWED: [&str; 10] = [
    "serde",
    "serde_json",
    "thiserror",
    "toml",
    "httparse",
    "memchr",
    "zerocopy",
    "bytes",
    "sha2",
    "prost",
];

/// Crates of others that the tests of core may use too.
const CORE_TESTS_ALLOWED: [&str; 2] = ["proptest", "insta"];

/// What holds client bytes in its hands; the processes that must not are below.
const CLIENT_BYTES: [&str; 2] = ["mainstay-http", "mainstay-proxy"];
const NO_CLIENT_BYTES: [&str; 2] = ["mainstay-master", "mainstay-supervisor"];

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Model,
    Wire,
    Machine,
    Config,
    Os,
    Message,
    Ledger,
    /// The cache store: beside the ledger, not above it.
    Store,
    Proxy,
    Role,
    Binary,
    /// Servers of others, for tests.
    Servers,
    Sim,
    EndToEnd,
    Xtask,
    Fuzz,
}

impl Place {
    fn of(manifest: &Path) -> Option<Self> {
        let folders: Vec<&str> =
            manifest.parent()?.iter().filter_map(|part| part.to_str()).collect();
        Some(match folders[..] {
            ["crates", "core", "model"] => Self::Model,
            ["crates", "core", "wire"] => Self::Wire,
            ["crates", "core", "config"] => Self::Config,
            ["crates", "core", _] => Self::Machine,
            ["crates", "engine", "os"] => Self::Os,
            // Beside each other: how a role talks to its processes, and to its commands.
            ["crates", "engine", "message" | "child"] => Self::Message,
            ["crates", "engine", "ledger"] => Self::Ledger,
            // Beside the others, too: what is on the disk or told to others, and nothing of
            // connections.
            [
                "crates",
                "engine",
                "generations" | "journal" | "store" | "events" | "trust" | "database",
            ] => Self::Store,
            ["crates", "engine", "proxy"] => Self::Proxy,
            ["crates", "roles", _] => Self::Role,
            ["crates", "mainstay"] => Self::Binary,
            ["crates", "testing", "postgres"] => Self::Servers,
            ["crates", "testing", "sim"] => Self::Sim,
            ["crates", "testing", "e2e"] => Self::EndToEnd,
            ["xtask"] => Self::Xtask,
            ["fuzz"] => Self::Fuzz,
            _ => return None,
        })
    }

    const fn is_core(self) -> bool {
        matches!(self, Self::Model | Self::Wire | Self::Machine | Self::Config)
    }

    const fn is_engine(self) -> bool {
        matches!(self, Self::Os | Self::Message | Self::Ledger | Self::Store | Self::Proxy)
    }

    /// The whole rule, in one place.
    const fn may_use(self, other: Self) -> bool {
        match self {
            Self::Model | Self::Servers => false,
            Self::Wire => matches!(other, Self::Model),
            Self::Machine => matches!(other, Self::Model | Self::Wire),
            Self::Config => matches!(other, Self::Model | Self::Wire | Self::Machine),
            Self::Os => other.is_core(),
            Self::Message | Self::Store => other.is_core() || matches!(other, Self::Os),
            Self::Ledger => other.is_core() || matches!(other, Self::Os | Self::Message),
            Self::Proxy => {
                other.is_core() || matches!(other, Self::Os | Self::Ledger | Self::Store)
            }
            Self::Role | Self::Fuzz => other.is_core() || other.is_engine(),
            Self::Binary => other.is_core() || other.is_engine() || matches!(other, Self::Role),
            Self::Sim => other.is_core() || matches!(other, Self::Store),
            // A client of managers signs and compares as an agent does.
            Self::EndToEnd => other.is_core() || matches!(other, Self::Store | Self::Servers),
            Self::Xtask => other.is_core() || matches!(other, Self::Sim | Self::EndToEnd),
        }
    }
}

/// Whether a dependency reaches the product or only its tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Product,
    Tests,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let places = places(tree, &mut findings);
    for (path, manifest) in &tree.manifests {
        let name = package(manifest);
        let Some(place) = places.get(name).copied() else { continue };
        for (dependency, reach) in dependencies(manifest) {
            let text = match places.get(dependency.as_str()) {
                Some(Place::Servers) if reach == Reach::Tests => continue,
                Some(other) if !place.may_use(*other) => {
                    format!("{name} may not depend on {dependency}: it points up or sideways")
                }
                Some(_) if is_client_bytes(name, &dependency) => {
                    format!("{name} may not depend on {dependency}: it sees no client byte")
                }
                Some(_) => continue,
                None if dependency.starts_with("mainstay") => {
                    format!("{name} depends on {dependency}, and no such crate is here")
                }
                None => {
                    if place.is_core() && !is_allowed_in_core(&dependency, reach) {
                        let text = format!("{dependency} is not on core's short list");
                        findings.push(Finding::new(path, 0, Rule::ThirdParty, text));
                    }
                    continue;
                }
            };
            findings.push(Finding::new(path, 0, Rule::Direction, text));
        }
    }
    findings
}

/// The place of every package, by name.
fn places<'a>(tree: &'a Tree, findings: &mut Vec<Finding>) -> BTreeMap<&'a str, Place> {
    let mut places = BTreeMap::new();
    for (path, manifest) in &tree.manifests {
        let name = package(manifest);
        let Some(place) = Place::of(path) else {
            findings.push(Finding::new(path, 0, Rule::Place, "no layer is known for this crate"));
            continue;
        };
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let short = name.strip_prefix("mainstay-").unwrap_or(name);
        if folder != Some(short) {
            let text = format!("package {name} is not named after its folder");
            findings.push(Finding::new(path, 0, Rule::Place, text));
        }
        places.insert(name, place);
    }
    places
}

fn package(manifest: &toml::Table) -> &str {
    manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .unwrap_or_default()
}

/// Every dependency by its real name, those of one platform included.
fn dependencies(manifest: &toml::Table) -> Vec<(String, Reach)> {
    let mut found = Vec::new();
    collect(manifest, &mut found);
    for target in manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten() {
        if let Some(table) = target.1.as_table() {
            collect(table, &mut found);
        }
    }
    found
}

fn collect(table: &toml::Table, found: &mut Vec<(String, Reach)>) {
    for (key, reach) in [
        ("dependencies", Reach::Product),
        ("build-dependencies", Reach::Product),
        ("dev-dependencies", Reach::Tests),
    ] {
        for (name, value) in table.get(key).and_then(toml::Value::as_table).into_iter().flatten() {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            found.push((renamed.unwrap_or(name).to_owned(), reach));
        }
    }
}

fn is_client_bytes(name: &str, dependency: &str) -> bool {
    NO_CLIENT_BYTES.contains(&name) && CLIENT_BYTES.contains(&dependency)
}

fn is_allowed_in_core(dependency: &str, reach: Reach) -> bool {
    CORE_ALLOWED.contains(&dependency)
        || (reach == Reach::Tests && CORE_TESTS_ALLOWED.contains(&dependency))
}
