//! The directory of an agent. Nobody but its owner may enter it, and one process at a time works
//! in it.
//!
//! | file | content |
//! | --- | --- |
//! | `agent.toml` | the settings; an operator may change them |
//! | `agent-UID.key` | the key of the agent of this name |
//! | `agent-UID.next.key` | the key that is to replace it, until managers know it |
//! | `agent-cert.pem` | the certificates of managers that it accepts |
//! | `state.json` | who it is, and where its exchanges stand |
//! | `queue` | events that no manager has yet |
//! | `offered.toml` | the configuration that a manager offered last |
//! | `agent.sock` | where a running agent is asked |
//! | `lock` | locked by the process that works here |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_config::agent::{self, Agent, ManagerAddress};
use mainstay_trust::certificate::{self, CertificateError, PEM_BYTES_MAX};
use mainstay_trust::file;
use mainstay_trust::key::AgentKey;
use mainstay_trust::pin::{Pin, PinKind};

use crate::state::State;

/// Where it is, if nothing else is said.
pub(crate) const DEFAULT: &str = "/var/lib/mainstay-agent";

/// Longest settings.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// Longest state.
const STATE_BYTES_MAX: usize = 256 * 1024;

/// Longest configuration that is kept.
const OFFER_BYTES_MAX: usize = mainstay_config::TEXT_BYTES_MAX;

/// The directory of an agent.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

/// The right to work in a directory, as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn settings_path(&self) -> PathBuf {
        self.0.join("agent.toml")
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.0.join("queue")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("agent.sock")
    }

    /// Makes it, for its owner alone.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.with_context(|| format!("cannot make {}", self.0.display()))
    }

    /// The right to work here.
    pub(crate) fn lock(&self) -> anyhow::Result<Lock> {
        let metadata = std::fs::metadata(&self.0).with_context(|| self.absent())?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!("{0} is open to others (mode {mode:o}): chmod 700 {0}", self.0.display());
        }
        let path = self.0.join("lock");
        let opened =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("an agent runs in {} already", self.0.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    fn absent(&self) -> String {
        format!(
            "there is no agent in {}; `mainstay agent enroll TOKEN` makes one",
            self.0.display()
        )
    }

    /// The settings; every problem with its place.
    pub(crate) fn settings(&self) -> anyhow::Result<Agent> {
        let path = self.settings_path();
        let bytes = file::read_public(&path, SETTINGS_BYTES_MAX).with_context(|| self.absent())?;
        let text = String::from_utf8(bytes)
            .ok()
            .with_context(|| format!("{} is not UTF-8", path.display()))?;
        agent::parse(&text).map_err(|problems| {
            let lines: Vec<String> =
                problems.iter().map(|problem| problem.locate(&path, &text)).collect();
            anyhow::anyhow!("{}", lines.join("\n"))
        })
    }

    pub(crate) fn has_settings(&self) -> bool {
        self.settings_path().exists()
    }

    /// Settings with this list and nothing else.
    pub(crate) fn write_settings(&self, managers: &[ManagerAddress]) -> anyhow::Result<()> {
        let list: Vec<String> = managers.iter().map(|manager| format!("\"{manager}\"")).collect();
        let text = format!(
            "# Where the managers of this agent are, the primary first. Everything that may stand\n\
             # here: docs/fleet/agent.md. A change is seen within a second.\n\
             managers = [{}]\n",
            list.join(", ")
        );
        Ok(file::write_secret(&self.settings_path(), text.as_bytes())?)
    }

    /// The state; none if there is none yet.
    pub(crate) fn state(&self) -> anyhow::Result<Option<State>> {
        let path = self.0.join("state.json");
        if !path.exists() {
            return Ok(None);
        }
        let bytes = file::read_secret(&path, STATE_BYTES_MAX)?;
        let state = serde_json::from_slice(&bytes);
        state.map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// On the disk when this returns, whole.
    pub(crate) fn write_state(&self, state: &State) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(state).context("the state cannot be written")?;
        Ok(file::write_secret(&self.0.join("state.json"), &text)?)
    }

    fn key_path(&self, uid: &str) -> PathBuf {
        self.0.join(format!("agent-{uid}.key"))
    }

    /// The key of the agent of this name.
    pub(crate) fn key(&self, uid: &str) -> anyhow::Result<AgentKey> {
        Ok(AgentKey::read(&self.key_path(uid))?)
    }

    pub(crate) fn write_key(&self, uid: &str, key: &AgentKey) -> anyhow::Result<()> {
        Ok(key.write(&self.key_path(uid))?)
    }

    fn next_key_path(&self, uid: &str) -> PathBuf {
        self.0.join(format!("agent-{uid}.next.key"))
    }

    /// The key that is to replace the key of the agent of this name.
    pub(crate) fn next_key(&self, uid: &str) -> anyhow::Result<Option<AgentKey>> {
        let path = self.next_key_path(uid);
        Ok(if path.exists() { Some(AgentKey::read(&path)?) } else { None })
    }

    pub(crate) fn write_next_key(&self, uid: &str, key: &AgentKey) -> anyhow::Result<()> {
        Ok(key.write(&self.next_key_path(uid))?)
    }

    /// The next key is the key from now on.
    pub(crate) fn replace_key(&self, uid: &str, next: &AgentKey) -> anyhow::Result<()> {
        self.write_key(uid, next)?;
        let path = self.next_key_path(uid);
        mainstay_os::remove_if_there(&path)
            .with_context(|| format!("cannot remove {}", path.display()))
    }

    fn pins_path(&self) -> PathBuf {
        self.0.join("agent-cert.pem")
    }

    /// The certificates that it accepts; none if it speaks plain HTTP only.
    pub(crate) fn pins(&self) -> anyhow::Result<Vec<Pin>> {
        let path = self.pins_path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let pem = file::read_public(&path, PEM_BYTES_MAX)?;
        read_pins(&pem).with_context(|| format!("{} has no certificates", path.display()))
    }

    pub(crate) fn write_pins(&self, pem: &str) -> anyhow::Result<()> {
        Ok(file::write_secret(&self.pins_path(), pem.as_bytes())?)
    }

    /// The configuration that was offered last.
    pub(crate) fn offered(&self) -> Option<Vec<u8>> {
        file::read_secret(&self.0.join("offered.toml"), OFFER_BYTES_MAX).ok()
    }

    pub(crate) fn write_offered(&self, text: &[u8]) -> anyhow::Result<()> {
        Ok(file::write_secret(&self.0.join("offered.toml"), text)?)
    }
}

/// Pins as they are written and offered: the current one before the next.
pub(crate) fn read_pins(pem: &[u8]) -> Result<Vec<Pin>, CertificateError> {
    let kinds = [PinKind::Current, PinKind::Next, PinKind::Recovery];
    let kinds = kinds.into_iter().chain(std::iter::repeat(PinKind::Recovery));
    let found = certificate::from_pem(pem)?;
    Ok(found.into_iter().zip(kinds).map(|(der, kind)| Pin { kind, der }).collect())
}
