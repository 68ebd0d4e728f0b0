//! Who may call: at the socket whom the kernel names, at the address who has a token.
//!
//! The file of tokens has their hashes, so reading it opens nothing:
//!
//! ```text
//! # name  SHA-256 of the token, in hexadecimal
//! agent   9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! A token is random and long, so a hash without salt and without delay is enough.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use mainstay_model::Chain;
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use tokio::net::UnixStream;
use tracing::warn;

use super::problem::Problem;

/// Most of a file of tokens that is read: hundreds of them.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// The kernel says that it may.
    Local,
    /// It may if it has one of these.
    Remote { tokens: PathBuf },
}

impl Caller {
    /// Lets in who may call; the name of a token, if one is needed.
    pub(super) fn check(&self, fields: &HeaderMap) -> Result<Option<String>, Problem> {
        let Self::Remote { tokens } = self else { return Ok(None) };
        let token = fields
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .ok_or_else(Problem::unauthorized)?;
        let names = read(tokens).map_err(|error| {
            warn!(error = %Chain(error.as_ref()), "nobody can be let in");
            Problem::unavailable("the tokens cannot be read".to_owned())
        })?;
        find(&names, token).map(Some).ok_or_else(Problem::unauthorized)
    }
}

/// The user that we run as, and root.
pub(super) fn is_permitted(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == geteuid().as_raw())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let opened = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    opened
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// Whose token this is. Every line is compared, whole, so that the time tells nothing.
fn find(text: &str, token: &str) -> Option<String> {
    let presented: [u8; HASH_BYTES] = Sha256::digest(token.as_bytes()).into();
    let mut found = None;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if is_same(&presented, hash) {
            found = Some(name.to_owned());
        }
    }
    found
}

fn is_same(presented: &[u8; HASH_BYTES], hash: &str) -> bool {
    let digits = hash.as_bytes().as_chunks::<2>().0;
    if hash.len() != 2 * HASH_BYTES {
        return false;
    }
    let mut difference = 0;
    for (byte, digits) in presented.iter().zip(digits) {
        let text = str::from_utf8(digits).unwrap_or_default();
        // No byte is like what is no number.
        let known = u8::from_str_radix(text, 16).map_or(0x100, u16::from);
        difference |= u16::from(*byte) ^ known;
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// `printf test | sha256sum`
    const TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_token_is_known_by_its_hash() {
        let text = format!(
            "# who\n\nagent {TEST}\nother {}\nshort 9f86 \nthree {TEST} x\n",
            "0".repeat(64)
        );
        assert_eq!(find(&text, "test").as_deref(), Some("agent"));
        for wrong in ["", "tesT", "test ", TEST] {
            assert_eq!(find(&text, wrong), None, "{wrong}");
        }
        assert_eq!(find(&format!("agent {}", TEST.replace('9', "g")), "test"), None);
    }

    #[test]
    fn who_has_no_token_is_not_let_in_and_who_is_local_needs_none() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = directory.path().join("tokens");
        std::fs::write(&tokens, format!("agent {TEST}\n")).unwrap();
        let remote = Caller::Remote { tokens };
        let check = |caller: &Caller, value: Option<&str>| {
            let mut fields = HeaderMap::new();
            if let Some(value) = value {
                fields.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            caller.check(&fields).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(check(&remote, Some("Bearer test")), Ok(Some("agent".to_owned())));
        for wrong in [None, Some("Bearer no"), Some("Basic test"), Some("test")] {
            assert_eq!(check(&remote, wrong), Err(401), "{wrong:?}");
        }
        assert_eq!(check(&Caller::Local, None), Ok(None));
        let missing = Caller::Remote { tokens: directory.path().join("missing") };
        assert_eq!(check(&missing, Some("Bearer test")), Err(503));
    }
}
