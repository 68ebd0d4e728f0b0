//! A host and a port, as `Host` and absolute targets name them (RFC 9110, 4.2 and 7.2).
//!
//! Narrower than the grammar, which allows percent-encoding and `!$&'()*+,;=` in names: no name
//! that resolves has them, and what reads the forwarded fields may take them for syntax.

use std::net::Ipv6Addr;

use crate::refusal::HostDefect;

/// Longest host: that of a name in DNS.
pub(crate) const HOST_BYTES_MAX: usize = 255;

/// A host with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'b> {
    /// As it came.
    pub(crate) text: &'b str,
    /// Without the port; an IPv6 address keeps its brackets.
    pub(crate) host: &'b str,
    /// `example.com:` has none.
    pub(crate) port: Option<u16>,
}

impl<'b> Authority<'b> {
    pub(crate) const EMPTY: Self = Self { text: "", host: "", port: None };

    #[inline]
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, HostDefect> {
        let Ok(text) = str::from_utf8(bytes) else { return Err(HostDefect::Invalid) };
        let (host, port) = if text.starts_with('[') {
            let Some((address, port)) = text.rsplit_once(']') else {
                return Err(HostDefect::Invalid);
            };
            let inner = address.get(1..).unwrap_or_default();
            if inner.parse::<Ipv6Addr>().is_err() {
                return Err(HostDefect::Invalid);
            }
            (text.split_at(address.len() + 1).0, port)
        } else {
            let name_end = bytes.iter().position(|&byte| !is_name_byte(byte));
            text.split_at(name_end.unwrap_or(text.len()))
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => read_port(digits)?,
            None if port.is_empty() => None,
            None => return Err(HostDefect::Invalid),
        };
        match host.len() {
            0 => Err(HostDefect::Empty),
            1..=HOST_BYTES_MAX => Ok(Self { text, host, port }),
            _ => Err(HostDefect::Invalid),
        }
    }

    /// Whether both name the same place, given the port that is meant when none is said.
    pub(crate) fn agrees(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn read_port(digits: &str) -> Result<Option<u16>, HostDefect> {
    if digits.is_empty() {
        return Ok(None);
    }
    // `parse` would take a sign.
    if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostDefect::Invalid);
    }
    match digits.parse() {
        Ok(port) => Ok(Some(port)),
        Err(_) => Err(HostDefect::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_strictly() {
        let long = format!("{} | Invalid", "a".repeat(256));
        let table = "
            example.com          | example.com -
            EXAMPLE.com:8080     | EXAMPLE.com 8080
            example.com:         | example.com -
            my_host-1.~x         | my_host-1.~x -
            127.0.0.1:1          | 127.0.0.1 1
            [::1]                | [::1] -
            [2001:db8::7]:65535  | [2001:db8::7] 65535
            [::ffff:1.2.3.4]:80  | [::ffff:1.2.3.4] 80
                                 | Empty
            :80                  | Empty
            [::1                 | Invalid
            [::1]80              | Invalid
            [::1]:80]            | Invalid
            []                   | Invalid
            [1.2.3.4]            | Invalid
            [fe80::1%25eth0]     | Invalid
            [v1.x]               | Invalid
            ::1                  | Invalid
            a:b                  | Invalid
            a:80:80              | Invalid
            a:65536              | Invalid
            a:+80                | Invalid
            a:000080             | Invalid
            a b                  | Invalid
            a,b                  | Invalid
            user@example.com     | Invalid
            example.com/path     | Invalid
            a%41                 | Invalid
            a\\b                 | Invalid
            é                    | Invalid
            aé                   | Invalid
        ";
        for row in table.lines().chain([long.as_str()]).filter(|row| !row.trim().is_empty()) {
            let (text, expected) = row.split_once('|').unwrap();
            let read = match Authority::read(text.trim().as_bytes()) {
                Ok(Authority { host, port: Some(port), .. }) => format!("{host} {port}"),
                Ok(Authority { host, port: None, .. }) => format!("{host} -"),
                Err(defect) => format!("{defect:?}"),
            };
            assert_eq!(read, expected.trim(), "in row: {row}");
        }
    }

    #[test]
    fn a_default_port_may_be_left_out() {
        let read = |text: &'static str| Authority::read(text.as_bytes()).unwrap();
        assert!(read("a.b:80").agrees(&read("A.B"), 80));
        assert!(read("a.b:").agrees(&read("a.b:443"), 443));
        assert!(!read("a.b:80").agrees(&read("a.b"), 443));
        assert!(!read("a.b").agrees(&read("a.c"), 80));
    }
}
