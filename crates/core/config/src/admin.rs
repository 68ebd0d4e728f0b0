//! `[admin]` of `host.toml`: where this gateway is administered over HTTP, and within which
//! limits. The socket in the run directory is always there; an address is one way more.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::TEXT_BYTES_MAX;
use crate::entry::Entry;
use crate::section::Section;

const CONNECTIONS: RangeInclusive<usize> = 1..=1_024;
const BODY_BYTES: RangeInclusive<u64> = 1_024..=TEXT_BYTES_MAX as u64;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);

/// What goes with an address, and only with one.
const SECURED_BY: [&str; 3] = ["certificate", "key", "tokens"];

/// How this gateway is administered over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where, beside the Unix socket in the run directory; none: nowhere.
    pub https: Option<Https>,
    /// Most connections at a time, at all of its sockets together.
    pub connections: usize,
    /// Longest body of a request.
    pub body_bytes: usize,
    /// How long a request may take to arrive.
    pub timeout: Duration,
}

/// An address, and what makes it safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    pub address: SocketAddr,
    /// A chain of certificates in PEM.
    pub certificate: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
    /// The hashes of the tokens that callers may have.
    pub tokens: PathBuf,
}

pub(crate) fn read(file: &mut Section<'_>) -> Admin {
    let mut section = file.table("admin", "[admin]");
    let https = read_https(&mut section);
    let body_bytes = section.size("body_bytes", *BODY_BYTES.end(), &BODY_BYTES);
    let admin = Admin {
        https,
        connections: section.integer("connections", 32, &CONNECTIONS),
        body_bytes: usize::try_from(body_bytes).unwrap_or(TEXT_BYTES_MAX),
        timeout: section.duration("timeout", Duration::from_secs(10), &TIMEOUTS),
    };
    section.finish();
    admin
}

fn read_https(section: &mut Section<'_>) -> Option<Https> {
    let address = section.optional("address").and_then(Entry::text);
    let Some(address) = address.filter(|address| address.get_ref() != "unix") else {
        for key in SECURED_BY {
            if let Some(text) = section.optional(key).and_then(Entry::text) {
                let sentence = format!("{key:?} needs an \"address\" that is not \"unix\"");
                section.problems().add(text.span(), sentence);
            }
        }
        return None;
    };
    let parsed = address.get_ref().parse::<SocketAddr>().ok();
    if parsed.is_none() {
        let sentence = format!(
            "address {:?} must be \"unix\", \"IP:PORT\" or \"[IPv6]:PORT\"",
            address.get_ref()
        );
        section.problems().add(address.span(), sentence);
    }
    let [certificate, key, tokens] = SECURED_BY.map(|key| read_path(section, key));
    Some(Https { address: parsed?, certificate, key, tokens })
}

fn read_path(section: &mut Section<'_>, key: &'static str) -> PathBuf {
    let Some(text) = section.text(key) else { return PathBuf::new() };
    let path = text.get_ref().as_ref();
    if !Path::new(path).is_absolute() || path.contains('\0') {
        let sentence = format!("{key:?} must be an absolute path, not {path:?}");
        section.problems().add(text.span(), sentence);
    }
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;

    const BASE: &str = "state = \"/s\"\nrun = \"/r\"\ngateway = \"/g\"\n[admin]\n";

    fn parse(admin: &str) -> Result<Admin, String> {
        let text = format!("{BASE}{admin}");
        host::parse(&text).map(|host| host.admin).map_err(|problems| {
            let lines: Vec<String> =
                problems.iter().map(|problem| problem.locate("f".as_ref(), &text)).collect();
            lines.join("\n")
        })
    }

    #[test]
    fn the_socket_is_enough_unless_an_address_is_said() {
        let defaults = Admin {
            https: None,
            connections: 32,
            body_bytes: 8 << 20,
            timeout: Duration::from_secs(10),
        };
        assert_eq!(parse(""), Ok(defaults.clone()));
        assert_eq!(parse("address = \"unix\"\n"), Ok(defaults));
        let said = parse(
            "address = \"127.0.0.1:8443\"\ncertificate = \"/c\"\nkey = \"/k\"\ntokens = \"/t\"\n\
             connections = 2\nbody_bytes = \"1MiB\"\ntimeout = \"1s\"\n",
        );
        let https = Https {
            address: ([127, 0, 0, 1], 8443).into(),
            certificate: "/c".into(),
            key: "/k".into(),
            tokens: "/t".into(),
        };
        let expected = Admin {
            https: Some(https),
            connections: 2,
            body_bytes: 1 << 20,
            timeout: Duration::from_secs(1),
        };
        assert_eq!(said, Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        for (admin, said) in [
            (
                "address = \"127.0.0.1\"\ncertificate = \"/c\"\nkey = \"/k\"\ntokens = \"/t\"\n",
                "f:5:11: address \"127.0.0.1\" must be \"unix\", \"IP:PORT\" or \"[IPv6]:PORT\"",
            ),
            (
                "address = \"127.0.0.1:1\"\nkey = \"k\"\ntokens = \"/t\"\n",
                "f:4:1: [admin] needs the key \"certificate\"\nf:6:7: \"key\" must be an absolute path, not \"k\"",
            ),
            ("tokens = \"/t\"\n", "f:5:10: \"tokens\" needs an \"address\" that is not \"unix\""),
            (
                "body_bytes = \"9MiB\"\n",
                "f:5:14: \"body_bytes\" must be from 1KiB to 8MiB, not \"9MiB\"",
            ),
            (
                "token = \"/t\"\n",
                "f:5:1: \"token\" is not a key of [admin]; did you mean \"tokens\"?",
            ),
        ] {
            assert_eq!(parse(admin), Err(said.to_owned()), "{admin}");
        }
    }
}
