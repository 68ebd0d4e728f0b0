//! `agent.toml`: where an agent's managers are, how patient it is with them, and which gateway
//! it looks after.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::address::ServerAddress;
use crate::address::read_server;
use crate::entry::{Entry, Text};
use crate::manager::{MANAGERS_MAX, Tls};
use crate::problem::{Problem, Problems};
use crate::section::Section;

const POLLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const ATTEMPTS: RangeInclusive<u32> = 1..=100;
const PATIENCES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);
const FAILBACKS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);
const BACKOFFS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const SAMPLES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const QUEUE_BYTES: RangeInclusive<u64> = 1024 * 1024..=1024 * 1024 * 1024;

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agent {
    /// In order: the first is the primary. Never empty.
    pub managers: Vec<ManagerAddress>,
    /// How often to ask, where a manager does not say it.
    pub poll: Duration,
    /// So many failures in a row, and it is the next one's turn.
    pub attempts_before_failover: u32,
    /// And so after this long.
    pub failover_after: Duration,
    /// How long it stays elsewhere before it tests the first.
    pub failback_interval: Duration,
    /// The longest wait while nobody answers.
    pub retry_max: Duration,
    /// How often the gateway's figures are told; zero: never.
    pub metrics_interval: Duration,
    /// Most bytes of events that wait for a manager.
    pub queue_bytes: u64,
    /// The `host.toml` of the gateway; none: there is no gateway here.
    pub host: Option<PathBuf>,
}

/// Where a manager is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerAddress {
    pub tls: Tls,
    /// Never a Unix socket.
    pub server: ServerAddress,
}

impl fmt::Display for ManagerAddress {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tls {
            Tls::On => "https://",
            Tls::Off => "http://",
        })?;
        match &self.server {
            ServerAddress::Ip(address) => address.fmt(f),
            ServerAddress::Name { host, port } => write!(f, "{host}:{port}"),
            ServerAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads the address of a manager; nothing if it is none.
#[must_use]
pub fn read_manager(text: &str) -> Option<ManagerAddress> {
    let (tls, place) = match text.strip_prefix("https://") {
        Some(place) => (Tls::On, place),
        None => (Tls::Off, text.strip_prefix("http://")?),
    };
    match read_server(place).ok()? {
        server @ (ServerAddress::Ip(_) | ServerAddress::Name { .. }) => {
            Some(ManagerAddress { tls, server })
        }
        ServerAddress::Unix(_) => None,
    }
}

/// Reads the whole file and reports every problem in it, not just the first.
pub fn parse(text: &str) -> Result<Agent, Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "agent.toml", &problems)?;
    let agent = Agent {
        managers: read_managers(&mut file),
        poll: file.duration("poll", Duration::from_secs(30), &POLLS),
        attempts_before_failover: file.integer("attempts_before_failover", 2, &ATTEMPTS),
        failover_after: file.duration("failover_after", Duration::from_secs(5), &PATIENCES),
        failback_interval: file.duration("failback_interval", Duration::from_mins(60), &FAILBACKS),
        retry_max: file.duration("retry_max", Duration::from_mins(5), &BACKOFFS),
        metrics_interval: file.duration("metrics_interval", Duration::from_mins(5), &SAMPLES),
        queue_bytes: file.size("queue_bytes", 16 * 1024 * 1024, &QUEUE_BYTES),
        host: read_host(&mut file),
    };
    file.finish();
    problems.check(agent)
}

fn read_managers(file: &mut Section<'_>) -> Vec<ManagerAddress> {
    let Some(entry) = file.required("managers") else { return Vec::new() };
    let span = entry.span();
    let texts = entry.array().unwrap_or_default();
    if texts.len() > MANAGERS_MAX {
        let sentence = format!("\"managers\" has at most {MANAGERS_MAX} addresses");
        file.problems().add(span, sentence);
        return Vec::new();
    }
    let mut managers: Vec<ManagerAddress> = Vec::new();
    for text in texts.into_iter().filter_map(Entry::text) {
        match read_manager(text.get_ref()) {
            Some(manager) if managers.contains(&manager) => {
                let sentence = format!("\"managers\" has {:?} twice", text.get_ref());
                file.problems().add(text.span(), sentence);
            }
            Some(manager) => managers.push(manager),
            None => file.problems().add(text.span(), not_a_manager(&text)),
        }
    }
    managers
}

fn not_a_manager(text: &Text<'_>) -> String {
    format!("\"managers\" has addresses such as \"https://HOST:PORT\", not {:?}", text.get_ref())
}

fn read_host(file: &mut Section<'_>) -> Option<PathBuf> {
    let text = file.optional("host").and_then(Entry::text)?;
    let path = Path::new(text.get_ref().as_ref());
    if !path.is_absolute() {
        file.problems().add(text.span(), "\"host\" must be an absolute path".to_owned());
    }
    Some(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let found = parse(text).unwrap_err();
        let lines: Vec<String> =
            found.iter().map(|problem| problem.locate("f".as_ref(), text)).collect();
        lines.join("\n")
    }

    #[test]
    fn a_list_of_managers_is_enough() {
        let agent = parse("managers = [\"https://m1.example.com:4320\"]\n").unwrap();
        assert_eq!(agent.managers[0].to_string(), "https://m1.example.com:4320");
        assert_eq!(agent.attempts_before_failover, 2);
        assert_eq!(agent.failover_after, Duration::from_secs(5));
        assert_eq!(agent.failback_interval, Duration::from_hours(1));
        assert_eq!(agent.metrics_interval, Duration::from_mins(5));
        assert_eq!(agent.host, None);
    }

    #[test]
    fn everything_can_be_said() {
        let agent = parse(
            "managers = [\"https://m1:4320\", \"http://[::1]:4320\"]\npoll = \"5s\"\n\
             attempts_before_failover = 8\nfailover_after = \"1s\"\nfailback_interval = \"2s\"\n\
             retry_max = \"3s\"\nmetrics_interval = \"0s\"\nqueue_bytes = \"1MiB\"\nhost = \"/etc/mainstay/host.toml\"\n",
        )
        .unwrap();
        assert_eq!(agent.managers[1].to_string(), "http://[::1]:4320");
        assert_eq!(agent.attempts_before_failover, 8);
        assert_eq!(agent.metrics_interval, Duration::ZERO);
        assert_eq!(agent.queue_bytes, 1024 * 1024);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        for (text, said) in [
            ("", "f:1:1: agent.toml needs the key \"managers\""),
            ("managers = []\n", "f:1:12: \"managers\" must have at least one element"),
            (
                "managers = [\"m1:4320\"]\n",
                "f:1:13: \"managers\" has addresses such as \"https://HOST:PORT\", not \"m1:4320\"",
            ),
            (
                "managers = [\"http://a:1\", \"http://a:1\"]\n",
                "f:1:27: \"managers\" has \"http://a:1\" twice",
            ),
            (
                "managers = [\"http://a:1\"]\nhots = \"/x\"\n",
                "f:2:1: \"hots\" is not a key of agent.toml; did you mean \"host\"?",
            ),
            (
                "managers = [\"http://a:1\"]\nhost = \"x\"\n",
                "f:2:8: \"host\" must be an absolute path",
            ),
        ] {
            assert_eq!(problems(text), said, "{text}");
        }
    }
}
