//! `manager.toml`: how a manager reaches its database, where it listens, and within which limits.
//!
//! All managers of a fleet may have the same file; it is one of the three of a bundle.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use crate::address::{ServerAddress, read_server};
use crate::entry::Entry;
use crate::names::check_form;
use crate::problem::{Problem, Problems};
use crate::section::Section;

/// OpAMP's port, at every address of this machine.
const AGENTS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), 4320);

/// For whoever is on this machine.
const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4321);

/// Most managers of a list.
pub const MANAGERS_MAX: usize = 16;

/// Longest text that says where the database is.
const DATABASE_BYTES_MAX: usize = 2048;

/// Longest text of certificates here; a longer one is a file.
const ROOTS_BYTES_MAX: usize = 60 * 1024;

const THREADS: RangeInclusive<usize> = 1..=256;
const DRAINS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(10);
const POLLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const CONNECTIONS: RangeInclusive<usize> = 1..=100_000;
const RATES: RangeInclusive<u32> = 1..=1_000_000;
const BODY_BYTES: RangeInclusive<u64> = 64 * 1024..=4 * 1024 * 1024;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);
const OFFLINES: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_hours(24 * 7);
const DAYS: RangeInclusive<u32> = 1..=550;
const SESSIONS: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24 * 30);
const LOGIN_FAILURES: RangeInclusive<u32> = 1..=1_000;
const BATCH_ROWS: RangeInclusive<usize> = 1..=4_096;
const WINDOWS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_millis(100);
const WAITING: RangeInclusive<usize> = 16..=100_000;
const DATABASE_CONNECTIONS: RangeInclusive<usize> = 1..=64;

/// A manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manager {
    /// What people call it; none: as the machine is called.
    pub name: Option<String>,
    /// Threads that serve; none: one for each processor.
    pub threads: Option<usize>,
    /// How long a manager that stops may finish its exchanges.
    pub drain_timeout: Duration,
    pub database: Database,
    pub agents: Agents,
    pub admin: Admin,
    /// Days for which events are kept, today included.
    pub event_days: u32,
}

/// How the database is reached. It may have a password in it, and is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// A path, `sqlite:PATH` or `postgres://…`; the database's crate reads it.
    pub location: String,
    /// The certificates that vouch for the server's, as PEM; otherwise `location` names a file.
    pub root_certificates: Option<String>,
    /// Most exchanges in one commit.
    pub batch_rows: usize,
    /// How long the first exchange of a commit waits for others.
    pub batch_window: Duration,
    /// Most operations that wait.
    pub waiting: usize,
    /// To PostgreSQL, for what people ask.
    pub connections: usize,
    pub connect_timeout: Duration,
    /// For any answer of PostgreSQL; then the next host is tried.
    pub answer_timeout: Duration,
    /// How long PostgreSQL lets a transaction wait for this manager.
    pub transaction_timeout: Duration,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// Where agents are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    pub address: SocketAddr,
    pub tls: Tls,
    /// Where agents find managers, the primary first; goes into enrolment tokens. Empty: this
    /// manager alone, by its name.
    pub managers: Vec<ServerAddress>,
    /// How often an agent should ask.
    pub poll: Duration,
    /// Whether OpAMP clients that cannot sign are served.
    pub bearer: Bearer,
    /// Open connections at a time.
    pub connections: usize,
    /// Handshakes at a time; further connections are closed at once.
    pub handshakes: usize,
    /// Exchanges at a time; further ones are told when to come back.
    pub exchanges: usize,
    /// Exchanges a second that are let in however small the fleet is; a larger one has twice
    /// what it needs.
    pub rate_min: u32,
    pub body_bytes: usize,
    /// How long a handshake, the wait for a head, and a body may take, each.
    pub timeout: Duration,
    /// What becomes of a second holder of an identity.
    pub clones: Clones,
    /// How long an agent may be silent before that is recorded.
    pub offline_after: Duration,
}

/// Where people and programs administer the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
    pub tls: Tls,
    pub connections: usize,
    pub body_bytes: usize,
    pub timeout: Duration,
    /// How long somebody stays logged in.
    pub session_lifetime: Duration,
    /// How long somebody may do nothing and stay logged in.
    pub session_idle: Duration,
    /// How often one address may be wrong about a password within five minutes.
    pub login_failures: u32,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    On,
    /// For tests, and behind something that ends TLS.
    Off,
}

/// Whether OpAMP clients that bring a secret instead of a signature are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    Allowed,
    Refused,
}

/// What becomes of a second holder of an identity, which gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clones {
    /// It waits until somebody approves of it.
    Approve,
    /// It is served at once.
    Enroll,
    /// It is sent away.
    Refuse,
}

/// Reads the whole file and reports every problem in it, not just the first.
pub fn parse(text: &str) -> Result<Manager, Vec<Problem>> {
    let problems = Problems::default();
    let mut file = Section::file(text, "manager.toml", &problems)?;
    let manager = Manager {
        name: read_name(&mut file),
        threads: file.optional("threads").and_then(|entry| entry.integer(&THREADS)),
        drain_timeout: file.duration("drain_timeout", Duration::from_secs(10), &DRAINS),
        database: read_database(&mut file),
        agents: read_agents(&mut file),
        admin: read_admin(&mut file),
        event_days: file.integer("event_days", 30, &DAYS),
    };
    file.finish();
    problems.check(manager)
}

/// A name that is a label of metrics and a word in log lines.
fn read_name(file: &mut Section<'_>) -> Option<String> {
    let text = file.optional("name").and_then(Entry::text)?;
    check_form("name", &text, file);
    Some(text.get_ref().to_string())
}

fn read_database(file: &mut Section<'_>) -> Database {
    let mut section = file.table("database", "[database]");
    let text = section.text("location");
    let location = text.as_ref().map_or("", |text| text.get_ref().as_ref());
    let problem = match location.len() {
        0 => Some("\"location\" is a path, \"sqlite:PATH\" or \"postgres://…\"".to_owned()),
        1..=DATABASE_BYTES_MAX => None,
        _ => Some(format!("\"location\" has at most {DATABASE_BYTES_MAX} bytes")),
    };
    if let (Some(text), Some(problem)) = (&text, problem) {
        section.problems().add(text.span(), problem);
    }
    let database = Database {
        location: location.to_owned(),
        root_certificates: read_roots(&mut section),
        batch_rows: section.integer("batch_rows", 256, &BATCH_ROWS),
        batch_window: section.duration("batch_window", Duration::from_millis(5), &WINDOWS),
        waiting: section.integer("waiting", 4_096, &WAITING),
        connections: section.integer("connections", 4, &DATABASE_CONNECTIONS),
        connect_timeout: section.duration("connect_timeout", Duration::from_secs(3), &TIMEOUTS),
        answer_timeout: section.duration("answer_timeout", Duration::from_secs(5), &TIMEOUTS),
        transaction_timeout: section.duration(
            "transaction_timeout",
            Duration::from_secs(1),
            &TIMEOUTS,
        ),
    };
    section.finish();
    database
}

/// Certificates as PEM. Whether they are any is seen when they are needed.
fn read_roots(section: &mut Section<'_>) -> Option<String> {
    let text = section.optional("root_certificates").and_then(Entry::text)?;
    let has_form = text.get_ref().contains("-----BEGIN CERTIFICATE-----");
    if !has_form || text.get_ref().len() > ROOTS_BYTES_MAX {
        let problem = format!(
            "\"root_certificates\" are certificates as PEM, of at most {ROOTS_BYTES_MAX} bytes"
        );
        section.problems().add(text.span(), problem);
    }
    Some(text.get_ref().to_string())
}

fn read_agents(file: &mut Section<'_>) -> Agents {
    let mut section = file.table("agents", "[agents]");
    let address = read_address(&mut section, AGENTS);
    let tls = read_tls(&mut section);
    let managers = read_managers(&mut section);
    let poll = section.placed("poll", Duration::from_secs(30), |entry| entry.duration(&POLLS));
    let poll = poll.map_or(*POLLS.start(), Spanned::into_inner);
    // Nine missed polls, unless that is too long for a range.
    let silence = (poll * 9).min(*OFFLINES.end());
    let offlines = (*OFFLINES.start()).max(poll)..=*OFFLINES.end();
    let body_bytes = section.size("body_bytes", *BODY_BYTES.end(), &BODY_BYTES);
    let agents = Agents {
        address,
        tls,
        managers,
        poll,
        bearer: section.choice(
            "bearer",
            Bearer::Allowed,
            &[("allowed", Bearer::Allowed), ("refused", Bearer::Refused)],
        ),
        connections: section.integer("connections", 20_000, &CONNECTIONS),
        handshakes: section.integer("handshakes", 512, &CONNECTIONS),
        exchanges: section.integer("exchanges", 2_048, &CONNECTIONS),
        rate_min: section.integer("rate_min", 500, &RATES),
        body_bytes: usize::try_from(body_bytes).unwrap_or(usize::MAX),
        timeout: section.duration("timeout", Duration::from_secs(10), &TIMEOUTS),
        clones: section.choice(
            "clones",
            Clones::Approve,
            &[("approve", Clones::Approve), ("enroll", Clones::Enroll), ("refuse", Clones::Refuse)],
        ),
        offline_after: section.duration("offline_after", silence, &offlines),
    };
    section.finish();
    agents
}

fn read_managers(section: &mut Section<'_>) -> Vec<ServerAddress> {
    let Some(entry) = section.optional("managers") else { return Vec::new() };
    let span = entry.span();
    let texts = entry.array().unwrap_or_default();
    if texts.len() > MANAGERS_MAX {
        let sentence = format!("\"managers\" has at most {MANAGERS_MAX} addresses");
        section.problems().add(span, sentence);
        return Vec::new();
    }
    let mut managers = Vec::new();
    for text in texts.into_iter().filter_map(Entry::text) {
        match read_server(text.get_ref()) {
            Ok(server @ (ServerAddress::Ip(_) | ServerAddress::Name { .. })) => {
                managers.push(server);
            }
            Ok(ServerAddress::Unix(_)) | Err(_) => {
                let sentence = format!(
                    "\"managers\" has addresses such as \"HOST:PORT\", not {:?}",
                    text.get_ref()
                );
                section.problems().add(text.span(), sentence);
            }
        }
    }
    managers
}

fn read_admin(file: &mut Section<'_>) -> Admin {
    let mut section = file.table("admin", "[admin]");
    let body_bytes = section.size("body_bytes", *BODY_BYTES.end(), &BODY_BYTES);
    let admin = Admin {
        address: read_address(&mut section, ADMIN),
        tls: read_tls(&mut section),
        connections: section.integer("connections", 256, &CONNECTIONS),
        body_bytes: usize::try_from(body_bytes).unwrap_or(usize::MAX),
        timeout: section.duration("timeout", Duration::from_secs(10), &TIMEOUTS),
        session_lifetime: section.duration("session_lifetime", Duration::from_hours(12), &SESSIONS),
        session_idle: section.duration("session_idle", Duration::from_hours(1), &SESSIONS),
        login_failures: section.integer("login_failures", 10, &LOGIN_FAILURES),
    };
    section.finish();
    admin
}

/// Port 0 lets the kernel choose.
fn read_address(section: &mut Section<'_>, default: SocketAddr) -> SocketAddr {
    let Some(text) = section.optional("address").and_then(Entry::text) else { return default };
    text.get_ref().parse().unwrap_or_else(|_error| {
        let sentence =
            format!("\"address\" must be \"IP:PORT\" or \"[IPv6]:PORT\", not {:?}", text.get_ref());
        section.problems().add(text.span(), sentence);
        default
    })
}

fn read_tls(section: &mut Section<'_>) -> Tls {
    section.choice("tls", Tls::On, &[("on", Tls::On), ("off", Tls::Off)])
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
    fn a_place_for_the_database_is_enough() {
        let manager = parse("[database]\nlocation = \"/var/lib/fleet.db\"\n").unwrap();
        assert_eq!(manager.database.location, "/var/lib/fleet.db");
        assert_eq!(manager.agents.address, "[::]:4320".parse().unwrap());
        assert_eq!(manager.agents.tls, Tls::On);
        assert_eq!(manager.agents.offline_after, Duration::from_secs(270));
        assert_eq!(manager.admin.address, "127.0.0.1:4321".parse().unwrap());
        assert_eq!(manager.event_days, 30);
    }

    #[test]
    fn everything_can_be_said() {
        let manager = parse(
            "name = \"m1\"\nthreads = 2\ndrain_timeout = \"1s\"\nevent_days = 2\n\
             [database]\nlocation = \"postgres://me:secret@a,b/fleet\"\nbatch_rows = 8\n\
             root_certificates = \"-----BEGIN CERTIFICATE-----\"\n\
             batch_window = \"1ms\"\nwaiting = 16\nconnections = 2\nconnect_timeout = \"1s\"\n\
             answer_timeout = \"2s\"\ntransaction_timeout = \"2s\"\n\
             [agents]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
             managers = [\"m1.example.com:4320\", \"192.0.2.1:4320\"]\npoll = \"5s\"\n\
             bearer = \"refused\"\nconnections = 10\nhandshakes = 5\nexchanges = 4\nrate_min = 9\n\
             body_bytes = \"64KiB\"\ntimeout = \"1s\"\nclones = \"enroll\"\noffline_after = \"20s\"\n\
             [admin]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\nconnections = 3\n\
             body_bytes = \"1MiB\"\ntimeout = \"2s\"\nsession_lifetime = \"8h\"\n\
             session_idle = \"10m\"\nlogin_failures = 5\n",
        )
        .unwrap();
        assert_eq!(manager.admin.session_idle, Duration::from_mins(10));
        assert_eq!(manager.agents.managers.len(), 2);
        assert_eq!(manager.agents.bearer, Bearer::Refused);
        assert!(!format!("{manager:?}").contains("secret"), "a password is not printed");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        for (text, said) in [
            ("", "f:1:1: [database] needs the key \"location\""),
            (
                "[database]\nlocation = \"\"\n",
                "f:2:12: \"location\" is a path, \"sqlite:PATH\" or \"postgres://…\"",
            ),
            (
                "[database]\nlocation = \"x\"\nroot_certificates = \"ca.pem\"\n",
                "f:3:21: \"root_certificates\" are certificates as PEM, of at most 61440 bytes",
            ),
            (
                "[database]\nlocation = \"x\"\n[agents]\naddres = \"127.0.0.1:1\"\n",
                "f:4:1: \"addres\" is not a key of [agents]; did you mean \"address\"?",
            ),
            (
                "[database]\nlocation = \"x\"\n[agents]\nmanagers = [\"unix:/a\"]\n",
                "f:4:13: \"managers\" has addresses such as \"HOST:PORT\", not \"unix:/a\"",
            ),
            (
                "[database]\nlocation = \"x\"\n[agents]\npoll = \"1m\"\noffline_after = \"30s\"\n",
                "f:5:17: \"offline_after\" must be from 1m to 168h, not \"30s\"",
            ),
            (
                "[database]\nlocation = \"x\"\n[admin]\naddress = \"localhost\"\n",
                "f:4:11: \"address\" must be \"IP:PORT\" or \"[IPv6]:PORT\", not \"localhost\"",
            ),
        ] {
            assert_eq!(problems(text), said, "{text}");
        }
    }
}
