//! What happened to a gateway, and what was told of it.
//!
//! Whoever sees an [`Event`] tells the supervisor, which makes of it a [`Record`]: what is
//! logged, sent away, and shown by `mainstay alerts`. What an event means, and whether it is
//! told or suppressed, is decided by `mainstay-alert`.

use std::collections::BTreeMap;

use mainstay_model::{ConnectionId, Generation, Process, Slot};
use serde::{Deserialize, Serialize};

use crate::frame::Message;

/// Something that an operator should hear of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The master does its work.
    SystemUp { pid: u32 },
    /// The master ended, and nobody had asked for it.
    SystemDown { pid: u32, ending: String },
    /// The gateway ends because it was asked to.
    SystemStopped,
    /// Another process than the master ended, and nobody had asked for it.
    ProcessDied { process: Process, pid: u32, ending: String },
    /// Another process than the master does its work.
    ProcessUp { process: Process, pid: u32 },
    /// A process stood still, and is killed.
    ProcessHung { process: Process, pid: u32, reason: String },
    /// A process ended again, as it does again and again.
    CrashLooped { process: Process, pid: u32, ending: String },
    /// A process that ended again and again has lived long enough to be forgiven.
    CrashLoopEnded { process: Process, pid: u32 },
    /// The active worker went down and the standby became active.
    FailedOver { from: Slot, to: Slot },
    /// Active and standby changed places on purpose.
    Swapped { from: Slot, to: Slot },
    /// They did not: the standby is not ready to serve.
    SwapRefused,
    /// Connections wait.
    NoWorkerReady,
    /// They waited for too long, and are answered with 503.
    ConnectionsRefused,
    /// There is a worker that serves.
    WorkerServes { slot: Slot },
    /// A configuration is in service.
    Applied { generation: Generation },
    /// An earlier configuration is in service again, because somebody asked for it.
    RolledBack { generation: Generation },
    /// A configuration reached no client.
    ApplyRefused { reason: String },
    /// A configuration served clients, and the one before it does again.
    ApplyUndone { generation: Generation, reason: String },
    /// A worker died of what this connection asked for.
    ConnectionSuspected { slot: Slot, connection: ConnectionId, client: String },
    /// Of what a process left, so many connections could not be carried on.
    ConnectionsLost { slot: Slot, from_pid: u32, connections: u32 },
    /// Every process runs another program.
    Upgraded { version: String },
    /// Every process runs the former program, or it is not known which.
    UpgradeFailed { reason: String },
    /// The gateway is made of this: `a pair` or `one process`.
    Rearranged { arrangement: String },
    /// It is made of what it was made of, or it is not known of what.
    RearrangementFailed { reason: String },
    /// A process is no part of the gateway any more.
    ProcessUnneeded { process: Process },
}

/// The kind of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    SystemUp,
    SystemDown,
    SystemStopped,
    ProcessDied,
    ProcessUp,
    ProcessHung,
    CrashLooped,
    CrashLoopEnded,
    FailedOver,
    Swapped,
    SwapRefused,
    NoWorkerReady,
    ConnectionsRefused,
    WorkerServes,
    Applied,
    RolledBack,
    ApplyRefused,
    ApplyUndone,
    ConnectionSuspected,
    ConnectionsLost,
    Upgraded,
    UpgradeFailed,
    Rearranged,
    RearrangementFailed,
    ProcessUnneeded,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Info,
    /// Clients notice nothing; somebody should find out why.
    Warning,
    /// Clients notice, or will at the next fault.
    Critical,
}

/// What an event was to those who are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// An alert stands from here on.
    Raised,
    /// It stands still, or happened again since it was told last.
    Repeated,
    /// It stands no more.
    Cleared,
    /// Nothing that stands.
    Happened,
    /// Told a short while ago: it is counted, and kept from those who would be called for it.
    Suppressed,
}

/// What is told of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// From 1, without gaps for as long as the gateway runs.
    pub number: u64,
    pub unix_ms: u64,
    pub change: Change,
    pub kind: Kind,
    /// What is raised, repeated or cleared: the kind of the event that raised it.
    pub alert: Kind,
    /// Of the alert.
    pub severity: Severity,
    /// The process it is about, if it is about one.
    pub process: Option<Process>,
    /// When the alert was raised, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// How many were suppressed since it was told last.
    pub suppressed: u64,
    /// One sentence, one line.
    pub summary: String,
    /// The event's fields, as texts.
    pub details: BTreeMap<String, String>,
}

/// What stands, and what happened last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// As each was told last, oldest first.
    pub standing: Vec<Record>,
    /// Oldest first.
    pub latest: Vec<Record>,
}

/// How many there were, since the supervisor was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub events: BTreeMap<Kind, u64>,
    /// Alerts that stand now.
    pub standing: u64,
    pub outlets: Vec<OutletTally>,
}

/// What became of what was to be sent one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutletTally {
    /// `log`, `syslog` or `webhook`.
    pub outlet: String,
    pub delivered: u64,
    /// Attempts that failed; each is tried again, unless the other side said not to.
    pub failed: u64,
    /// Records that will never arrive: the queue was full, or they were refused.
    pub dropped: u64,
}

impl Message for Report {}

impl Event {
    /// A process ended that should not have.
    pub fn died(process: Process, pid: u32, ending: String) -> Self {
        match process {
            Process::Master => Self::SystemDown { pid, ending },
            Process::Supervisor | Process::Broadcast | Process::Worker(_) => {
                Self::ProcessDied { process, pid, ending }
            }
        }
    }

    /// A process does its work.
    pub const fn up(process: Process, pid: u32) -> Self {
        match process {
            Process::Master => Self::SystemUp { pid },
            Process::Supervisor | Process::Broadcast | Process::Worker(_) => {
                Self::ProcessUp { process, pid }
            }
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::SystemUp { .. } => Kind::SystemUp,
            Self::SystemDown { .. } => Kind::SystemDown,
            Self::SystemStopped => Kind::SystemStopped,
            Self::ProcessDied { .. } => Kind::ProcessDied,
            Self::ProcessUp { .. } => Kind::ProcessUp,
            Self::ProcessHung { .. } => Kind::ProcessHung,
            Self::CrashLooped { .. } => Kind::CrashLooped,
            Self::CrashLoopEnded { .. } => Kind::CrashLoopEnded,
            Self::FailedOver { .. } => Kind::FailedOver,
            Self::Swapped { .. } => Kind::Swapped,
            Self::SwapRefused => Kind::SwapRefused,
            Self::NoWorkerReady => Kind::NoWorkerReady,
            Self::ConnectionsRefused => Kind::ConnectionsRefused,
            Self::WorkerServes { .. } => Kind::WorkerServes,
            Self::Applied { .. } => Kind::Applied,
            Self::RolledBack { .. } => Kind::RolledBack,
            Self::ApplyRefused { .. } => Kind::ApplyRefused,
            Self::ApplyUndone { .. } => Kind::ApplyUndone,
            Self::ConnectionSuspected { .. } => Kind::ConnectionSuspected,
            Self::ConnectionsLost { .. } => Kind::ConnectionsLost,
            Self::Upgraded { .. } => Kind::Upgraded,
            Self::UpgradeFailed { .. } => Kind::UpgradeFailed,
            Self::Rearranged { .. } => Kind::Rearranged,
            Self::RearrangementFailed { .. } => Kind::RearrangementFailed,
            Self::ProcessUnneeded { .. } => Kind::ProcessUnneeded,
        }
    }

    /// Whether this process may tell of it. What ends and what comes up, the supervisor sees
    /// itself; who serves is the master's to say; a worker speaks of its own connections.
    pub fn may_come_from(&self, teller: Process) -> bool {
        match self {
            Self::SystemUp { .. }
            | Self::SystemDown { .. }
            | Self::SystemStopped
            | Self::ProcessDied { .. }
            | Self::ProcessUp { .. }
            | Self::CrashLooped { .. }
            | Self::CrashLoopEnded { .. }
            | Self::Upgraded { .. }
            | Self::UpgradeFailed { .. }
            | Self::Rearranged { .. }
            | Self::RearrangementFailed { .. }
            | Self::ProcessUnneeded { .. } => false,
            Self::ProcessHung { process, .. } => {
                teller == Process::Master && matches!(process, Process::Worker(_))
            }
            Self::FailedOver { .. }
            | Self::Swapped { .. }
            | Self::SwapRefused
            | Self::NoWorkerReady
            | Self::ConnectionsRefused
            | Self::WorkerServes { .. }
            | Self::Applied { .. }
            | Self::RolledBack { .. }
            | Self::ApplyRefused { .. }
            | Self::ApplyUndone { .. }
            | Self::ConnectionsLost { .. } => teller == Process::Master,
            // Of one process, the part that speaks for the others is a master.
            Self::ConnectionSuspected { slot, .. } => {
                [Process::Worker(*slot), Process::Master].contains(&teller)
            }
        }
    }
}

impl Kind {
    /// As it is written: `process_died`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SystemUp => "system_up",
            Self::SystemDown => "system_down",
            Self::SystemStopped => "system_stopped",
            Self::ProcessDied => "process_died",
            Self::ProcessUp => "process_up",
            Self::ProcessHung => "process_hung",
            Self::CrashLooped => "crash_looped",
            Self::CrashLoopEnded => "crash_loop_ended",
            Self::FailedOver => "failed_over",
            Self::Swapped => "swapped",
            Self::SwapRefused => "swap_refused",
            Self::NoWorkerReady => "no_worker_ready",
            Self::ConnectionsRefused => "connections_refused",
            Self::WorkerServes => "worker_serves",
            Self::Applied => "applied",
            Self::RolledBack => "rolled_back",
            Self::ApplyRefused => "apply_refused",
            Self::ApplyUndone => "apply_undone",
            Self::ConnectionSuspected => "connection_suspected",
            Self::ConnectionsLost => "connections_lost",
            Self::Upgraded => "upgraded",
            Self::UpgradeFailed => "upgrade_failed",
            Self::Rearranged => "rearranged",
            Self::RearrangementFailed => "rearrangement_failed",
            Self::ProcessUnneeded => "process_unneeded",
        }
    }
}

impl Severity {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Change {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Repeated => "repeated",
            Self::Cleared => "cleared",
            Self::Happened => "happened",
            Self::Suppressed => "suppressed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &Event) -> serde_json::Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn an_event_is_called_the_same_everywhere() {
        let (process, pid) = (Process::Broadcast, 7);
        let ending = || "SIGKILL".to_owned();
        for event in [
            Event::died(Process::Master, pid, ending()),
            Event::died(process, pid, ending()),
            Event::up(Process::Master, pid),
            Event::up(process, pid),
            Event::CrashLooped { process, pid, ending: ending() },
            Event::NoWorkerReady,
            Event::ConnectionsLost { slot: Slot::One, from_pid: 3, connections: 1 },
        ] {
            let name = event.kind().name();
            assert_eq!(written(&event)["kind"], name);
            assert_eq!(serde_json::to_value(event.kind()).unwrap(), name);
            assert_eq!(serde_json::from_value::<Event>(written(&event)).unwrap(), event);
        }
        let named = |change: Change, severity: Severity| {
            assert_eq!(serde_json::to_value(change).unwrap(), change.name());
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        };
        named(Change::Raised, Severity::Info);
        named(Change::Repeated, Severity::Warning);
        named(Change::Cleared, Severity::Critical);
    }

    #[test]
    fn nobody_tells_of_what_is_not_its_to_tell() {
        let [one, two] = Slot::ALL;
        let worker = Process::Worker(one);
        let hung = |process| Event::ProcessHung { process, pid: 7, reason: String::new() };
        let suspect = |slot| Event::ConnectionSuspected {
            slot,
            connection: ConnectionId(7),
            client: String::new(),
        };
        let cases = [
            (Event::FailedOver { from: one, to: two }, Process::Master, true),
            (Event::FailedOver { from: one, to: two }, worker, false),
            (hung(worker), Process::Master, true),
            (hung(worker), worker, false),
            (hung(Process::Broadcast), Process::Master, false),
            (suspect(one), worker, true),
            (suspect(two), worker, false),
            // For the worker that is a part of its process.
            (suspect(one), Process::Master, true),
            (suspect(one), Process::Broadcast, false),
            (Event::SystemStopped, Process::Master, false),
            (Event::died(worker, 7, String::new()), Process::Master, false),
        ];
        for (event, teller, expected) in cases {
            assert_eq!(event.may_come_from(teller), expected, "{event:?} from {teller}");
        }
    }
}
