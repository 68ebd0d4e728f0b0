//! The certificate of the managers, as this one shows it: looked for in its directory, so that
//! whoever replaces it there need not start the manager again.
//!
//! What cannot be used is not shown: the former one is, and the log says why.

use std::sync::Arc;
use std::time::Duration;

use mainstay_model::Chain;
use mainstay_trust::certificate::fingerprint;
use mainstay_trust::digest::sha256;
use mainstay_trust::shown::Shown;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::directory::Directory;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Shows whatever certificate is in the directory, until this manager ends.
pub(crate) async fn follow(directory: Directory, shown: Arc<Shown>, stop: watch::Receiver<bool>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first look is at the file itself: it may be another one since it was read.
    let mut before = None;
    while !*stop.borrow() {
        ticks.tick().await;
        let mark = directory.certificate_mark();
        if mark == before {
            continue;
        }
        before = mark;
        if let Err(error) = look(&directory, &shown) {
            error!(error = %Chain(error.as_ref()), "the former certificate is shown");
        }
    }
}

fn look(directory: &Directory, shown: &Shown) -> anyhow::Result<()> {
    let identity = directory.identity()?;
    let found = sha256(identity.der());
    if found == shown.sha256() {
        return Ok(());
    }
    shown.show(&identity)?;
    info!(sha256 = fingerprint(&found), "another certificate is shown from now on");
    Ok(())
}

#[cfg(test)]
mod tests {
    use mainstay_trust::bundle::SERVER_CERTIFICATE;
    use mainstay_trust::certificate::Identity;
    use mainstay_trust::file::write_secret;

    use super::*;

    #[test]
    fn what_is_in_the_directory_is_shown_unless_it_cannot_be_used() {
        let place = tempfile::tempdir().unwrap();
        let (directory, path) =
            (Directory::new(place.path()), place.path().join(SERVER_CERTIFICATE));
        let [one, two] = [1, 2].map(|now| Identity::generate("managers", &[], now).unwrap());
        let shown = Shown::new(&one).unwrap();
        write_secret(&path, two.to_pem().as_bytes()).unwrap();
        let before = directory.certificate_mark();
        look(&directory, &shown).unwrap();
        assert_eq!(shown.sha256(), sha256(two.der()));

        // The certificate of one and the key of the other.
        let mixed =
            one.certificate_pem() + two.to_pem().strip_prefix(&two.certificate_pem()).unwrap();
        write_secret(&path, mixed.as_bytes()).unwrap();
        assert_ne!(directory.certificate_mark(), before);
        look(&directory, &shown).unwrap_err();
        assert_eq!(shown.sha256(), sha256(two.der()));
    }
}
