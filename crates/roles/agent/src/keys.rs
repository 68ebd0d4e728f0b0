//! The keys of an agent: the one that it signs with, and the one that is to replace it.
//!
//! ```text
//!   current ──(a next one is on the disk)──▶ current and next ──(registered with it)──▶ next
//! ```
//!
//! # Invariants
//!
//! 1. A next key is on the disk before a manager hears of it, and the former is there until a
//!    manager has said that it knows the next: at every instant one of the two is the one that the
//!    managers' database has.
//! 2. With a next key on the disk, no exchange is asked for until it is registered, for it is not
//!    known with which of the two it would have to be signed.

use std::sync::Arc;

use mainstay_trust::key::AgentKey;

use crate::directory::Directory;

/// What an agent signs with.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) current: Arc<AgentKey>,
    pub(crate) next: Option<Arc<AgentKey>>,
}

impl Keys {
    /// Those of the agent of this name.
    pub(crate) fn read(directory: &Directory, uid: &str) -> anyhow::Result<Self> {
        let next = directory.next_key(uid)?.map(Arc::new);
        Ok(Self { current: Arc::new(directory.key(uid)?), next })
    }

    /// One that was made just now.
    pub(crate) fn new(key: AgentKey) -> Self {
        Self { current: Arc::new(key), next: None }
    }

    /// The one that a registration brings.
    pub(crate) fn brought(&self) -> &AgentKey {
        self.next.as_ref().unwrap_or(&self.current)
    }

    /// Makes a next one, unless there is one.
    pub(crate) fn make_next(&mut self, directory: &Directory, uid: &str) -> anyhow::Result<()> {
        if self.next.is_none() {
            let next = AgentKey::generate()?;
            directory.write_next_key(uid, &next)?;
            self.next = Some(Arc::new(next));
        }
        Ok(())
    }

    /// The next one, if there is one, is registered. Whether there was.
    pub(crate) fn registered(&mut self, directory: &Directory, uid: &str) -> anyhow::Result<bool> {
        let Some(next) = self.next.take() else { return Ok(false) };
        directory.replace_key(uid, &next)?;
        self.current = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_every_instant_the_disk_has_the_key_that_managers_know() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path());
        let read = || Keys::read(&directory, "a").unwrap();
        directory.write_key("a", &AgentKey::generate().unwrap()).unwrap();
        let mut keys = read();
        let first = keys.current.public();
        assert_eq!(keys.brought().public(), first);
        assert!(!keys.registered(&directory, "a").unwrap());

        keys.make_next(&directory, "a").unwrap();
        let second = keys.brought().public();
        assert_ne!(second, first);
        keys.make_next(&directory, "a").unwrap();
        // Ended here, it begins with both.
        let mut keys = read();
        assert_eq!((keys.current.public(), keys.brought().public()), (first, second));

        // Ended between the two steps of the replacement, it registers the same one again.
        directory.write_key("a", keys.next.as_ref().unwrap()).unwrap();
        let halfway = read();
        assert_eq!((halfway.current.public(), halfway.brought().public()), (second, second));

        assert!(keys.registered(&directory, "a").unwrap());
        let keys = read();
        assert_eq!(keys.current.public(), second);
        assert!(keys.next.is_none());
    }
}
