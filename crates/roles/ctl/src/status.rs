//! `mainstay status`: every process of a running gateway, and who serves.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_model::Chain;
use mainstay_os::unix_seconds;
use mainstay_wire::command::{Command, Reply, Status};
use rustix::event::PollFlags;

use crate::ask::{Waited, ask, wait};
use crate::place::Place;
use crate::table;

/// How long an answer may take, the next master's start included.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How often `--watch` asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// To the top left corner; what was there is written over.
const HOME: &str = "\x1b[H";
/// The rest of the line, and of the screen, is left from before.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// What `mainstay status` is given.
#[derive(Debug, clap::Args)]
pub struct StatusOptions {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Ask again each second, until interrupted
    #[arg(long)]
    pub watch: bool,

    #[command(flatten)]
    pub place: Place,
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
}

/// Prints the status once, or again and again.
pub fn status(options: &StatusOptions) -> anyhow::Result<ExitCode> {
    let run = options.place.run()?;
    let form = if options.json { Form::Json } else { Form::Table };
    let output = io::stdout();
    let printed = if options.watch {
        let screen = if output.is_terminal() { Screen::Repaint } else { Screen::Append };
        watch(&run, form, screen)
    } else {
        let status = read(&run)?;
        let text = show(&status, form)?;
        output.lock().write_all(text.as_bytes())
    };
    match printed {
        // Whoever read it has seen enough: `mainstay status --watch | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        printed => printed.context("cannot print the status").map(|()| ExitCode::SUCCESS),
    }
}

fn read(run: &Path) -> anyhow::Result<Status> {
    match ask(run, &Command::Status, ANSWER_LIMIT)? {
        Reply::Refused { reason } => bail!("the master refused: {reason}"),
        reply => reply.into_status().context("the master answered something else"),
    }
}

fn show(status: &Status, form: Form) -> anyhow::Result<String> {
    match form {
        Form::Table => Ok(table::render(status, unix_seconds())),
        Form::Json => {
            let json = serde_json::to_string(status).context("cannot write the status as JSON")?;
            Ok(json + "\n")
        }
    }
}

/// What a new status does to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Screen {
    /// Takes its place, on a terminal.
    Repaint,
    /// Follows it, in a file or a pipe.
    Append,
}

/// Prints the status each second until the reader is gone or the process is interrupted. A
/// gateway that is not there now may be there in a second.
fn watch(run: &Path, form: Form, screen: Screen) -> io::Result<()> {
    let output = io::stdout();
    loop {
        let text = read(run).and_then(|status| show(&status, form)).unwrap_or_else(|error| {
            let error: &(dyn std::error::Error + 'static) = error.as_ref();
            format!("{}\n", Chain(error))
        });
        output.lock().write_all(frame(&text, form, screen).as_bytes())?;
        output.lock().flush()?;
        // A pipe tells at once when its reader is gone.
        if wait(&output, PollFlags::empty(), WATCH_INTERVAL)? == Waited::Told {
            return Ok(());
        }
    }
}

/// A status among others.
fn frame(text: &str, form: Form, screen: Screen) -> String {
    match (screen, form) {
        (Screen::Repaint, _) => {
            let lines = text.replace('\n', &format!("{CLEAR_LINE}\n"));
            format!("{HOME}{lines}{CLEAR_BELOW}")
        }
        // One document a line.
        (Screen::Append, Form::Json) => text.to_owned(),
        (Screen::Append, Form::Table) => format!("{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use mainstay_message::{receive, send};
    use mainstay_model::Generation;
    use mainstay_os::{Channel, ChannelListener};

    use super::*;

    fn empty_status() -> Status {
        Status { generation: Generation::FIRST, active: None, failovers: 3, processes: Vec::new() }
    }

    /// The next connection of a master that is asked.
    fn accept(listener: &ChannelListener) -> Channel {
        wait(listener, PollFlags::IN, Duration::from_secs(10)).unwrap();
        listener.accept().unwrap().expect("somebody asks")
    }

    fn answer(channel: &Channel, reply: &Reply) {
        wait(channel, PollFlags::IN, Duration::from_secs(10)).unwrap();
        let (question, _) = receive::<Command>(channel).unwrap().expect("a question");
        assert_eq!(question, Command::Status);
        send(channel, reply, &[]).unwrap();
    }

    #[test]
    fn a_master_that_dies_or_comes_late_is_waited_for() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("admin.sock");
        let asking = thread::spawn({
            let run = run.path().to_path_buf();
            move || ask(&run, &Command::Status, Duration::from_secs(30))
        });
        // The first takes the question and goes; the second answers.
        let first = ChannelListener::bind(&path).unwrap();
        drop(accept(&first));
        drop(first);
        let second = ChannelListener::bind(&path).unwrap();
        answer(&accept(&second), &Reply::Status(empty_status()));
        let reply = asking.join().unwrap().unwrap();
        assert_eq!(reply, Reply::Status(empty_status()));
    }

    #[test]
    fn a_refusal_is_an_error_with_its_reason() {
        let run = tempfile::tempdir().unwrap();
        let listener = ChannelListener::bind(&run.path().join("admin.sock")).unwrap();
        let asking = thread::spawn({
            let run = run.path().to_path_buf();
            move || read(&run)
        });
        answer(&accept(&listener), &Reply::Refused { reason: "not now".to_owned() });
        let error = asking.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the master refused: not now");
    }

    #[test]
    fn what_is_wrong_is_said_clearly() {
        let directory = tempfile::tempdir().unwrap();
        let said = |run: &Path| {
            let error = ask(run, &Command::Status, Duration::from_millis(50)).unwrap_err();
            Chain(&error).to_string().replace(&directory.path().display().to_string(), "DIR")
        };
        assert_eq!(
            said(&directory.path().join("away")),
            "no gateway runs in DIR/away: No such file or directory (os error 2)"
        );
        assert_eq!(
            said(directory.path()),
            "no gateway runs in DIR: No such file or directory (os error 2)"
        );
        let listener = ChannelListener::bind(&directory.path().join("admin.sock")).unwrap();
        assert_eq!(said(directory.path()), "the master in DIR does not answer");
        drop(listener);
        assert_eq!(
            said(directory.path()),
            "no gateway runs in DIR: Connection refused (os error 111)"
        );
    }

    #[test]
    fn json_is_one_line_that_reads_back() {
        let text = show(&empty_status(), Form::Json).unwrap();
        assert_eq!(text.lines().count(), 1);
        let status: Status = serde_json::from_str(&text).unwrap();
        assert_eq!(status, empty_status());
    }

    #[test]
    fn a_terminal_is_painted_over_and_a_file_is_not() {
        assert_eq!(frame("a\nb\n", Form::Table, Screen::Append), "a\nb\n\n");
        assert_eq!(frame("{}\n", Form::Json, Screen::Append), "{}\n");
        assert_eq!(frame("a\nb\n", Form::Table, Screen::Repaint), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
