//! The commands of `mainstay manager`, and what each is told on its command line.

mod bundle;
mod certificate;
mod drain;
mod init;
mod token;
mod user;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use mainstay_database::Store;

use crate::directory::{self, Content, Directory};
use crate::{fleet, serve};

/// `mainstay manager …`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a fleet: database, certificate and settings of its first manager
    Init(init::Options),
    /// Serve agents and administrators until SIGTERM
    Serve(At),
    /// The three files that a further manager needs
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// From one certificate of all managers to the next
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    /// Tokens with which hosts become agents
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Who may administer the fleet
    #[command(subcommand)]
    User(user::UserCommand),
    /// Have a manager send its agents away, or take them again
    Drain(drain::Options),
    /// Show every manager of the fleet
    List(At),
}

/// Which manager is meant.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// The manager's directory
    #[arg(long, short = 'C', value_name = "DIRECTORY", default_value = directory::DEFAULT)]
    directory: PathBuf,
}

impl At {
    fn directory(&self) -> Directory {
        Directory::new(&self.directory)
    }

    fn path(&self) -> &Path {
        &self.directory
    }
}

/// Carries out one command.
pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(options) => init::run(options)?,
        Command::Serve(at) => serve::serve(&at.directory())?,
        Command::Bundle(command) => bundle::run(command)?,
        Command::Certificate(command) => certificate::run(command)?,
        Command::Token(command) => token::run(command)?,
        Command::User(command) => user::run(command)?,
        Command::Drain(options) => drain::run(options)?,
        Command::List(at) => drain::list(at)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something with the fleet's database.
fn with_store<T, F, W>(at: &At, work: F) -> anyhow::Result<T>
where
    F: FnOnce(Content, Arc<dyn Store>) -> W,
    W: Future<Output = anyhow::Result<T>>,
{
    let directory = at.directory();
    let content = directory.read()?;
    within(async {
        let store = fleet::open_store(&content.settings.database, directory.path()).await?;
        work(content, store).await
    })
}

/// Runs what has to wait for a database.
fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    runtime.block_on(work)
}

/// What a person asked for, on standard output.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .context("cannot write the answer")
}

/// Rows under a heading, each column as wide as it must be.
fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(heading.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["1".to_owned(), "edge".to_owned()], ["22".to_owned(), String::new()]];
        assert_eq!(table(["ID", "GROUP"], &rows), "ID  GROUP\n1   edge\n22");
    }
}
