//! Events, as a gateway writes them: lines with a number, into the logs that agents read.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;

use crate::luck::Luck;
use crate::wait::Stop;

/// What the fleet calls them.
pub(super) const KIND: &str = "gateway.load";

/// How often any of them gets lines, for each agent.
const PAUSE: Duration = Duration::from_secs(2);

/// Most lines at once.
const LINES: u64 = 4;

/// A thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Arc<Stop>,
    thread: JoinHandle<anyhow::Result<Vec<u64>>>,
}

impl Writer {
    pub(super) fn start(logs: Vec<File>, luck: Luck) -> anyhow::Result<Self> {
        let stop = Arc::new(Stop::default());
        let over = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("writer".to_owned());
        let thread = thread.spawn(move || write(logs, luck, &over))?;
        Ok(Self { stop, thread })
    }

    /// How many lines each log has.
    pub(super) fn stop(self) -> anyhow::Result<Vec<u64>> {
        self.stop.stop();
        self.thread.join().map_err(|_panic| anyhow!("the writer panicked"))?
    }
}

fn write(mut logs: Vec<File>, mut luck: Luck, over: &Stop) -> anyhow::Result<Vec<u64>> {
    let mut written = vec![0; logs.len()];
    let pause = PAUSE / u32::try_from(logs.len().max(1))?;
    while !over.pause(pause) {
        let which = usize::try_from(luck.between(0..logs.len() as u64))?;
        let (Some(log), Some(count)) = (logs.get_mut(which), written.get_mut(which)) else { break };
        let mut lines = String::new();
        for _ in 0..luck.between(1..LINES + 1) {
            *count += 1;
            lines.push_str(&format!(
                "{{\"event\":\"load\",\"severity\":\"info\",\"number\":{count}}}\n"
            ));
        }
        log.write_all(lines.as_bytes())?;
    }
    Ok(written)
}
