//! Running the binary for its answer, as an operator does.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::children;
use crate::gateway::binary;

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// None if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `mainstay` with `arguments`.
///
/// Not through `Command::output`: where a gateway runs, this process waits for every child
/// with that name ([`children::reap_orphans`]).
pub fn mainstay<A: AsRef<OsStr>>(arguments: &[A]) -> anyhow::Result<Answer> {
    run(&binary()?, arguments)
}

/// The same with a program of one's own.
pub fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> anyhow::Result<Answer> {
    let dir = tempfile::tempdir()?;
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let mut command = Command::new(program);
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    command.stdout(File::create(&out)?).stderr(File::create(&err)?);
    let child = children::spawn(&mut command)?;
    let status = child.wait(PATIENCE).context("the command does not end")?;
    let code = status.exit_status();
    Ok(Answer { code, out: fs::read_to_string(out)?, err: fs::read_to_string(err)? })
}
