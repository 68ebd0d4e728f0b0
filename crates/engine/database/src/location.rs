//! Where the database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::config::SslMode;

/// A file, or a PostgreSQL database on one of several hosts.
#[derive(Clone, PartialEq)]
pub enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// `postgres://user@one,two/name?target_session_attrs=read-write`, or key words and values.
    Postgres(Box<tokio_postgres::Config>),
}

/// A text that says no place.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    #[error("the database is a path, sqlite:PATH or postgres://…, not {text:?}")]
    Unknown { text: String },

    #[error("the address of the PostgreSQL database cannot be read")]
    Postgres(#[source] tokio_postgres::Error),

    #[error("connections to PostgreSQL are not encrypted, so sslmode=require cannot be met")]
    Encryption,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            let config: tokio_postgres::Config = text.parse().map_err(LocationError::Postgres)?;
            if config.get_ssl_mode() == SslMode::Require {
                return Err(LocationError::Encryption);
            }
            return Ok(Self::Postgres(Box::new(config)));
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

impl fmt::Display for Location {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Postgres(config) => {
                f.write_str("postgres://")?;
                for (place, host) in config.get_hosts().iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    match host {
                        tokio_postgres::config::Host::Tcp(host) => write!(f, "{comma}{host}")?,
                        tokio_postgres::config::Host::Unix(path) => {
                            write!(f, "{comma}{}", path.display())?;
                        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address() {
        for (text, shown) in [
            ("/var/lib/fleet.db", "/var/lib/fleet.db"),
            ("sqlite:/var/lib/fleet.db", "/var/lib/fleet.db"),
            ("sqlite:///var/lib/fleet.db", "/var/lib/fleet.db"),
            ("fleet.db", "fleet.db"),
            ("postgres://me:secret@one:5432,two/fleet", "postgres://one,two/fleet"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown, "{text}");
        }
        for wrong in ["", "sqlite:", "mysql://one/fleet", "postgres://one:x/fleet"] {
            wrong.parse::<Location>().unwrap_err();
        }
        let encrypted = "postgres://one/fleet?sslmode=require".parse::<Location>();
        assert!(matches!(encrypted, Err(LocationError::Encryption)), "{encrypted:?}");
    }
}
