//! `mainstay session status`, `list` and `logout`: who is logged in, by way of broadcast.
//!
//! A session is named by its key, never by its id: a command line can be read by everybody on
//! the machine.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_model::SessionKey;
use mainstay_os::unix_millis;
use mainstay_wire::session::{Listed, Reply, Request, Status, Whose};

use crate::place::Place;

/// How long broadcast may take: longer than it waits for the processes
/// (`[sessions] confirm_timeout`).
const LIMIT: Duration = Duration::from_secs(65);

/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// What is asked about sessions.
#[derive(Debug, clap::Subcommand)]
pub enum SessionCommand {
    /// Show how many there are, and how far each process has come
    Status(StatusOptions),
    /// Show some of them
    List(ListOptions),
    /// End sessions; done when no process accepts them any more
    Logout(LogoutOptions),
}

#[derive(Debug, clap::Args)]
pub struct StatusOptions {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub struct ListOptions {
    /// Only those of this user
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub struct LogoutOptions {
    #[command(flatten)]
    whose: WhoseOptions,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct WhoseOptions {
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// The session with this key, as the list shows it
    #[arg(long, value_name = "KEY")]
    key: Option<SessionKey>,
    /// All that came of this session at the identity provider
    #[arg(long, value_name = "NAME")]
    provider_session: Option<String>,
}

/// Asks, and prints the answer.
pub fn session(command: &SessionCommand) -> anyhow::Result<ExitCode> {
    let (place, request) = match command {
        SessionCommand::Status(options) => (&options.place, Request::Status {}),
        SessionCommand::List(options) => {
            (&options.place, Request::List { subject: options.subject.clone() })
        }
        SessionCommand::Logout(LogoutOptions { whose, place }) => {
            let whose = Whose {
                id: None,
                key: whose.key,
                subject: whose.subject.clone(),
                provider_session: whose.provider_session.clone(),
            };
            (place, Request::Logout(whose))
        }
    };
    let text = match ask(place, &request)? {
        Reply::Done { sessions } => format!("sessions ended: {sessions}\n"),
        Reply::Status(status) => show_status(&status),
        Reply::List { sessions, all } => show_list(&sessions, all, unix_millis()),
        Reply::Refused { reason } => bail!("{reason}"),
        Reply::Unconfirmed { reason } => {
            bail!(
                "it will be done, but not every process has said that it was: {reason}; ask again"
            )
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// One line at the session channel, and its answer.
fn ask(place: &Place, request: &Request) -> anyhow::Result<Reply> {
    let run = place.run()?;
    let mut stream = UnixStream::connect(run.join("session.sock"))
        .with_context(|| format!("broadcast in {} does not listen", run.display()))?;
    stream.set_read_timeout(Some(LIMIT)).context("cannot wait for broadcast")?;
    let line = serde_json::to_string(request).context("cannot write JSON")?;
    writeln!(stream, "{line}").context("cannot ask broadcast")?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX))
        .read_line(&mut answer)
        .context("broadcast does not answer")?;
    if answer.is_empty() {
        bail!("broadcast ended before it answered; `mainstay status` tells how things are");
    }
    serde_json::from_str(&answer).context("cannot understand broadcast")
}

fn show_status(status: &Status) -> String {
    let Status { sessions, sessions_max, number, committed, confirmed, journal_bytes, .. } = status;
    let mut text = format!(
        "{sessions} sessions of at most {sessions_max}\n\
         change {number}, on the disk up to {committed}, everywhere up to {confirmed}\n\
         {journal_bytes} bytes since the last snapshot\n"
    );
    text.extend(status.processes.iter().map(|standing| {
        let has = standing.number.map_or_else(
            || "is about to read them".to_owned(),
            |number| format!("has everything up to {number}"),
        );
        format!("{} (process {}) {has}\n", standing.process, standing.pid)
    }));
    text
}

fn show_list(sessions: &[Listed], all: u64, now_ms: u64) -> String {
    let line = |session: &Listed| {
        let ago = |at: u64| now_ms.saturating_sub(at) / 1_000;
        let (began, used) = (ago(session.authenticated_at_ms), ago(session.last_active_ms));
        let subject = &session.subject;
        format!("{} {subject:?}, since {began} s, used {used} s ago\n", session.key)
    };
    let mut text: String = sessions.iter().map(line).collect();
    let left = all.saturating_sub(sessions.len() as u64);
    if left > 0 {
        text.push_str(&format!("and {left} more\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use mainstay_wire::session::Standing;

    use super::*;

    #[test]
    fn a_status_says_how_far_everyone_is() {
        let standing =
            |process: &str, number| Standing { process: process.to_owned(), pid: 7, number };
        let status = Status {
            sessions: 2,
            sessions_max: 10,
            epoch: 1,
            number: 5,
            committed: 5,
            confirmed: 4,
            journal_bytes: 300,
            processes: vec![standing("master", Some(4)), standing("worker two", None)],
        };
        assert_eq!(
            show_status(&status),
            "2 sessions of at most 10\n\
             change 5, on the disk up to 5, everywhere up to 4\n\
             300 bytes since the last snapshot\n\
             master (process 7) has everything up to 4\n\
             worker two (process 7) is about to read them\n"
        );
    }

    #[test]
    fn a_list_shows_keys_and_what_is_left_out() {
        let listed = Listed {
            key: SessionKey::from_bytes([0xab; 32]),
            subject: "a\nb".to_owned(),
            authenticated_at_ms: 1_000,
            last_active_ms: 9_000,
            provider_session: None,
        };
        assert_eq!(
            show_list(&[listed], 3, 10_000),
            format!("{} \"a\\nb\", since 9 s, used 1 s ago\nand 2 more\n", "ab".repeat(32))
        );
    }
}
