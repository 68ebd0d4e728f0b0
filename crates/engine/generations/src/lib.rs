//! The configurations of a gateway on disk: numbered, whole, and never changed.
//!
//! ```text
//!  generations/
//!    7/gateway.toml     a generation: what the gateway serves
//!    8/gateway.toml
//!    8/former   ─▶ 7    what was served when this one was put into service
//!    current ─▶ 7       what every process loads when it starts
//!    staged  ─▶ 8       an apply is under way, or was when something died
//!    connected ─▶ 8     the machine's network was made ready for it, which may have to be undone
//!    last    ─▶ 8       the highest number that was ever given
//! ```
//!
//! # Invariants
//!
//! 1. What a link points to is whole and on the disk before the link is.
//! 2. A link is replaced in one step: a death at any instant leaves the old one or the new one.
//! 3. A number is given once, even to a generation that came to nothing.
//!
//! # Not here
//!
//! What a configuration says: `mainstay-config`. Which processes serve which generation, and
//! when a link moves: the master.
//!
//! Source: DESIGN 7.

#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use mainstay_model::Generation;
use mainstay_os::remove_if_there;

/// A configuration in its directory.
const FILE: &str = "gateway.toml";

/// Generations that are kept, the current one included.
const KEPT: usize = 16;

const CURRENT: &str = "current";
const STAGED: &str = "staged";
const LAST: &str = "last";
const FORMER: &str = "former";
const CONNECTED: &str = "connected";

/// The generations of one gateway.
#[derive(Clone, Debug)]
pub struct Generations {
    directory: PathBuf,
}

/// Why generations could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum GenerationsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },

    #[error("{} does not lead to a generation", path.display())]
    NotAGeneration { path: PathBuf },

    #[error("there is no generation {generation}")]
    Missing { generation: Generation },
}

impl Generations {
    /// Those in the state directory of a gateway, which need not be there yet.
    pub fn of(state: &Path) -> Self {
        Self { directory: state.join("generations") }
    }

    /// The configuration of a generation.
    pub fn file(&self, generation: Generation) -> PathBuf {
        self.directory.join(generation.to_string()).join(FILE)
    }

    /// What every process loads; none before the first.
    pub fn current(&self) -> Result<Option<Generation>, GenerationsError> {
        self.link(CURRENT)
    }

    /// What an apply has begun to put into service.
    pub fn staged(&self) -> Result<Option<Generation>, GenerationsError> {
        self.link(STAGED)
    }

    /// What was served when `generation` was put into service; none for the first, or if it is
    /// not kept any more. Never another while `generation` is current.
    pub fn former(&self, generation: Generation) -> Result<Option<Generation>, GenerationsError> {
        let former = self.link(&format!("{generation}/{FORMER}"))?;
        Ok(former.filter(|&former| self.file(former).exists()))
    }

    /// Notes what was served before `generation`, which must not be current.
    pub fn set_former(
        &self,
        generation: Generation,
        former: Generation,
    ) -> Result<(), GenerationsError> {
        let directory = self.directory.join(generation.to_string());
        point(&directory, FORMER, former)
    }

    /// All that are kept, oldest first.
    pub fn kept(&self) -> Result<Vec<Generation>, GenerationsError> {
        let read = |source| GenerationsError::Read { path: self.directory.clone(), source };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(read(error)),
        };
        let mut kept = Vec::new();
        for entry in entries {
            let name = entry.map_err(read)?.file_name();
            kept.extend(name.to_str().and_then(|name| name.parse::<Generation>().ok()));
        }
        kept.sort_unstable();
        Ok(kept)
    }

    /// Writes a new generation and stages it.
    pub fn stage(&self, text: &str) -> Result<Generation, GenerationsError> {
        let generation = match self.link(LAST)? {
            Some(last) => last.next(),
            None => Generation::FIRST,
        };
        let directory = self.directory.join(generation.to_string());
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source| GenerationsError::Write { path, source }
        };
        make_directory(&self.directory).map_err(write(&self.directory))?;
        self.point(LAST, generation)?;
        make_directory(&directory).map_err(write(&directory))?;
        let path = directory.join(FILE);
        write_whole(&path, text).map_err(write(&path))?;
        sync_directory(&directory).map_err(write(&directory))?;
        self.point(STAGED, generation)?;
        Ok(generation)
    }

    /// Has every process that starts from now on load `generation`. If it was staged, it no
    /// longer is; of those that came before, the oldest go.
    pub fn make_current(&self, generation: Generation) -> Result<(), GenerationsError> {
        if !self.file(generation).exists() {
            return Err(GenerationsError::Missing { generation });
        }
        self.point(CURRENT, generation)?;
        if self.staged()? == Some(generation) {
            self.unlink(STAGED)?;
        }
        self.prune(KEPT)
    }

    /// For what the machine's network is being made ready, or was when something died.
    pub fn connected(&self) -> Result<Option<Generation>, GenerationsError> {
        self.link(CONNECTED)
    }

    /// Notes that the machine's network is made ready for `generation`.
    pub fn connect(&self, generation: Generation) -> Result<(), GenerationsError> {
        self.point(CONNECTED, generation)
    }

    /// Forgets that: it was undone, or is in service.
    pub fn forget_connected(&self) -> Result<(), GenerationsError> {
        match self.connected()? {
            Some(_) => self.unlink(CONNECTED),
            None => Ok(()),
        }
    }

    /// Throws away what was staged, unless it is current.
    pub fn discard_staged(&self) -> Result<(), GenerationsError> {
        let Some(staged) = self.staged()? else { return Ok(()) };
        self.unlink(STAGED)?;
        if self.current()? == Some(staged) {
            return Ok(());
        }
        self.remove(staged)
    }

    /// Removes the oldest until `keep` are left; never the current one, the one before it, nor a
    /// staged one.
    fn prune(&self, keep: usize) -> Result<(), GenerationsError> {
        let kept = self.kept()?;
        let (current, staged) = (self.current()?, self.staged()?);
        let connected = self.connected()?;
        let former = match current {
            Some(current) => self.former(current)?,
            None => None,
        };
        let surplus = kept.len().saturating_sub(keep);
        for generation in kept.into_iter().take(surplus) {
            if ![current, staged, former, connected].contains(&Some(generation)) {
                self.remove(generation)?;
            }
        }
        Ok(())
    }

    fn remove(&self, generation: Generation) -> Result<(), GenerationsError> {
        let path = self.directory.join(generation.to_string());
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(GenerationsError::Write { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn link(&self, name: &str) -> Result<Option<Generation>, GenerationsError> {
        let path = self.directory.join(name);
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(GenerationsError::Read { path, source }),
        };
        match target.to_str().and_then(|target| target.parse().ok()) {
            Some(generation) => Ok(Some(generation)),
            None => Err(GenerationsError::NotAGeneration { path }),
        }
    }

    /// Replaces a link in one step.
    fn point(&self, name: &str, to: Generation) -> Result<(), GenerationsError> {
        point(&self.directory, name, to)
    }

    fn unlink(&self, name: &str) -> Result<(), GenerationsError> {
        let path = self.directory.join(name);
        remove_if_there(&path)
            .and_then(|()| sync_directory(&self.directory))
            .map_err(|source| GenerationsError::Write { path, source })
    }
}

/// Replaces a link in `directory` in one step.
fn point(directory: &Path, name: &str, to: Generation) -> Result<(), GenerationsError> {
    let path = directory.join(name);
    let making = directory.join(format!(".{name}"));
    let replace = || {
        remove_if_there(&making)?;
        symlink(to.to_string(), &making)?;
        fs::rename(&making, &path)?;
        sync_directory(directory)
    };
    replace().map_err(|source| GenerationsError::Write { path: path.clone(), source })
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes what was done to the entries of a directory last (fsync(2)).
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: u64) -> Generation {
        number.to_string().parse().unwrap()
    }

    fn generations() -> (tempfile::TempDir, Generations) {
        let state = tempfile::tempdir().unwrap();
        let generations = Generations::of(state.path());
        (state, generations)
    }

    #[test]
    fn a_generation_is_staged_and_then_current() {
        let (_state, generations) = generations();
        assert_eq!(generations.current().unwrap(), None);
        assert_eq!(generations.kept().unwrap(), []);
        let first = generations.stage("one").unwrap();
        assert_eq!((first, generations.staged().unwrap()), (Generation::FIRST, Some(first)));
        assert_eq!(generations.current().unwrap(), None);
        generations.make_current(first).unwrap();
        assert_eq!(generations.current().unwrap(), Some(first));
        assert_eq!(generations.staged().unwrap(), None);
        assert_eq!(fs::read_to_string(generations.file(first)).unwrap(), "one");
    }

    #[test]
    fn what_came_to_nothing_leaves_nothing_but_its_number() {
        let (_state, generations) = generations();
        let first = generations.stage("one").unwrap();
        generations.make_current(first).unwrap();
        let second = generations.stage("two").unwrap();
        generations.discard_staged().unwrap();
        assert_eq!(generations.kept().unwrap(), [first]);
        assert_eq!(generations.stage("three").unwrap(), second.next());
        // Twice is as good as once.
        generations.discard_staged().unwrap();
        generations.discard_staged().unwrap();
        assert_eq!(generations.current().unwrap(), Some(first));
    }

    #[test]
    fn an_older_generation_can_be_current_again() {
        let (_state, generations) = generations();
        for text in ["one", "two"] {
            let generation = generations.stage(text).unwrap();
            generations.make_current(generation).unwrap();
        }
        generations.make_current(generation(1)).unwrap();
        assert_eq!(generations.current().unwrap(), Some(generation(1)));
        let missing = generations.make_current(generation(7)).unwrap_err();
        assert_eq!(missing.to_string(), "there is no generation 7");
        assert_eq!(generations.current().unwrap(), Some(generation(1)));
    }

    #[test]
    fn the_oldest_go_and_the_current_one_stays() {
        let (_state, generations) = generations();
        for text in ["one", "two", "three", "four", "five"] {
            let generation = generations.stage(text).unwrap();
            generations.make_current(generation).unwrap();
        }
        generations.make_current(generation(1)).unwrap();
        let staged = generations.stage("six").unwrap();
        generations.prune(3).unwrap();
        assert_eq!(generations.kept().unwrap(), [1, 4, 5, 6].map(generation));
        assert_eq!(generations.staged().unwrap(), Some(staged));
    }

    #[test]
    fn what_was_connected_is_known_until_it_is_forgotten() {
        let (_state, generations) = generations();
        generations.forget_connected().unwrap();
        let first = generations.stage("one").unwrap();
        generations.connect(first).unwrap();
        generations.make_current(first).unwrap();
        assert_eq!(generations.connected().unwrap(), Some(first));
        generations.forget_connected().unwrap();
        assert_eq!(generations.connected().unwrap(), None);
    }

    #[test]
    fn what_was_served_before_is_kept_with_what_followed_it() {
        let (_state, generations) = generations();
        for text in ["one", "two", "three"] {
            let generation = generations.stage(text).unwrap();
            if let Some(current) = generations.current().unwrap() {
                generations.set_former(generation, current).unwrap();
            }
            generations.make_current(generation).unwrap();
        }
        assert_eq!(generations.former(generation(1)).unwrap(), None);
        assert_eq!(generations.former(generation(3)).unwrap(), Some(generation(2)));
        generations.set_former(generation(1), generation(3)).unwrap();
        generations.make_current(generation(1)).unwrap();
        generations.prune(1).unwrap();
        assert_eq!(generations.kept().unwrap(), [1, 3].map(generation));
        assert_eq!(generations.former(generation(1)).unwrap(), Some(generation(3)));
        assert_eq!(generations.former(generation(3)).unwrap(), None, "it is gone");
    }

    #[test]
    fn a_link_to_something_else_is_an_error_that_names_it() {
        let (state, generations) = generations();
        generations.stage("one").unwrap();
        let link = state.path().join("generations/current");
        symlink("elsewhere", &link).unwrap();
        let error = generations.current().unwrap_err().to_string();
        assert_eq!(error, format!("{} does not lead to a generation", link.display()));
    }
}
