//! `[alerts]`: where events are told, how often, and how long somebody is waited for.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_alert::Policy;

pub use crate::address::ServerAddress;
use crate::address::{AddressError, read_server};
use crate::entry::{Entry, Text};
use crate::section::Section;

/// What the log is called in the state directory, if nothing else is said.
const LOG: &str = "events.log";

/// Where an Alertmanager takes alerts, if the URL does not say.
const WEBHOOK_PATH: &str = "/api/v2/alerts";

/// Longest URL.
const URL_BYTES_MAX: usize = 2048;

const LOG_BYTES: RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;
const QUEUES: RangeInclusive<usize> = 1..=100_000;
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
const RETRIES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const FLUSHES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(1);

/// Where events are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// A JSON object a line; none: no file.
    pub log: Option<Log>,
    pub syslog: Option<Syslog>,
    pub webhook: Option<Webhook>,
    pub policy: Policy,
    pub delivery: Delivery,
}

/// A file that is begun anew when it is full; the one before is kept, with `.1` at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub path: PathBuf,
    pub bytes_max: u64,
}

/// Who takes messages of RFC 5424.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    pub target: SyslogTarget,
    /// The number of the facility (RFC 5424, 6.2.1).
    pub facility: u8,
}

/// How a syslog server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTarget {
    Udp(ServerAddress),
    Tcp(ServerAddress),
    /// A datagram socket, such as `/dev/log`.
    Unix(PathBuf),
}

/// Who takes alerts as an Alertmanager does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub server: ServerAddress,
    /// As the URL has it, for the field Host.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// How long what merely happened stands there.
    pub lasts: Duration,
}

/// How hard it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Records that wait for one way out; then the oldest is dropped.
    pub queue: usize,
    /// How long one attempt may take.
    pub timeout: Duration,
    pub retry_min: Duration,
    pub retry_max: Duration,
    /// How long what waits may still be delivered when the gateway ends.
    pub flush_timeout: Duration,
}

pub(crate) fn read(file: &mut Section<'_>, state: &Path) -> Alerts {
    let mut section = file.table("alerts", "[alerts]");
    let log = read_log(&mut section, state);
    let syslog = read_syslog(&mut section);
    let webhook = read_webhook(&mut section);
    let repeat = section.duration("repeat", Duration::from_mins(5), &INTERVALS);
    let retry_min = section
        .placed("retry_min", Duration::from_millis(500), |entry| entry.duration(&RETRIES))
        .map_or(*RETRIES.start(), toml::Spanned::into_inner);
    let delivery = Delivery {
        queue: section.integer("queue", 1000, &QUEUES),
        timeout: section.duration("timeout", Duration::from_secs(5), &TIMEOUTS),
        retry_min,
        retry_max: section.duration(
            "retry_max",
            Duration::from_secs(30).max(retry_min),
            &(retry_min..=*RETRIES.end()),
        ),
        flush_timeout: section.duration("flush_timeout", Duration::from_secs(1), &FLUSHES),
    };
    section.finish();
    Alerts { log, syslog, webhook, policy: Policy { repeat }, delivery }
}

fn read_log(section: &mut Section<'_>, state: &Path) -> Option<Log> {
    let entry = section.optional("log");
    let bytes_max = section.size("log_bytes", 16 * 1024 * 1024, &LOG_BYTES);
    let path = match entry {
        None => state.join(LOG),
        Some(entry) if entry.is("off") => return None,
        Some(entry) => {
            let text = entry.text()?;
            let path: &str = text.get_ref();
            if !Path::new(path).is_absolute() || path.contains('\0') {
                let sentence = format!("\"log\" must be an absolute path or \"off\", not {path:?}");
                section.problems().add(text.span(), sentence);
            }
            PathBuf::from(path)
        }
    };
    Some(Log { path, bytes_max })
}

/// The facilities that a program may use, and their numbers.
const FACILITIES: [(&str, u8); 11] = [
    ("user", 1),
    ("daemon", 3),
    ("syslog", 5),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

fn read_syslog(section: &mut Section<'_>) -> Option<Syslog> {
    let text = section.optional("syslog").and_then(Entry::text);
    let facility = section.choice("facility", 3, &FACILITIES);
    let text = text?;
    let said: &str = text.get_ref();
    let target = match said.split_once(':') {
        Some(("udp", server)) => read_server(server).map(SyslogTarget::Udp),
        Some(("tcp", server)) => read_server(server).map(SyslogTarget::Tcp),
        Some(("unix", _)) => read_server(said).map(|server| match server {
            ServerAddress::Unix(path) => SyslogTarget::Unix(path),
            server @ (ServerAddress::Ip(_) | ServerAddress::Name { .. }) => {
                SyslogTarget::Udp(server)
            }
        }),
        Some(_) | None => {
            let sentence = format!(
                "\"syslog\" must be \"udp:HOST:PORT\", \"tcp:HOST:PORT\" or \"unix:/PATH\", not {said:?}"
            );
            section.problems().add(text.span(), sentence);
            return None;
        }
    };
    match target {
        Ok(
            SyslogTarget::Udp(ServerAddress::Unix(_)) | SyslogTarget::Tcp(ServerAddress::Unix(_)),
        ) => {
            let sentence = format!("\"syslog\" has a path where a host must be: {said:?}");
            section.problems().add(text.span(), sentence);
            None
        }
        Ok(target) => Some(Syslog { target, facility }),
        Err(error) => {
            refuse(section, "syslog", &text, error);
            None
        }
    }
}

fn read_webhook(section: &mut Section<'_>) -> Option<Webhook> {
    let text = section.optional("webhook").and_then(Entry::text);
    let lasts = section.duration("event_lasts", Duration::from_mins(5), &INTERVALS);
    let text = text?;
    let said: &str = text.get_ref();
    let is_plain = said.len() <= URL_BYTES_MAX && said.bytes().all(|byte| byte.is_ascii_graphic());
    let rest = said.strip_prefix("http://").filter(|_| is_plain && !said.contains(['#', '@']));
    let Some(rest) = rest else {
        let sentence = format!(
            "\"webhook\" must be a URL such as \"http://HOST:9093{WEBHOOK_PATH}\", not {said:?}"
        );
        section.problems().add(text.span(), sentence);
        return None;
    };
    let (authority, path) = match rest.find('/').and_then(|slash| rest.split_at_checked(slash)) {
        Some((authority, "/")) => (authority, WEBHOOK_PATH),
        Some((authority, path)) => (authority, path),
        None => (rest, WEBHOOK_PATH),
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let server = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    match read_server(&server) {
        Ok(server @ (ServerAddress::Ip(_) | ServerAddress::Name { .. })) => {
            Some(Webhook { server, authority: authority.to_owned(), path: path.to_owned(), lasts })
        }
        Ok(ServerAddress::Unix(_)) => {
            refuse(section, "webhook", &text, AddressError::Server);
            None
        }
        Err(error) => {
            refuse(section, "webhook", &text, error);
            None
        }
    }
}

fn refuse(section: &Section<'_>, key: &str, text: &Text<'_>, error: AddressError) {
    let error: &(dyn std::error::Error + 'static) = &error;
    let reason = mainstay_model::Chain(error);
    section.problems().add(text.span(), format!("{key:?} {:?} {reason}", text.get_ref()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host;

    const BASE: &str = "state = \"/s\"\nrun = \"/r\"\ngateway = \"/g\"\n[alerts]\n";

    fn with(end: &str) -> Alerts {
        host::parse(&format!("{BASE}{end}\n")).unwrap().alerts
    }

    #[test]
    fn a_gateway_logs_its_events_if_nothing_is_said() {
        let alerts = with("");
        let path = PathBuf::from("/s/events.log");
        assert_eq!(alerts.log, Some(Log { path, bytes_max: 16 * 1024 * 1024 }));
        assert_eq!((alerts.syslog, alerts.webhook), (None, None));
        assert_eq!(alerts.policy.repeat, Duration::from_mins(5));
        assert_eq!(with("log = \"off\"").log, None);
    }

    #[test]
    fn ways_to_a_syslog_server() {
        let cases = [
            (
                "udp:127.0.0.1:514",
                SyslogTarget::Udp(ServerAddress::Ip(([127, 0, 0, 1], 514).into())),
            ),
            (
                "tcp:logs.example.com:601",
                SyslogTarget::Tcp(ServerAddress::Name {
                    host: "logs.example.com".to_owned(),
                    port: 601,
                }),
            ),
            ("unix:/dev/log", SyslogTarget::Unix("/dev/log".into())),
        ];
        for (text, target) in cases {
            let found = with(&format!("syslog = {text:?}\nfacility = \"local0\""));
            assert_eq!(found.syslog, Some(Syslog { target, facility: 16 }), "{text}");
        }
    }

    #[test]
    fn urls_of_a_webhook() {
        let cases = [
            ("http://127.0.0.1:9093", "127.0.0.1:9093", WEBHOOK_PATH),
            ("http://127.0.0.1:9093/", "127.0.0.1:9093", WEBHOOK_PATH),
            ("http://[::1]:9093/a/b?c=d", "[::1]:9093", "/a/b?c=d"),
            ("http://alerts.example.com/hook", "alerts.example.com", "/hook"),
            ("http://[::1]/hook", "[::1]", "/hook"),
        ];
        for (url, authority, path) in cases {
            let webhook = with(&format!("webhook = {url:?}")).webhook.unwrap();
            assert_eq!((&*webhook.authority, &*webhook.path), (authority, path), "{url}");
        }
        let webhook = with("webhook = \"http://alerts.example.com/hook\"").webhook.unwrap();
        let host = "alerts.example.com".to_owned();
        assert_eq!(webhook.server, ServerAddress::Name { host, port: 80 });
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let mut said = String::new();
        for end in [
            "log = \"events.log\"",
            "log_bytes = 10",
            "syslog = \"127.0.0.1:514\"",
            "syslog = \"udp:127.0.0.1\"",
            "syslog = \"udp:unix:/dev/log\"",
            "syslog = \"unix:dev/log\"",
            "facility = \"kern\"",
            "webhook = \"https://127.0.0.1:9093\"",
            "webhook = \"http://\"",
            "webhook = \"http://a b/\"",
            "webhook = \"http://user@host/\"",
            "webhook = \"http://host:99999/\"",
            "repeat = \"0s\"",
            "retry_min = \"1m\"\nretry_max = \"1s\"",
            "queue = 0",
            "sylog = \"unix:/dev/log\"",
        ] {
            let text = format!("{BASE}{end}\n");
            for problem in host::parse(&text).unwrap_err() {
                said.push_str(&problem.locate("f".as_ref(), &text));
                said.push('\n');
            }
        }
        insta::assert_snapshot!(said, @r#"
        f:5:7: "log" must be an absolute path or "off", not "events.log"
        f:5:13: "log_bytes" must be from 64KiB to 1GiB, not 10
        f:5:10: "syslog" must be "udp:HOST:PORT", "tcp:HOST:PORT" or "unix:/PATH", not "127.0.0.1:514"
        f:5:10: "syslog" "udp:127.0.0.1" needs a port from 1 to 65535
        f:5:10: "syslog" has a path where a host must be: "udp:unix:/dev/log"
        f:5:10: "syslog" "unix:dev/log" must have an absolute path after "unix:"
        f:5:12: "facility" must be "user" or "daemon" or "syslog" or "local0" or "local1" or "local2" or "local3" or "local4" or "local5" or "local6" or "local7", not "kern"
        f:5:11: "webhook" must be a URL such as "http://HOST:9093/api/v2/alerts", not "https://127.0.0.1:9093"
        f:5:11: "webhook" "http://" has no valid host: is empty
        f:5:11: "webhook" must be a URL such as "http://HOST:9093/api/v2/alerts", not "http://a b/"
        f:5:11: "webhook" must be a URL such as "http://HOST:9093/api/v2/alerts", not "http://user@host/"
        f:5:11: "webhook" "http://host:99999/" needs a port from 1 to 65535
        f:5:10: "repeat" must be from 1s to 24h, not "0s"
        f:6:13: "retry_max" must be from 1m to 1h, not "1s"
        f:5:9: "queue" must be from 1 to 100000, not 0
        f:5:1: "sylog" is not a key of [alerts]; did you mean "syslog"?
        "#);
    }
}
