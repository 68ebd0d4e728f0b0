//! Who may call: on a Unix socket whom the kernel names, on TCP who knows the token.
//!
//! The token is made at the first start and kept in the state directory, where only its owner
//! reads it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mainstay_os::random_u64;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

/// Random words of a token: 256 bits.
const TOKEN_WORDS: usize = 4;

/// Where the token is kept.
pub(crate) fn token_path(state: &Path) -> PathBuf {
    state.join("broadcast.token")
}

/// Reads the token, or makes it.
pub(crate) fn token(state: &Path) -> anyhow::Result<String> {
    let path = token_path(state);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim_ascii().is_empty() => return Ok(text.trim_ascii().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    }
    let words: Vec<u64> = (0..TOKEN_WORDS)
        .map(|_| random_u64())
        .collect::<io::Result<_>>()
        .context("cannot get random numbers")?;
    let token: String = words.iter().map(|word| format!("{word:016x}")).collect();
    let write = || -> io::Result<()> {
        let making = path.with_extension("token.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&making)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        fs::rename(&making, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(token)
}

/// Whether two tokens are the same. How long that takes says nothing about where they differ.
pub(crate) fn is_same(one: &str, two: &str) -> bool {
    one.len() == two.len()
        && one.bytes().zip(two.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// The user that we run as, and root.
pub(crate) fn is_permitted(socket: impl AsFd) -> bool {
    socket_peercred(socket)
        .is_ok_and(|credentials| credentials.uid.is_root() || credentials.uid == geteuid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_its_owners() {
        let state = tempfile::tempdir().unwrap();
        let made = token(state.path()).unwrap();
        assert_eq!(made.len(), TOKEN_WORDS * 16);
        assert!(is_same(&token(state.path()).unwrap(), &made));
        let mode = fs::metadata(token_path(state.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn only_the_same_is_the_same() {
        for (one, two, same) in
            [("ab", "ab", true), ("ab", "ac", false), ("ab", "abc", false), ("", "a", false)]
        {
            assert_eq!(is_same(one, two), same, "{one} {two}");
        }
    }
}
