//! What a host is recognised by when two claim one name: a copy of a disk in another machine must
//! have another one, and the same machine must keep its own.
//!
//! Where it was taken from is kept beside it. If that cannot be read any more (another user, a
//! container), the kept one is used: a changed permission must not make an agent a stranger.

use std::fs;

use mainstay_trust::digest::sha256;
use mainstay_trust::token::random;
use serde::{Deserialize, Serialize};

use crate::state::Bytes;

/// Of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    taken_from: Source,
    kept: Bytes,
}

/// Where it was taken from, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// The machine's own number; only root may read it.
    Firmware,
    /// The installation's; whoever copies machines is told to change it.
    Installation,
    /// Drawn: copies cannot be told apart by it.
    Drawn,
}

impl Source {
    /// None: it cannot be read here.
    fn read(self) -> Option<Vec<u8>> {
        let path = match self {
            Self::Firmware => "/sys/class/dmi/id/product_uuid",
            Self::Installation => "/etc/machine-id",
            Self::Drawn => return None,
        };
        let text = fs::read_to_string(path).ok()?;
        let text = text.trim();
        // With something of ours before it, so that it says nothing to anybody else.
        let said = format!("mainstay-agent\n{text}");
        (!text.is_empty()).then(|| sha256(said.as_bytes()).to_vec())
    }
}

impl Fingerprint {
    /// This host's, from the best source there is.
    pub(crate) fn take() -> Self {
        let found = [Source::Firmware, Source::Installation]
            .into_iter()
            .find_map(|source| Some((source, source.read()?)));
        let (taken_from, kept) = found.unwrap_or_else(|| (Source::Drawn, random::<32>().to_vec()));
        Self { taken_from, kept: Bytes(kept) }
    }

    /// This host's now, from the same source.
    pub(crate) fn now(&self) -> Vec<u8> {
        self.taken_from.read().unwrap_or_else(|| self.kept.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_fingerprint_and_a_copy_has_its_own() {
        let here = Fingerprint::take();
        assert_eq!(here.now(), here.kept.0);
        let drawn = Fingerprint { taken_from: Source::Drawn, kept: Bytes(vec![7; 32]) };
        assert_eq!(drawn.now(), [7; 32]);
        if let Some(found) = Source::Installation.read() {
            // A disk that was copied from another machine.
            let copied = Fingerprint { taken_from: Source::Installation, ..drawn };
            assert_eq!(copied.now(), found);
        }
    }
}
