//! `[ha]` of host.toml: whether a pair of workers serves, or one process does everything.

use crate::entry::Entry;
use crate::host::{Host, Percent, Worker};
use crate::section::Section;

/// How many processes stand in for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ha {
    /// A master, broadcast, and a pair of workers.
    Enabled,
    /// One process, index 0, accepts and serves by itself and holds the ports of broadcast.
    Disabled,
}

/// What becomes of a change between the two, for drills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrialHa {
    #[default]
    Works,
    /// It fails when the process at index 0 is another, and goes back.
    Fails,
}

pub(crate) fn read(file: &mut Section<'_>) -> Ha {
    let mut section = file.table("ha", "[ha]");
    let enabled = section.optional("enabled").and_then(Entry::boolean);
    section.finish();
    if enabled == Some(false) { Ha::Disabled } else { Ha::Enabled }
}

impl Host {
    /// What the one process has that serves without a pair: the memory of the master and of a
    /// worker together, for it does the work of both, and the threads and processors of
    /// worker one.
    pub fn one_process(&self) -> Worker {
        let [worker, _] = &self.workers;
        let percent = self.master.memory.percent().saturating_add(worker.memory.percent());
        Worker { memory: Percent::new(percent), ..worker.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::parse;

    const PATHS: &str = "state = \"/s\"\nrun = \"/r\"\ngateway = \"/g\"\n";

    #[test]
    fn a_pair_serves_unless_something_else_is_said() {
        let ha = |text: &str| parse(&format!("{PATHS}{text}")).map(|host| host.ha);
        assert_eq!(ha(""), Ok(Ha::Enabled));
        assert_eq!(ha("[ha]\n"), Ok(Ha::Enabled));
        assert_eq!(ha("[ha]\nenabled = true\n"), Ok(Ha::Enabled));
        assert_eq!(ha("[ha]\nenabled = false\n"), Ok(Ha::Disabled));
        let problem = |text: &str| ha(text).unwrap_err()[0].text().to_owned();
        assert_eq!(
            problem("[ha]\nenabled = \"no\"\n"),
            "\"enabled\" must be a boolean, not a string"
        );
    }

    #[test]
    fn the_one_process_has_what_master_and_worker_have() {
        let text = format!(
            "{PATHS}[ha]\nenabled = false\n[master]\nmemory = \"5%\"\n\
             [[worker]]\nmemory = \"20%\"\nthreads = 2\ncpus = [1]\n\
             [[worker]]\nmemory = \"30%\"\nthreads = 2\n"
        );
        let worker = Worker { memory: Percent::new(25), threads: 2, cpus: vec![1] };
        assert_eq!(parse(&text).unwrap().one_process(), worker);
    }
}
