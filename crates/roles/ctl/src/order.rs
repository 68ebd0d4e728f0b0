//! `mainstay swap`, `purge`, `policy refresh` and `esp status`: orders to every process, by way
//! of broadcast.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mainstay_wire::broadcast::{Outcome, Said};
use mainstay_wire::caller::{LINE_BYTES_MAX, Refused, Reply, Request};

use crate::place::Place;

/// How long an order may take: three processes, each with a limit of its own.
const LIMIT: Duration = Duration::from_secs(30);

/// What an order to every process is given.
#[derive(Debug, clap::Args)]
pub struct OrderOptions {
    #[command(flatten)]
    pub place: Place,
}

/// Has active and standby change places.
pub fn swap(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Request::Swap {})
}

/// Has every process forget what it keeps of responses.
pub fn purge(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Request::PurgeCache {})
}

/// Has every process read again what requests are decided by.
pub fn policy_refresh(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Request::PolicyRefresh {})
}

/// Asks every process how the service that logs users in is.
pub fn esp_status(options: &OrderOptions) -> anyhow::Result<ExitCode> {
    order(options, &Request::EspStatus {})
}

fn order(options: &OrderOptions, request: &Request) -> anyhow::Result<ExitCode> {
    let run = options.place.run()?;
    let mut stream = UnixStream::connect(run.join("command.sock"))
        .with_context(|| format!("broadcast in {} does not listen", run.display()))?;
    stream.set_read_timeout(Some(LIMIT)).context("cannot wait for broadcast")?;
    let line = serde_json::to_string(request).context("cannot write JSON")?;
    writeln!(stream, "{line}").context("cannot ask broadcast")?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX as u64 + 1))
        .read_line(&mut answer)
        .context("broadcast does not answer")?;
    if answer.is_empty() {
        bail!("broadcast ended before it answered; `mainstay status` tells how things are");
    }
    match serde_json::from_str(&answer).context("cannot understand broadcast")? {
        Reply::Outcome(Outcome::Done { said }) => {
            io::stdout()
                .lock()
                .write_all(render(&said).as_bytes())
                .context("cannot write to standard output")?;
            Ok(ExitCode::SUCCESS)
        }
        Reply::Outcome(Outcome::Failed { process, reason }) => bail!("{process}: {reason}"),
        Reply::Outcome(Outcome::Busy) => bail!("another order is under way"),
        Reply::Refused(Refused { reason }) => bail!("{reason}"),
    }
}

fn render(said: &[Said]) -> String {
    let line = |Said { process, sentence }: &Said| {
        let sentence = if sentence.is_empty() { "done" } else { sentence };
        format!("{process}: {sentence}\n")
    };
    said.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use mainstay_model::{Process, Slot};

    use super::*;

    #[test]
    fn everyone_has_a_line() {
        let said = [(Process::Worker(Slot::Two), ""), (Process::Master, "worker two serves")]
            .map(|(process, sentence)| Said { process, sentence: sentence.to_owned() });
        assert_eq!(render(&said), "worker two: done\nmaster: worker two serves\n");
    }
}
