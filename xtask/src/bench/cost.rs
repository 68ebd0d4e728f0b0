//! The processor time of all processes of a contestant, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// What a set of processes has used since each of them started.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// Time on a processor, in nanoseconds; the sum over all threads.
    run_ns: u64,
    user_ticks: u64,
    system_ticks: u64,
    processes: BTreeSet<u32>,
}

/// What was used between two looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    /// Microseconds on a processor.
    pub(super) micros: f64,
    /// The share of it outside the kernel, 0 to 1.
    pub(super) user_share: f64,
}

/// What one line of `/proc/PID/stat` says.
struct Stat {
    life: Life,
    parent: u32,
    session: u32,
    user_ticks: u64,
    system_ticks: u64,
}

/// A process that nobody has asked the end of is still listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    Over,
}

impl Cost {
    /// The cost of `leader`, its descendants, and everything in its session.
    ///
    /// Both, because a process whose parent died belongs to somebody else, and because a
    /// process may leave the session.
    pub(super) fn of(leader: u32) -> anyhow::Result<Self> {
        let all = everything()?;
        let mut cost =
            Self { run_ns: 0, user_ticks: 0, system_ticks: 0, processes: BTreeSet::new() };
        for (pid, stat) in all.iter().filter(|(pid, _)| belongs(&all, leader, **pid)) {
            cost.run_ns += run_ns(*pid)?;
            cost.user_ticks += stat.user_ticks;
            cost.system_ticks += stat.system_ticks;
            cost.processes.insert(*pid);
        }
        Ok(cost)
    }

    pub(super) fn since(&self, before: &Self) -> anyhow::Result<Spent> {
        anyhow::ensure!(
            self.processes == before.processes,
            "processes came or went: {:?}, then {:?}",
            before.processes,
            self.processes
        );
        let user = (self.user_ticks - before.user_ticks) as f64;
        let system = (self.system_ticks - before.system_ticks) as f64;
        let run_ns = self.run_ns.checked_sub(before.run_ns).context("a thread went")?;
        let user_share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Ok(Spent { micros: run_ns as f64 / 1e3, user_share })
    }
}

/// The processes of `leader`, itself included.
pub(super) fn processes(leader: u32) -> anyhow::Result<Vec<u32>> {
    let all = everything()?;
    Ok(all.keys().copied().filter(|pid| belongs(&all, leader, *pid)).collect())
}

/// How long a processor has been busy since it started, whoever used it, in microseconds.
pub(super) fn busy_micros(cpu: usize) -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let name = format!("cpu{cpu} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    let line = line.with_context(|| format!("there is no processor {cpu}"))?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // User, nice, system, (idle, waiting,) interrupts hard and soft.
    let busy = ticks.iter().enumerate().filter(|(index, _)| matches!(index, 0..=2 | 5 | 6));
    let sum: u64 = busy.map(|(_, ticks)| ticks).sum();
    Ok(sum as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64)
}

fn belongs(all: &BTreeMap<u32, Stat>, leader: u32, pid: u32) -> bool {
    let mut at = pid;
    while let Some(stat) = all.get(&at) {
        if at == leader || stat.session == leader {
            return true;
        }
        at = stat.parent;
    }
    false
}

fn everything() -> anyhow::Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let entry = entry.context("cannot list /proc")?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the look.
        if let Ok(text) = fs::read_to_string(entry.path().join("stat")) {
            let stat = read(&text).with_context(|| format!("cannot read the stat of {pid}"))?;
            if stat.life == Life::Runs {
                all.insert(pid, stat);
            }
        }
    }
    Ok(all)
}

fn read(text: &str) -> Option<Stat> {
    // The name may hold spaces and brackets: what counts begins behind the last one.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let id = |index: usize| u32::try_from(number(index)?).ok();
    let life = if matches!(*fields.first()?, "Z" | "X") { Life::Over } else { Life::Runs };
    Some(Stat {
        life,
        parent: id(1)?,
        session: id(3)?,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
    })
}

fn run_ns(pid: u32) -> anyhow::Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for thread in fs::read_dir(Path::new(&folder)).with_context(|| format!("{folder} is gone"))? {
        let path =
            thread.with_context(|| format!("cannot list {folder}"))?.path().join("schedstat");
        let text =
            fs::read_to_string(&path).with_context(|| format!("{} is gone", path.display()))?;
        let first = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
        sum += first.with_context(|| format!("{} says {text}", path.display()))?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let line = "7 (a) b) S 1 7 5 0 -1 4194560 100 0 0 0 42 17 0 0 20 0 1 0 900 0 0";
        let stat = read(line).unwrap();
        assert_eq!((stat.parent, stat.session), (1, 5));
        assert_eq!((stat.user_ticks, stat.system_ticks), (42, 17));
        assert_eq!(stat.life, Life::Runs);
    }

    #[test]
    fn this_process_costs_something() {
        let me = std::process::id();
        let cost = Cost::of(me).unwrap();
        assert!(cost.processes.contains(&me));
        assert!(cost.run_ns > 0);
    }
}
