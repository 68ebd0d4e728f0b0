//! The directory of a manager: its settings, its certificate, and its number.
//!
//! | file | content | who may read it |
//! | --- | --- | --- |
//! | `manager.toml` | the settings | its owner: it may have a password in it |
//! | `server-cert.pem` | the certificate of the managers, and its key | its owner |
//! | `agent-cert.pem` | the certificates that agents hold | anybody |
//! | `manager-id` | what this manager is called in the database; locked while it serves | anybody |
//!
//! The first three are the bundle. A directory with them and no number is a further manager.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_config::manager::{self, Manager};
use mainstay_database::ManagerId;
use mainstay_trust::bundle::{AGENT_CERTIFICATE, Bundle, SERVER_CERTIFICATE, SETTINGS_BYTES_MAX};
use mainstay_trust::certificate::{Identity, PEM_BYTES_MAX, RsaKeys};
use mainstay_trust::{file, token};

/// The settings.
pub(crate) const SETTINGS: &str = "manager.toml";

const ID: &str = "manager-id";

/// Longest number of a manager, with a line's end.
const ID_BYTES_MAX: usize = 64;

/// Where it is, if nothing else is said.
pub(crate) const DEFAULT: &str = "/var/lib/mainstay-manager";

/// The directory of a manager.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

/// What is in it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) settings: Manager,
    pub(crate) bundle: Bundle,
}

/// A manager's number, which no other process uses while this lives.
#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) id: ManagerId,
    /// Locked.
    _file: File,
}

/// A state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    changed: (i64, i64),
    inode: u64,
}

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn has_manager(&self) -> bool {
        self.0.join(SETTINGS).exists()
    }

    /// What is in it; every problem of the settings.
    pub(crate) fn read(&self) -> anyhow::Result<Content> {
        let path = self.0.join(SETTINGS);
        let text = file::read_secret(&path, SETTINGS_BYTES_MAX).with_context(|| {
            format!("{} has no manager; `mainstay manager init` makes one", self.0.display())
        })?;
        let agents = file::read_public(&self.0.join(AGENT_CERTIFICATE), PEM_BYTES_MAX)?;
        let server = file::read_secret(&self.0.join(SERVER_CERTIFICATE), PEM_BYTES_MAX)?;
        // Whoever put an RSA key here insisted when it was imported.
        let bundle = Bundle::from_files(&agents, &text, &server, RsaKeys::Allowed)
            .with_context(|| format!("cannot use what is in {}", self.0.display()))?;
        let settings = parse(&path, &bundle.settings)?;
        Ok(Content { settings, bundle })
    }

    /// Makes it, and writes what another manager has too.
    pub(crate) fn write(&self, bundle: &Bundle) -> anyhow::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("cannot make {}", self.0.display()))?;
        self.write_certificates(bundle)?;
        // Last: with this there is a manager.
        file::write_secret(&self.0.join(SETTINGS), bundle.settings.as_bytes())?;
        Ok(())
    }

    /// Writes what proves that it is one of the managers.
    pub(crate) fn write_certificates(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let agents: String = bundle
            .agent_certificates
            .iter()
            .map(|der| mainstay_trust::certificate::to_pem("CERTIFICATE", der))
            .collect();
        file::write_public(&self.0.join(AGENT_CERTIFICATE), agents.as_bytes())?;
        let server = bundle.identity.to_pem();
        file::write_secret(&self.0.join(SERVER_CERTIFICATE), server.as_bytes())?;
        Ok(())
    }

    /// The certificate that it should show, with its key.
    pub(crate) fn identity(&self) -> anyhow::Result<Identity> {
        let path = self.0.join(SERVER_CERTIFICATE);
        let pem = file::read_secret(&path, PEM_BYTES_MAX)?;
        // Whoever put an RSA key here insisted when it was imported.
        Identity::from_pem(&pem, RsaKeys::Allowed)
            .with_context(|| format!("cannot use {}", path.display()))
    }

    /// Another one whenever the certificate may be another one.
    pub(crate) fn certificate_mark(&self) -> Option<Mark> {
        let found = std::fs::metadata(self.0.join(SERVER_CERTIFICATE)).ok()?;
        Some(Mark { changed: (found.ctime(), found.ctime_nsec()), inode: found.ino() })
    }

    /// Its number, drawn when it is asked for the first time.
    pub(crate) fn id(&self) -> anyhow::Result<ManagerId> {
        let path = self.0.join(ID);
        if !path.exists() {
            let drawn = ManagerId(token::random());
            file::write_public(&path, format!("{drawn}\n").as_bytes())?;
            return Ok(drawn);
        }
        let text = file::read_public(&path, ID_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&text);
        text.trim().parse().with_context(|| format!("{} names no manager", path.display()))
    }

    /// Its number, for the one process that serves.
    pub(crate) fn lock(&self) -> anyhow::Result<Number> {
        let id = self.id()?;
        let path = self.0.join(ID);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Number { id, _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("another process serves from {}", self.0.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

/// The settings of a text; every problem with its place.
pub(crate) fn parse(path: &Path, text: &str) -> anyhow::Result<Manager> {
    manager::parse(text).map_err(|problems| {
        let lines: Vec<String> =
            problems.iter().map(|problem| problem.locate(path, text)).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}
