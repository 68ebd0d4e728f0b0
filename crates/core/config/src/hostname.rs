//! Host names: of services, which may hold a wildcard, and of servers, which may not.
//!
//! Source: RFC 1123, 2.1 (letters, digits, hyphens; lengths), with the underscore that is
//! found in practice; RFC 3986, 3.2.2 (numbers in place of a name).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest name that DNS can carry.
const NAME_BYTES_MAX: usize = 253;

/// Longest part between two dots.
const LABEL_BYTES_MAX: usize = 63;

/// What is wrong with a host name; the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostnameError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {NAME_BYTES_MAX} characters")]
    TooLong,
    #[error("has a label that is empty")]
    EmptyLabel,
    #[error("has a label longer than {LABEL_BYTES_MAX} characters")]
    LongLabel,
    #[error("has a label that begins or ends with \"-\"")]
    Hyphen,
    #[error("must be in its ASCII form (\"xn--…\")")]
    NotAscii,
    #[error("must not have a port: a service answers on every port of its listeners")]
    Port,
    #[error("may have \"*\" only alone or as its first label, as in \"*.example.com\"")]
    Wildcard,
    #[error("must be a name, without a wildcard")]
    NotAName,
    #[error("ends in a number but is not an IP address")]
    NotAnAddress,
    #[error("has a character that no host name has")]
    Character,
}

/// The host of a service in the form in which hosts are compared: `*`, `*.example.com`,
/// `shop.example.com`, `192.0.2.1` or `[2001:db8::1]`, in lower case.
pub(crate) fn read_pattern(text: &str) -> Result<String, HostnameError> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    if let Some(inner) = text.strip_prefix('[') {
        return match inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok()) {
            Some(address) => Ok(format!("[{address}]")),
            None if inner.contains("]:") => Err(HostnameError::Port),
            None => Err(HostnameError::NotAnAddress),
        };
    }
    if has_port(text) {
        return Err(HostnameError::Port);
    }
    match text.strip_prefix("*.") {
        Some(rest) if rest.contains('*') => Err(HostnameError::Wildcard),
        Some(rest) => Ok(format!("*.{}", read_name(rest)?)),
        None if text.contains('*') => Err(HostnameError::Wildcard),
        None => read_name(text),
    }
}

/// The host that a client asks for, as [`read_pattern`] writes it; the port, if there is one,
/// says nothing.
pub(crate) fn read_host(text: &str) -> Result<String, HostnameError> {
    if text.contains('*') {
        return Err(HostnameError::NotAName);
    }
    let name = match text.rsplit_once(':') {
        Some((name, _)) if has_port(text) && !text.ends_with(']') => name,
        _ => text,
    };
    read_pattern(name)
}

/// A host name or an IPv4 address, in lower case.
pub(crate) fn read_name(text: &str) -> Result<String, HostnameError> {
    if text.is_empty() {
        return Err(HostnameError::Empty);
    }
    if !text.is_ascii() {
        return Err(HostnameError::NotAscii);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(HostnameError::TooLong);
    }
    for label in text.split('.') {
        check_label(label)?;
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    // What ends in a number is an address to every client (WHATWG URL, host parsing).
    if last.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<Ipv4Addr>().is_err() {
        return Err(HostnameError::NotAnAddress);
    }
    Ok(text.to_ascii_lowercase())
}

fn check_label(label: &str) -> Result<(), HostnameError> {
    if label.is_empty() {
        return Err(HostnameError::EmptyLabel);
    }
    if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Err(HostnameError::Character);
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(HostnameError::LongLabel);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(HostnameError::Hyphen);
    }
    Ok(())
}

fn has_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        use HostnameError as E;
        let long = format!("{}.com", "a".repeat(64));
        let longer = format!("{}com", "abcdefgh.".repeat(30));
        let cases: &[(&str, Result<&str, E>)] = &[
            ("*", Ok("*")),
            ("shop.example.com", Ok("shop.example.com")),
            ("Shop.Example.COM", Ok("shop.example.com")),
            ("*.Example.com", Ok("*.example.com")),
            ("localhost", Ok("localhost")),
            ("_dmarc.example.com", Ok("_dmarc.example.com")),
            ("xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
            ("192.0.2.1", Ok("192.0.2.1")),
            ("[2001:DB8::0:1]", Ok("[2001:db8::1]")),
            ("3com", Ok("3com")),
            ("", Err(E::Empty)),
            (".", Err(E::EmptyLabel)),
            ("a..b", Err(E::EmptyLabel)),
            ("example.com.", Err(E::EmptyLabel)),
            ("*.", Err(E::Empty)),
            (&long, Err(E::LongLabel)),
            (&longer, Err(E::TooLong)),
            ("-a.com", Err(E::Hyphen)),
            ("a-.com", Err(E::Hyphen)),
            ("bücher.example", Err(E::NotAscii)),
            ("shop.example.com:8080", Err(E::Port)),
            ("[::1]:80", Err(E::Port)),
            ("[::1", Err(E::NotAnAddress)),
            ("[shop]", Err(E::NotAnAddress)),
            ("10.0.0.300", Err(E::NotAnAddress)),
            ("shop.*", Err(E::Wildcard)),
            ("*.*.com", Err(E::Wildcard)),
            ("a*.com", Err(E::Wildcard)),
            ("http://shop", Err(E::Character)),
            ("shop example", Err(E::Character)),
            ("a/b", Err(E::Character)),
        ];
        for (text, expected) in cases {
            assert_eq!(read_pattern(text).as_deref(), expected.as_ref().copied(), "{text:?}");
        }
    }
}
