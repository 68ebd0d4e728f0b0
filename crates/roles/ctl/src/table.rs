//! A status as a table for people.

use mainstay_model::Process;
use mainstay_wire::command::{ProcessStatus, State, Status};

const COLUMNS: usize = 11;

const HEADINGS: [&str; COLUMNS] = [
    "PROCESS",
    "ROLE",
    "PID",
    "UP",
    "RESTARTS",
    "CONNECTIONS",
    "REQUESTS",
    "ADOPTED",
    "MEMORY",
    "OF",
    "CPU",
];

/// The columns that hold words, at the left; the others hold numbers.
const WORD_COLUMNS: usize = 2;

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// The whole status, a line for each process. `now_unix` is in seconds since 1970.
pub(crate) fn render(status: &Status, now_unix: u64) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(status.processes.iter().map(|process| row(process, now_unix)));
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }

    let mut text = summary(status);
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padded = if index < WORD_COLUMNS {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
            line.push_str(&padded);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn summary(status: &Status) -> String {
    let is_one_process = status.processes.iter().any(does_everything);
    let serves = match status.active {
        Some(_) if is_one_process => "one process serves".to_owned(),
        Some(slot) => format!("worker {slot} serves"),
        None => "NO WORKER SERVES".to_owned(),
    };
    let failovers = match status.failovers {
        1 => "1 failover".to_owned(),
        number => format!("{number} failovers"),
    };
    format!("generation {}, {serves}, {failovers}\n\n", status.generation)
}

/// A master serves where there is no pair.
fn does_everything(status: &ProcessStatus) -> bool {
    status.process == Process::Master && status.state == State::Active
}

fn row(status: &ProcessStatus, now_unix: u64) -> [String; COLUMNS] {
    let is_there = status.state != State::Down;
    let if_there = |text: String| if is_there { text } else { NOTHING.to_owned() };
    let serves = matches!(status.process, Process::Worker(_)) || does_everything(status);
    // Only workers serve. Should another ever count something, it is not hidden.
    let count = |number: u64| {
        if_there(if serves || number > 0 { number.to_string() } else { NOTHING.to_owned() })
    };
    [
        status.process.to_string(),
        role(status.state).to_owned(),
        if_there(status.pid.to_string()),
        if_there(show_seconds(now_unix.saturating_sub(status.since_unix))),
        status.restarts.to_string(),
        count(status.connections),
        count(status.requests),
        count(status.adopted),
        if_there(show_bytes(status.memory_bytes)),
        status.memory_max_bytes.map_or_else(|| NOTHING.to_owned(), show_bytes),
        if_there(show_cpu(status.cpu_ms)),
    ]
}

const fn role(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Standby => "standby",
        State::Starting => "starting",
        State::Running => "running",
        State::Down => "down",
    }
}

/// The two largest units: `3d 4h`, `5m 12s`, `7s`.
pub(crate) fn show_seconds(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {}m", minutes % 60),
        86_400.. => format!("{days}d {}h", hours % 24),
    }
}

/// `12.3 MiB`
fn show_bytes(bytes: u64) -> String {
    let (unit, shift) = match bytes {
        0..0x10_0000 => ("KiB", 10),
        0x10_0000..0x4000_0000 => ("MiB", 20),
        0x4000_0000.. => ("GiB", 30),
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Seconds with two digits, then as a duration.
fn show_cpu(ms: u64) -> String {
    if ms < 60_000 {
        format!("{}.{:02}s", ms / 1_000, ms % 1_000 / 10)
    } else {
        show_seconds(ms / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use mainstay_model::{Generation, Slot};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn process(process: Process, state: State, pid: u32) -> ProcessStatus {
        ProcessStatus {
            process,
            state,
            pid,
            keeper_pid: None,
            since_unix: NOW,
            restarts: 0,
            connections: 0,
            requests: 0,
            adopted: 0,
            memory_bytes: 3 << 20,
            memory_max_bytes: None,
            cpu_ms: 40,
        }
    }

    #[test]
    fn a_gateway_at_work() {
        let status = Status {
            generation: Generation::FIRST,
            active: Some(Slot::Two),
            failovers: 1,
            processes: vec![
                ProcessStatus {
                    since_unix: NOW - 90_061,
                    ..process(Process::Supervisor, State::Running, 101)
                },
                ProcessStatus {
                    since_unix: NOW - 3_700,
                    restarts: 2,
                    cpu_ms: 59_999,
                    ..process(Process::Master, State::Running, 102)
                },
                ProcessStatus {
                    since_unix: NOW - 3,
                    restarts: 11,
                    memory_bytes: 48 * 1024 * 1024 + 512 * 1024,
                    ..process(Process::Worker(Slot::One), State::Standby, 4_194_303)
                },
                ProcessStatus {
                    since_unix: NOW - 312,
                    connections: 10_000,
                    requests: 123_456_789,
                    adopted: 9_998,
                    memory_bytes: 3 << 30,
                    memory_max_bytes: Some(6 << 30),
                    cpu_ms: 7_384_000,
                    ..process(Process::Worker(Slot::Two), State::Active, 104)
                },
            ],
        };
        assert_snapshot!(render(&status, NOW), @r"
        generation 1, worker two serves, 1 failover

        PROCESS     ROLE         PID      UP  RESTARTS  CONNECTIONS   REQUESTS  ADOPTED    MEMORY       OF     CPU
        supervisor  running      101   1d 1h         0            -          -        -   3.0 MiB        -   0.04s
        master      running      102   1h 1m         2            -          -        -   3.0 MiB        -  59.99s
        worker one  standby  4194303      3s        11            0          0        0  48.5 MiB        -   0.04s
        worker two  active       104  5m 12s         0        10000  123456789     9998   3.0 GiB  6.0 GiB   2h 3m
        ");
    }

    #[test]
    fn a_gateway_that_serves_nobody() {
        let status = Status {
            generation: Generation::FIRST,
            active: None,
            failovers: 0,
            processes: vec![
                process(Process::Master, State::Running, 102),
                ProcessStatus {
                    restarts: 7,
                    since_unix: 0,
                    memory_bytes: 0,
                    ..process(Process::Worker(Slot::One), State::Down, 0)
                },
                process(Process::Worker(Slot::Two), State::Starting, 105),
            ],
        };
        assert_snapshot!(render(&status, NOW), @r"
        generation 1, NO WORKER SERVES, 0 failovers

        PROCESS     ROLE      PID  UP  RESTARTS  CONNECTIONS  REQUESTS  ADOPTED   MEMORY  OF    CPU
        master      running   102  0s         0            -         -        -  3.0 MiB   -  0.04s
        worker one  down        -   -         7            -         -        -        -   -      -
        worker two  starting  105  0s         0            0         0        0  3.0 MiB   -  0.04s
        ");
    }

    #[test]
    fn a_gateway_that_is_one_process() {
        let status = Status {
            generation: Generation::FIRST,
            active: Some(Slot::One),
            failovers: 0,
            processes: vec![
                process(Process::Supervisor, State::Running, 101),
                ProcessStatus { adopted: 7, ..process(Process::Master, State::Active, 102) },
            ],
        };
        assert_snapshot!(render(&status, NOW), @r"
        generation 1, one process serves, 0 failovers

        PROCESS     ROLE     PID  UP  RESTARTS  CONNECTIONS  REQUESTS  ADOPTED   MEMORY  OF    CPU
        supervisor  running  101  0s         0            -         -        -  3.0 MiB   -  0.04s
        master      active   102  0s         0            0         0        7  3.0 MiB   -  0.04s
        ");
    }

    #[test]
    fn measures() {
        let cases = [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3_599, "59m 59s"), (86_400, "1d 0h")];
        for (seconds, expected) in cases {
            assert_eq!(show_seconds(seconds), expected, "{seconds}");
        }
        let cases = [(0, "0.0 KiB"), (1_536, "1.5 KiB"), ((1 << 20) - 1, "1023.9 KiB")];
        for (bytes, expected) in cases {
            assert_eq!(show_bytes(bytes), expected, "{bytes}");
        }
        let cases = [(0, "0.00s"), (1_239, "1.23s"), (60_000, "1m 0s")];
        for (ms, expected) in cases {
            assert_eq!(show_cpu(ms), expected, "{ms}");
        }
    }
}
