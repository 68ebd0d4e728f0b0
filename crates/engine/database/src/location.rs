//! Where the database is, and how connections to it are protected.
//!
//! The address of a PostgreSQL database is what the client library reads, and the two
//! parameters of libpq by which a server's certificate is verified, which it does not know.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};

/// A file, or a PostgreSQL database on one of several hosts.
#[derive(Clone, PartialEq)]
pub enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// `postgres://user@one,two/name?target_session_attrs=read-write`.
    Postgres(Box<PostgresLocation>),
}

/// The hosts of a database, and what they must prove.
#[derive(Clone, PartialEq)]
pub struct PostgresLocation {
    /// With whether connections over a network are encrypted.
    pub(crate) config: tokio_postgres::Config,
    /// If they are: whose certificate is accepted.
    pub(crate) verify: Verify,
}

/// Whose certificate is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Anybody's: who listens learns nothing, who sits between is not noticed.
    Nothing,
    /// One that these have signed, for whatever name.
    Authority(Roots),
    /// One that these have signed, for the name that was asked for.
    Name(Roots),
}

/// The certificates that vouch for a server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    File(PathBuf),
    Pem(String),
}

/// A text that says no place.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    #[error("the database is a path, sqlite:PATH or postgres://…, not {text:?}")]
    Unknown { text: String },

    #[error("the address of the PostgreSQL database cannot be read")]
    Postgres(#[source] tokio_postgres::Error),

    #[error("sslmode is disable, prefer, require, verify-ca or verify-full, not {mode:?}")]
    Mode { mode: String },

    #[error("sslmode={mode} needs sslrootcert=FILE: the certificates that vouch for the server's")]
    NoRoots { mode: &'static str },

    #[error("sslrootcert says nothing without sslmode=verify-ca or sslmode=verify-full")]
    RootsUnused,

    #[error("sslrootcert is the name of a file")]
    RootsName,
}

impl Location {
    /// A relative name of a file of certificates is one in `directory`.
    #[must_use]
    pub fn beside(mut self, directory: &Path) -> Self {
        if let Some(Roots::File(path)) = self.roots_mut() {
            *path = directory.join(&path);
        }
        self
    }

    /// These certificates (PEM) vouch for the server's, instead of those of the file.
    #[must_use]
    pub fn with_roots(mut self, pem: &str) -> Self {
        if let Some(roots) = self.roots_mut() {
            *roots = Roots::Pem(pem.to_owned());
        }
        self
    }

    /// The file with the certificates that vouch for the server's, if there must be one.
    #[must_use]
    pub fn root_file(&self) -> Option<&Path> {
        match self {
            Self::File(_) => None,
            Self::Postgres(postgres) => match &postgres.verify {
                Verify::Authority(Roots::File(path)) | Verify::Name(Roots::File(path)) => {
                    Some(path)
                }
                Verify::Nothing | Verify::Authority(_) | Verify::Name(_) => None,
            },
        }
    }

    fn roots_mut(&mut self) -> Option<&mut Roots> {
        match self {
            Self::File(_) => None,
            Self::Postgres(postgres) => match &mut postgres.verify {
                Verify::Nothing => None,
                Verify::Authority(roots) | Verify::Name(roots) => Some(roots),
            },
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return Ok(Self::Postgres(Box::new(text.parse()?)));
        }
        let path = match text.strip_prefix("sqlite:") {
            Some(path) => path.strip_prefix("//").unwrap_or(path),
            None => text,
        };
        // Another scheme is not the name of a file.
        if path.is_empty() || path.contains("://") {
            return Err(LocationError::Unknown { text: text.into() });
        }
        Ok(Self::File(path.into()))
    }
}

impl FromStr for PostgresLocation {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (mode, roots, rest) = take_ours(text)?;
        let mut config: tokio_postgres::Config = rest.parse().map_err(LocationError::Postgres)?;
        let needed = |mode| roots.clone().ok_or(LocationError::NoRoots { mode });
        let (encrypt, verify) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            Some("prefer") | None => (SslMode::Prefer, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Authority(needed("verify-ca")?)),
            Some("verify-full") => (SslMode::Require, Verify::Name(needed("verify-full")?)),
            Some(other) => return Err(LocationError::Mode { mode: other.to_owned() }),
        };
        if verify == Verify::Nothing && roots.is_some() {
            return Err(LocationError::RootsUnused);
        }
        config.ssl_mode(encrypt);
        Ok(Self { config, verify })
    }
}

/// `sslmode` and `sslrootcert`, and the address without them.
fn take_ours(text: &str) -> Result<(Option<String>, Option<Roots>, String), LocationError> {
    // As the library reads it: before the first @ may be anything.
    let hosts = text.find('@').unwrap_or(0);
    let Some(start) = text.get(hosts..).and_then(|rest| rest.find('?')) else {
        return Ok((None, None, text.to_owned()));
    };
    let (address, parameters) = text.split_at(hosts + start);
    let (mut mode, mut roots, mut others) = (None, None, Vec::new());
    let parameters = parameters.strip_prefix('?').unwrap_or(parameters);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => {
                mode = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
            }
            Some(("sslrootcert", value)) => {
                let path = percent_decode_str(value).decode_utf8();
                let path = path.ok().filter(|path| !path.is_empty());
                let path = path.ok_or(LocationError::RootsName)?;
                roots = Some(Roots::File(PathBuf::from(&*path)));
            }
            Some(_) | None => others.push(parameter),
        }
    }
    let rest = match others.as_slice() {
        [] => address.to_owned(),
        others => format!("{address}?{}", others.join("&")),
    };
    Ok((mode, roots, rest))
}

impl fmt::Display for Location {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(postgres) => {
                let config = &postgres.config;
                f.write_str("postgres://")?;
                for (place, host) in config.get_hosts().iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    match host {
                        Host::Tcp(host) => write!(f, "{comma}{host}")?,
                        Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
                    }
                }
                write!(f, "/{}", config.get_dbname().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl fmt::Debug for PostgresLocation {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLocation").field("verify", &self.verify).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> Result<PostgresLocation, String> {
        text.parse().map_err(|error: LocationError| error.to_string())
    }

    #[test]
    fn a_place_is_a_path_or_an_address() {
        for (text, shown) in [
            ("/var/lib/fleet.db", "/var/lib/fleet.db"),
            ("sqlite:/var/lib/fleet.db", "/var/lib/fleet.db"),
            ("sqlite:///var/lib/fleet.db", "/var/lib/fleet.db"),
            ("fleet.db", "fleet.db"),
            ("postgres://me:secret@one:5432,two/fleet", "postgres://one,two/fleet"),
            ("postgres://me:s?=&@one/fleet?sslmode=require", "postgres://one/fleet"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown, "{text}");
        }
        for wrong in ["", "sqlite:", "mysql://one/fleet", "postgres://one:x/fleet"] {
            wrong.parse::<Location>().unwrap_err();
        }
    }

    #[test]
    fn a_mode_says_what_is_encrypted_and_whom_to_believe() {
        let roots = || Roots::File("db ca.pem".into());
        for (parameters, encrypt, verify) in [
            ("", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("?sslmode=prefer", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=require&keepalives_idle=7", SslMode::Require, Verify::Nothing),
            (
                "?sslrootcert=db%20ca.pem&sslmode=verify-ca",
                SslMode::Require,
                Verify::Authority(roots()),
            ),
            (
                "?keepalives_idle=7&sslmode=verify-full&sslrootcert=db%20ca.pem",
                SslMode::Require,
                Verify::Name(roots()),
            ),
        ] {
            let read = postgres(&format!("postgres://me:a?b=c@one/fleet{parameters}")).unwrap();
            assert_eq!((read.config.get_ssl_mode(), &read.verify), (encrypt, &verify));
            assert_eq!(read.config.get_password(), Some(&b"a?b=c"[..]), "{parameters}");
            let idle = parameters.contains("idle").then_some(std::time::Duration::from_secs(7));
            let default = tokio_postgres::Config::new().get_keepalives_idle();
            assert_eq!(read.config.get_keepalives_idle(), idle.unwrap_or(default));
        }
    }

    #[test]
    fn what_would_not_be_verified_is_refused() {
        for (parameters, why) in [
            (
                "sslmode=allow",
                "sslmode is disable, prefer, require, verify-ca or verify-full, not \"allow\"",
            ),
            (
                "sslmode=verify-full",
                "sslmode=verify-full needs sslrootcert=FILE: the certificates that vouch for the \
                 server's",
            ),
            (
                "sslmode=require&sslrootcert=ca.pem",
                "sslrootcert says nothing without sslmode=verify-ca or sslmode=verify-full",
            ),
            (
                "sslrootcert=ca.pem",
                "sslrootcert says nothing without sslmode=verify-ca or sslmode=verify-full",
            ),
            ("sslmode=verify-ca&sslrootcert=", "sslrootcert is the name of a file"),
            // What libpq knows besides.
            ("sslcert=me.pem", "the address of the PostgreSQL database cannot be read"),
        ] {
            let refused = postgres(&format!("postgres://one/fleet?{parameters}")).unwrap_err();
            assert_eq!(refused, why, "{parameters}");
        }
    }

    #[test]
    fn certificates_are_beside_the_settings_or_in_them() {
        let text = "postgres://one/fleet?sslmode=verify-full&sslrootcert=ca.pem";
        let location: Location = text.parse().unwrap();
        let beside = location.clone().beside(Path::new("/etc/fleet"));
        assert_eq!(beside.root_file(), Some(Path::new("/etc/fleet/ca.pem")));
        assert_eq!(location.with_roots("PEM").root_file(), None);
        let absolute: Location = text.replace("ca.pem", "/ca.pem").parse().unwrap();
        let beside = absolute.beside(Path::new("/etc/fleet"));
        assert_eq!(beside.root_file(), Some(Path::new("/ca.pem")));
    }
}
