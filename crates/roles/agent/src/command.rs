//! The commands of `mainstay agent`, and what each is told on its command line.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use mainstay_model::Chain;
use mainstay_os::now;
use mainstay_trust::certificate;
use serde_json::Value;

use crate::contact::Contact;
use crate::control::{self, Question};
use crate::directory::{self, Directory};
use crate::keys::Keys;
use crate::status::{Detail, text};
use crate::{enroll, run as running};

/// Longest token, as text.
const TOKEN_TEXT_BYTES_MAX: u64 = 64 * 1024;

/// `mainstay agent …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this host an agent of a fleet, with a token from `mainstay manager token create`
    Enroll(EnrollOptions),
    /// Speak for this host's gateway until SIGTERM
    Run(At),
    /// Show with which fleet it is registered, and to which manager it speaks
    Status(StatusOptions),
    /// Have it registered anew under the name that it has, at the first manager of the list
    #[command(visible_alias = "forcereg", long_flag = "forcereg", long_flag_alias = "force")]
    Reregister(ReregisterOptions),
    /// Try to reach every manager of the list; nothing is said to them
    Test(At),
}

/// Which agent is meant.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// The agent's directory
    #[arg(long, short = 'C', value_name = "DIRECTORY", default_value = directory::DEFAULT)]
    directory: PathBuf,
}

/// `mainstay agent enroll`
#[derive(Clone, Debug, Args)]
pub struct EnrollOptions {
    /// The token; without it, or as "-", it is read from standard input, where no list of
    /// processes shows it
    token: Option<String>,

    #[command(flatten)]
    at: At,
}

/// `mainstay agent reregister`
#[derive(Clone, Debug, Args)]
pub struct ReregisterOptions {
    /// Make another key, and have it registered in the place of the former
    #[arg(long)]
    new_key: bool,

    #[command(flatten)]
    at: At,
}

/// `mainstay agent status`
#[derive(Clone, Debug, Args)]
pub struct StatusOptions {
    /// Show the list, the last switch and why, the next failback, and the pin in use
    #[arg(long, short)]
    verbose: bool,

    /// Show all of it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    at: At,
}

impl At {
    fn directory(&self) -> Directory {
        Directory::new(&self.directory)
    }
}

/// Carries out one command.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Enroll(options) => enroll(options)?,
        Command::Run(at) => running::run(&at.directory())?,
        Command::Status(options) => status(options)?,
        Command::Reregister(options) => reregister(options)?,
        Command::Test(at) => return test(at),
    }
    Ok(ExitCode::SUCCESS)
}

fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    runtime.block_on(work)
}

/// What a person asked for, on standard output.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .context("cannot write the answer")
}

fn enroll(options: &EnrollOptions) -> anyhow::Result<()> {
    let given = options.token.as_deref().filter(|token| *token != "-");
    let token = match given {
        Some(token) => token.to_owned(),
        None => read_input()?,
    };
    let token = enroll::read_token(&token)?;
    let directory = options.at.directory();
    directory.make()?;
    let _lock = directory.lock()?;
    let state = enroll::prepare(&directory, &token)?;
    let (state, manager) = within(enroll::at_any(&directory, &state))?;
    say(&format!(
        "{} is registered with {} through {manager}, in the group {:?}",
        state.uid, state.database, state.group
    ))
}

fn read_input() -> anyhow::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        bail!("a token is needed: on the command line or on standard input");
    }
    let mut text = String::new();
    let read = input.lock().take(TOKEN_TEXT_BYTES_MAX).read_to_string(&mut text);
    read.context("cannot read the token from standard input")?;
    Ok(text)
}

/// What a running agent says; nothing if none runs.
fn ask(directory: &Directory, question: Question) -> anyhow::Result<Option<Value>> {
    within(control::ask(&directory.socket(), question))
}

fn status(options: &StatusOptions) -> anyhow::Result<()> {
    let directory = options.at.directory();
    let status = match ask(&directory, Question::Status)? {
        Some(status) => status,
        None => running::idle_status(&directory)?,
    };
    if options.json {
        return say(&format!("{status:#}"));
    }
    let detail = if options.verbose { Detail::Long } else { Detail::Short };
    say(&text(&status, detail, mainstay_os::unix_seconds()))
}

fn reregister(options: &ReregisterOptions) -> anyhow::Result<()> {
    let directory = options.at.directory();
    let question = if options.new_key { Question::Renew } else { Question::Reregister };
    if let Some(said) = ask(&directory, question)? {
        let part = |key: &str| said.get(key).and_then(Value::as_str);
        if let Some(error) = part("error") {
            bail!("{error}; the running agent goes on trying, `mainstay agent status` tells why");
        }
        let (database, manager) = (part("database"), part("manager"));
        let (database, manager) = (database.unwrap_or_default(), manager.unwrap_or_default());
        return say(&format!("registered anew with {database} through {manager}"));
    }
    let _lock = directory.lock()?;
    let state = directory.state()?.context("there is no agent here")?;
    if options.new_key {
        Keys::read(&directory, &state.uid)?.make_next(&directory, &state.uid)?;
    }
    let (state, manager) = within(enroll::at_any(&directory, &state))?;
    say(&format!("registered anew with {} through {manager}", state.database))
}

fn test(at: &At) -> anyhow::Result<ExitCode> {
    let directory = at.directory();
    let settings = directory.settings()?;
    let contact = Contact::new(directory.pins()?)?;
    within(async {
        let mut code = ExitCode::SUCCESS;
        for manager in &settings.managers {
            let begun = now();
            match contact.test(manager, settings.failover_after).await {
                Ok(seen) => {
                    let took = now().since(begun).as_millis();
                    let pin = seen.map(|seen| certificate::fingerprint(&seen.sha256));
                    let pin = pin.as_deref().unwrap_or("none: without TLS");
                    say(&format!("{manager}: reached in {took} ms, pin {pin}"))?;
                }
                Err(error) => {
                    code = ExitCode::FAILURE;
                    say(&format!("{manager}: {}", Chain(&error)))?;
                }
            }
        }
        Ok(code)
    })
}
