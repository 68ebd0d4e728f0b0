//! The three files that a further manager needs, and nothing else.
//!
//! | file | content | who may read it |
//! | --- | --- | --- |
//! | `agent-cert.pem` | the certificates that agents hold: current, and next if there is one | anybody |
//! | `server-settings.toml` | how a manager reaches the database and what it listens on | its owner |
//! | `server-cert.pem` | the certificate of the managers, and its key | its owner |
//!
//! # Not here
//!
//! What the settings mean: `mainstay-config`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::{self, CertificateError, Identity, PEM_BYTES_MAX, RsaKeys};
use crate::file::{self, FileError};

/// The certificates that agents hold.
pub const AGENT_CERTIFICATE: &str = "agent-cert.pem";

/// How a manager reaches the database and what it listens on.
pub const SETTINGS: &str = "server-settings.toml";

/// The certificate of the managers, and its key.
pub const SERVER_CERTIFICATE: &str = "server-cert.pem";

/// The most bytes of the settings.
pub const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The directory is not there and cannot be made.
    #[error("cannot make the directory {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot use a file of the bundle")]
    File {
        /// Which, and why.
        source: FileError,
    },
    /// What agents are given has a key in it.
    #[error(
        "{AGENT_CERTIFICATE} has a private key in it: it is given to agents, and must have certificates only"
    )]
    KeyForAgents,
    /// The certificates in a file cannot be used.
    #[error("cannot use {file}")]
    Certificate {
        /// Which.
        file: &'static str,
        /// Why.
        source: CertificateError,
    },
    /// Agents would refuse the manager.
    #[error(
        "the certificate in {SERVER_CERTIFICATE} is not in {AGENT_CERTIFICATE}: agents would refuse this manager"
    )]
    NotForAgents,
    /// Not a text, or an empty or too long one.
    #[error("{SETTINGS} is not a text of at most {SETTINGS_BYTES_MAX} bytes")]
    Settings,
}

/// What the three files say.
#[derive(Clone)]
pub struct Bundle {
    /// The certificates that agents hold; that of the managers is among them.
    pub agent_certificates: Vec<CertificateDer<'static>>,
    /// TOML. It may have the password of the database in it, and is not printed.
    pub settings: String,
    /// The certificate of the managers, and its key.
    pub identity: Identity,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Bundle {
    /// What the content of the three files says.
    ///
    /// # Errors
    ///
    /// If one of them is not what it should be, or they do not belong together.
    pub fn from_files(
        agent_certificates: &[u8],
        settings: &[u8],
        server_certificate: &[u8],
        rsa: RsaKeys,
    ) -> Result<Self, BundleError> {
        let agents = certificate::from_pem(agent_certificates)
            .map_err(|source| BundleError::Certificate { file: AGENT_CERTIFICATE, source })?;
        if PrivateKeyDer::from_pem_slice(agent_certificates).is_ok() {
            return Err(BundleError::KeyForAgents);
        }
        let identity = Identity::from_pem(server_certificate, rsa)
            .map_err(|source| BundleError::Certificate { file: SERVER_CERTIFICATE, source })?;
        if !agents.contains(identity.der()) {
            return Err(BundleError::NotForAgents);
        }
        let settings = match std::str::from_utf8(settings) {
            Ok(text) if !text.trim().is_empty() && text.len() <= SETTINGS_BYTES_MAX => text,
            Ok(_) | Err(_) => return Err(BundleError::Settings),
        };
        Ok(Self { agent_certificates: agents, settings: settings.to_owned(), identity })
    }

    /// Reads the three files of a directory.
    ///
    /// # Errors
    ///
    /// If one of them is not there or open to others, or they do not belong together.
    pub fn read(directory: &Path, rsa: RsaKeys) -> Result<Self, BundleError> {
        let failed = |source| BundleError::File { source };
        let agents = directory.join(AGENT_CERTIFICATE);
        let agents = file::read_public(&agents, PEM_BYTES_MAX).map_err(failed)?;
        let settings = directory.join(SETTINGS);
        let settings = file::read_secret(&settings, SETTINGS_BYTES_MAX).map_err(failed)?;
        let server = directory.join(SERVER_CERTIFICATE);
        let server = file::read_secret(&server, PEM_BYTES_MAX).map_err(failed)?;
        Self::from_files(&agents, &settings, &server, rsa)
    }

    /// Writes the three files, into a directory that only its owner may enter if it is new.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), BundleError> {
        let failed = |source| BundleError::File { source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| BundleError::Directory { path: directory.to_owned(), source })?;
        let agents: String = self
            .agent_certificates
            .iter()
            .map(|der| certificate::to_pem("CERTIFICATE", der))
            .collect();
        let server = self.identity.to_pem();
        file::write_public(&directory.join(AGENT_CERTIFICATE), agents.as_bytes())
            .map_err(failed)?;
        file::write_secret(&directory.join(SETTINGS), self.settings.as_bytes()).map_err(failed)?;
        file::write_secret(&directory.join(SERVER_CERTIFICATE), server.as_bytes()).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
