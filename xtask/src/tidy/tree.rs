//! The files that the rules look at, read once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::source::Source;

/// Folders that hold what was built, fetched or found, not what was written.
const SKIPPED: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];

/// The repository as text.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// `.rs` files under `crates/`, `xtask/` and `fuzz/`.
    pub(super) sources: BTreeMap<PathBuf, Source>,
    /// Every `Cargo.toml` but the root's.
    pub(super) manifests: BTreeMap<PathBuf, toml::Table>,
    /// Every `.md` file.
    pub(super) documents: BTreeMap<PathBuf, String>,
    /// `clippy.toml` at the root and in `crates/core`.
    pub(super) clippy: BTreeMap<PathBuf, toml::Table>,
    /// The text of `xtask/tidy-allow.txt`; empty if there is none.
    pub(super) allowed: String,
}

impl Tree {
    /// Reads the tree at `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self {
            root: root.to_path_buf(),
            sources: BTreeMap::new(),
            manifests: BTreeMap::new(),
            documents: BTreeMap::new(),
            clippy: BTreeMap::new(),
            allowed: String::new(),
        };
        tree.visit(Path::new(""))?;
        Ok(tree)
    }

    /// Whether something is at `path`, relative to the root.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.root.join(path).exists()
    }

    fn visit(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let name = entry.file_name();
                if !SKIPPED.iter().any(|skipped| name == *skipped) {
                    self.visit(&path)?;
                }
            } else if kind.is_file() {
                self.take(path)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, path: PathBuf) -> io::Result<()> {
        let read = || fs::read_to_string(self.root.join(&path));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours = ["crates", "xtask", "fuzz"].iter().any(|folder| path.starts_with(folder));
        if name == "Cargo.toml" && is_ours {
            let table = parse(&path, &read()?)?;
            self.manifests.insert(path, table);
        } else if name == "clippy.toml" {
            let table = parse(&path, &read()?)?;
            self.clippy.insert(path, table);
        } else if path == Path::new("xtask/tidy-allow.txt") {
            self.allowed = read()?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = read()?;
            self.documents.insert(path, text);
        } else if is_ours && path.extension().is_some_and(|extension| extension == "rs") {
            let source = Source::read(&read()?);
            self.sources.insert(path, source);
        }
        Ok(())
    }
}

fn parse(path: &Path, text: &str) -> io::Result<toml::Table> {
    text.parse().map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}
