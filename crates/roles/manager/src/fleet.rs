//! What everything in this process works with: the database, the settings, and secrets that all
//! managers share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_config::manager::{Database, Manager};
use mainstay_database::{
    Audit, Drain, GroupId, Limits, Location, ManagerId, Store, StoreError, open,
};
use mainstay_trust::token;

use crate::crowd::Crowd;
use crate::figures::Figures;
use crate::offers::Offers;

/// The setting with which managers make the tokens of exchanges.
const CHAIN_KEY: &str = "chain-key";

/// The setting with the certificates that agents are to hold, as PEM: current before next.
pub(crate) const PINS: &str = "pins";

/// The group that every fleet has.
pub(crate) const FIRST_GROUP: &str = "default";

/// The bytes of the key of the chain.
const KEY_BYTES: usize = 32;

/// A manager at work.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settings: Manager,
    pub(crate) id: ManagerId,
    /// What people call it.
    pub(crate) name: String,
    /// Which database agents are registered with.
    pub(crate) database: String,
    pub(crate) chain_key: ChainKey,
    pub(crate) offers: Offers,
    pub(crate) figures: Figures,
    pub(crate) duty: Duty,
    pub(crate) crowd: Crowd,
}

/// With it managers make tokens that they know again. It is not printed.
#[derive(Clone, Copy)]
pub(crate) struct ChainKey(pub(crate) [u8; KEY_BYTES]);

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey(…)")
    }
}

/// Whether this manager takes exchanges. It does unless somebody asked it not to.
#[derive(Debug, Default)]
pub(crate) struct Duty(AtomicU8);

const DRAINED: u8 = 1;
const STOPPING: u8 = 2;

impl Duty {
    pub(crate) fn is_serving(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// What the database says. True if that is something new.
    pub(crate) fn set_drain(&self, drain: Drain) -> bool {
        let before = match drain {
            Drain::Drain => self.0.fetch_or(DRAINED, Ordering::Relaxed) & DRAINED,
            Drain::Serve => DRAINED ^ (self.0.fetch_and(!DRAINED, Ordering::Relaxed) & DRAINED),
        };
        before == 0
    }

    /// The process ends.
    pub(crate) fn stop(&self) {
        self.0.fetch_or(STOPPING, Ordering::Relaxed);
    }
}

/// Where the database is that the settings in this directory name.
pub(crate) fn location(settings: &Database, directory: &Path) -> Result<Location, OpenError> {
    let location: Location =
        settings.location.parse().map_err(|source| OpenError::Location { source })?;
    Ok(match &settings.root_certificates {
        Some(pem) => location.with_roots(pem),
        None => location.beside(directory),
    })
}

/// Opens the database that the settings in this directory name.
pub(crate) async fn open_store(
    settings: &Database,
    directory: &Path,
) -> Result<Arc<dyn Store>, OpenError> {
    let location = location(settings, directory)?;
    let limits = Limits {
        batch_rows: settings.batch_rows,
        batch_window: settings.batch_window,
        waiting: settings.waiting,
        connections: settings.connections,
        connect_timeout: settings.connect_timeout,
        answer_timeout: settings.answer_timeout,
        transaction_timeout: settings.transaction_timeout,
    };
    open(&location, &limits)
        .await
        .map_err(|source| OpenError::Store { location: location.to_string(), source })
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the settings name no database")]
    Location { source: mainstay_database::LocationError },

    #[error("cannot open the database {location}")]
    Store { location: String, source: StoreError },
}

impl OpenError {
    /// Whether it may be there later.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Store { source: StoreError::Unavailable { .. }, .. })
    }
}

/// The key of the chain; whoever asks first draws it.
pub(crate) async fn chain_key(store: &dyn Store) -> anyhow::Result<ChainKey> {
    loop {
        if let Some(key) = store.setting(CHAIN_KEY).await? {
            let key = key.as_slice().try_into().context("the key of the chain has no 32 bytes")?;
            return Ok(ChainKey(key));
        }
        let drawn: [u8; KEY_BYTES] = token::random();
        store.set_setting(CHAIN_KEY, None, Some(&drawn), None).await?;
    }
}

/// The certificates that agents are to hold; the ones of this manager if nobody said any yet.
pub(crate) async fn pins(store: &dyn Store, own: &str) -> anyhow::Result<String> {
    loop {
        if let Some(pins) = store.setting(PINS).await? {
            return String::from_utf8(pins).context("the pins in the database are no text");
        }
        store.set_setting(PINS, None, Some(own.as_bytes()), None).await?;
    }
}

/// Whether there is a fleet in the database.
pub(crate) async fn has_fleet(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.setting(CHAIN_KEY).await?.is_some())
}

/// The group of this name.
pub(crate) async fn group(store: &dyn Store, name: &str) -> Result<Option<GroupId>, StoreError> {
    let groups = store.groups().await?;
    Ok(groups.into_iter().find(|group| group.name == name).map(|group| group.id))
}

/// The group that every fleet has; whoever asks first makes it.
pub(crate) async fn first_group(store: &dyn Store) -> Result<GroupId, StoreError> {
    if let Some(there) = group(store, FIRST_GROUP).await? {
        return Ok(there);
    }
    let asked = by_command_line("group.create", FIRST_GROUP);
    match store
        .create_group(FIRST_GROUP, "where agents are unless a token says otherwise", asked)
        .await
    {
        Err(StoreError::Exists { .. }) => {
            group(store, FIRST_GROUP).await?.ok_or(StoreError::Missing { what: "group" })
        }
        made => made,
    }
}

/// What the audit log says of a command.
pub(crate) fn by_command_line(action: &str, subject: &str) -> Audit {
    Audit {
        actor: format!("user {} at the command line", rustix::process::getuid().as_raw()),
        address: String::new(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: b"{}".to_vec(),
    }
}

/// Between `least` and `most`, so that those who are told come back one by one.
pub(crate) fn spread(least: Duration, most: Duration) -> Duration {
    let range = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
    let luck = u64::from_be_bytes(token::random());
    // The bias of a remainder is nothing to those who wait.
    least + Duration::from_millis(luck % range.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_serves_unless_somebody_asked_it_not_to() {
        let duty = Duty::default();
        assert!(!duty.set_drain(Drain::Serve), "nothing new");
        assert!(duty.is_serving());
        assert!(duty.set_drain(Drain::Drain));
        assert!(!duty.set_drain(Drain::Drain));
        assert!(!duty.is_serving());
        assert!(duty.set_drain(Drain::Serve));
        assert!(duty.is_serving());
        duty.stop();
        assert!(!duty.is_serving());
    }

    #[test]
    fn a_spread_stays_between_its_ends() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(3));
        for _ in 0..100 {
            let pause = spread(least, most);
            assert!((least..=most).contains(&pause), "{pause:?}");
        }
        assert_eq!(spread(least, least), least);
    }
}
