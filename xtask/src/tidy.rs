//! The rules of this repository that neither rustc nor clippy can check.
//!
//! It reads manifests, sources and documents as text; it compiles nothing, so it is quick
//! enough to be a test. Every rule is a function from the [`Tree`] to its [`Finding`]s, in a
//! file named after it.
//!
//! # Invariants
//!
//! 1. Every rule can fail: `tests/tidy.rs` breaks each one on a made-up tree.
//! 2. An exception is a line of `xtask/tidy-allow.txt` with its reason and its exact size. It
//!    may only shrink: one that no longer fits is a finding too.
//!
//! Source: docs/decisions/0001-record-decisions.md for why such rules are tests.

mod allow;
mod attributes;
mod clippy_toml;
mod header;
mod layers;
mod length;
mod links;
mod lints;
mod owner;
mod source;
mod tree;
mod unsafety;
mod waits;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use self::tree::Tree;

/// What a finding is about; also the first word of a line in `tidy-allow.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A dependency that points up or sideways.
    Direction,
    /// A third-party crate that core may not use.
    ThirdParty,
    /// A crate whose folder and package names disagree, or that no layer is known for.
    Place,
    /// A crate without the workspace's lints.
    Lints,
    /// A crate root without `#![forbid(unsafe_code)]`.
    Forbid,
    /// The keyword `unsafe` outside `crates/engine/os`.
    Unsafe,
    /// A source file that does not open with why it exists.
    Header,
    /// A file over [`LINES_MAX`].
    Length,
    /// A note to do something later without who and when.
    Owner,
    /// A test that is switched off.
    Ignore,
    /// A wait for time instead of for an event.
    Sleep,
    /// The two `clippy.toml` files disagree.
    Clippy,
    /// A link or a path in a document that points to nothing.
    Links,
    /// A line of the allow list that is wrong or too generous.
    Allow,
}

/// Most lines of a source file, its inline test module not counted.
pub const LINES_MAX: usize = 800;

/// One broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the root of the tree.
    pub path: PathBuf,
    /// From 1; 0 speaks of the whole file.
    pub line: usize,
    pub rule: Rule,
    pub text: String,
}

/// Every broken rule of the tree at `root` that the allow list does not excuse.
pub fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root).context("cannot read the tree")?;
    let mut findings = Vec::new();
    for rule in [
        layers::check,
        lints::check,
        unsafety::check,
        header::check,
        length::check,
        owner::check,
        attributes::check,
        waits::check,
        clippy_toml::check,
        links::check,
    ] {
        findings.extend(rule(&tree));
    }
    let mut left = allow::apply(&tree, findings);
    left.sort();
    Ok(left)
}

/// `cargo xtask tidy`: prints what is wrong, and fails if anything is.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let findings = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    anyhow::ensure!(findings.is_empty(), "{} findings", findings.len());
    println!("tidy: nothing to say");
    Ok(())
}

impl Finding {
    fn new(path: &Path, line: usize, rule: Rule, text: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), line, rule, text: text.into() }
    }
}

impl Rule {
    const ALL: [Self; 14] = [
        Self::Direction,
        Self::ThirdParty,
        Self::Place,
        Self::Lints,
        Self::Forbid,
        Self::Unsafe,
        Self::Header,
        Self::Length,
        Self::Owner,
        Self::Ignore,
        Self::Sleep,
        Self::Clippy,
        Self::Links,
        Self::Allow,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Direction => "direction",
            Self::ThirdParty => "third-party",
            Self::Place => "place",
            Self::Lints => "lints",
            Self::Forbid => "forbid",
            Self::Unsafe => "unsafe",
            Self::Header => "header",
            Self::Length => "length",
            Self::Owner => "owner",
            Self::Ignore => "ignore",
            Self::Sleep => "sleep",
            Self::Clippy => "clippy",
            Self::Links => "links",
            Self::Allow => "allow",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path.display(), self.line, self.rule.name(), self.text)
    }
}
