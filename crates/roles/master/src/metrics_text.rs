//! What is measured, in the text format of Prometheus.
//!
//! Counters of a worker begin anew with each of its lives, as Prometheus expects of a process
//! that was restarted; so they carry the slot and not the process number.

use std::fmt::Write as _;

use mainstay_ledger::Counter;
use mainstay_model::{Process, Slot};
use mainstay_wire::command::{ProcessStatus, State, Status};
use mainstay_wire::event;
use mainstay_wire::session::Figures;

use crate::status::Tally;

/// A gateway at one instant, with everything that is counted.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What the gateway is called.
    pub(crate) gateway: String,
    pub(crate) status: Status,
    pub(crate) tally: Tally,
    /// Connections that the master answered with 503.
    pub(crate) refused: u64,
    /// As the supervisor said last.
    pub(crate) events: event::Tally,
    pub(crate) workers: Vec<Metered>,
    /// How many are logged in.
    pub(crate) sessions: usize,
    pub(crate) session_figures: Figures,
}

/// What one worker counted.
#[derive(Clone, Debug)]
pub(crate) struct Metered {
    pub(crate) slot: Slot,
    pub(crate) counts: Vec<(Counter, u64)>,
}

/// What a number is to Prometheus.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
}

/// A metric that every worker has, with a further label if it has one.
type WorkerMetric = (&'static str, Kind, &'static str, &'static [(&'static str, Counter)]);

const WORKER_METRICS: [WorkerMetric; 16] = [
    (
        "mainstay_connections",
        Kind::Gauge,
        "Open client connections.",
        &[("", Counter::Connections)],
    ),
    (
        "mainstay_upstream_idle_connections",
        Kind::Gauge,
        "Idle connections to upstream servers.",
        &[("", Counter::Pooled)],
    ),
    (
        "mainstay_accepted_total",
        Kind::Counter,
        "Client connections accepted or handed over new.",
        &[("", Counter::Accepted)],
    ),
    (
        "mainstay_worker_adopted_total",
        Kind::Counter,
        "Client connections taken over from another process.",
        &[("", Counter::Adopted)],
    ),
    (
        "mainstay_worker_adopted_closed_total",
        Kind::Counter,
        "Adopted connections that could not be reconciled and were closed.",
        &[("", Counter::AdoptedClosed)],
    ),
    (
        "mainstay_requests_total",
        Kind::Counter,
        "Exchanges that ended, by the class of their status.",
        &[
            ("code=\"1xx\"", Counter::Responses1xx),
            ("code=\"2xx\"", Counter::Responses2xx),
            ("code=\"3xx\"", Counter::Responses3xx),
            ("code=\"4xx\"", Counter::Responses4xx),
            ("code=\"5xx\"", Counter::Responses5xx),
            ("code=\"aborted\"", Counter::Aborted),
        ],
    ),
    (
        "mainstay_client_bytes_total",
        Kind::Counter,
        "Bytes from and to clients.",
        &[("direction=\"in\"", Counter::BytesIn), ("direction=\"out\"", Counter::BytesOut)],
    ),
    (
        "mainstay_upstream_connects_total",
        Kind::Counter,
        "Connections opened to upstream servers.",
        &[("", Counter::UpstreamConnects)],
    ),
    (
        "mainstay_upstream_failures_total",
        Kind::Counter,
        "Connections to upstream servers that failed.",
        &[("", Counter::UpstreamFailures)],
    ),
    (
        "mainstay_retries_total",
        Kind::Counter,
        "Exchanges given to a second server.",
        &[("", Counter::Retries)],
    ),
    (
        "mainstay_timeouts_total",
        Kind::Counter,
        "Waits ended by their limit.",
        &[("", Counter::Timeouts)],
    ),
    (
        "mainstay_refused_requests_total",
        Kind::Counter,
        "Requests refused because of their form.",
        &[("", Counter::Refused)],
    ),
    ("mainstay_tunnels_total", Kind::Counter, "Tunnels that ended.", &[("", Counter::Tunnels)]),
    (
        "mainstay_access_log_lost_total",
        Kind::Counter,
        "Lines of the access log that could not be written.",
        &[("", Counter::LogLost)],
    ),
    (
        "mainstay_access_denied_total",
        Kind::Counter,
        "Requests without the session that they need, by what they were answered.",
        &[
            ("answer=\"refused\"", Counter::AccessRefused),
            ("answer=\"redirected\"", Counter::AccessRedirected),
        ],
    ),
    (
        "mainstay_session_ended_total",
        Kind::Counter,
        "Exchanges and tunnels ended because their session did.",
        &[("", Counter::SessionEnded)],
    ),
];

/// The whole page.
pub(crate) fn render(snapshot: &Snapshot) -> String {
    let mut page = Page::of(&snapshot.gateway);
    processes(&mut page, &snapshot.status);
    gateway(&mut page, snapshot);
    events(&mut page, &snapshot.events);
    sessions(&mut page, snapshot);
    for (name, kind, help, counters) in WORKER_METRICS {
        page.begin(name, kind, help);
        for worker in &snapshot.workers {
            for (label, counter) in counters {
                let mut labels = format!("slot=\"{}\"", worker.slot);
                if !label.is_empty() {
                    labels.push(',');
                    labels.push_str(label);
                }
                page.sample(name, &labels, worker.count(*counter));
            }
        }
    }
    page.text
}

fn processes(page: &mut Page, status: &Status) {
    type Value = fn(&ProcessStatus) -> u64;
    let metrics: [(&str, Kind, &str, Value); 6] = [
        ("mainstay_up", Kind::Gauge, "Whether the process does its work.", |process| {
            u64::from(!matches!(process.state, State::Down | State::Starting))
        }),
        (
            "mainstay_process_restarts_total",
            Kind::Counter,
            "How often the process was started again after a death.",
            |process| process.restarts,
        ),
        (
            "mainstay_process_start_time_seconds",
            Kind::Gauge,
            "When the process was started, in seconds since 1970.",
            |process| process.since_unix,
        ),
        (
            "mainstay_process_resident_bytes",
            Kind::Gauge,
            "Resident memory, the keeper's included.",
            |process| process.memory_bytes,
        ),
        (
            "mainstay_process_memory_max_bytes",
            Kind::Gauge,
            "Memory that the process may have of its own; 0 if it has no limit.",
            |process| process.memory_max_bytes.unwrap_or(0),
        ),
        (
            "mainstay_process_cpu_milliseconds_total",
            Kind::Counter,
            "Processor time used, the keeper's included.",
            |process| process.cpu_ms,
        ),
    ];
    for (name, kind, help, value) in metrics {
        page.begin(name, kind, help);
        for process in &status.processes {
            let mut labels = format!("process=\"{}\"", process.process);
            if let Some(index) = process.process.index() {
                labels.push_str(&format!(",index=\"{index}\""));
            }
            page.sample(name, &labels, value(process));
        }
    }
    page.begin("mainstay_active", Kind::Gauge, "Whether the worker in this slot serves.");
    for process in &status.processes {
        // The one process that does everything is in a slot of its own.
        let slot = match (process.process, process.state, status.active) {
            (Process::Worker(slot), _, _) => Some(slot),
            (Process::Master, State::Active, slot) => slot,
            _ => None,
        };
        if let Some(slot) = slot {
            let active = u64::from(process.state == State::Active);
            page.sample("mainstay_active", &format!("slot=\"{slot}\""), active);
        }
    }
}

fn gateway(page: &mut Page, snapshot: &Snapshot) {
    let Snapshot { status, tally, refused, .. } = snapshot;
    page.single(
        "mainstay_generation",
        Kind::Gauge,
        "The configuration in service.",
        status.generation.number(),
    );
    let metrics = [
        (
            "mainstay_failovers_total",
            "How often the standby took over because the active worker went down.",
            tally.failovers,
        ),
        ("mainstay_swaps_total", "How often active and standby were exchanged.", tally.swaps),
        (
            "mainstay_handed_over_total",
            "Connections that the master accepted and gave to a worker.",
            tally.handed_over,
        ),
        (
            "mainstay_held_expired_total",
            "Connections that the master answered because no worker was ready.",
            *refused,
        ),
        ("mainstay_adoptions_total", "Estates of other processes taken over.", tally.adoptions),
        ("mainstay_adopted_total", "Connections taken over that went on.", tally.adopted),
        (
            "mainstay_adopted_fresh_total",
            "Connections taken over of which nothing had been read.",
            tally.adopted_fresh,
        ),
        (
            "mainstay_adopted_closed_total",
            "Connections that could not be reconciled and were closed.",
            tally.adopted_closed,
        ),
        (
            "mainstay_suspects_total",
            "Connections that were being worked on when their process died by its own fault.",
            tally.suspects,
        ),
    ];
    for (name, help, value) in metrics {
        page.single(name, Kind::Counter, help, value);
    }
}

fn events(page: &mut Page, events: &event::Tally) {
    let name = "mainstay_events_total";
    page.begin(name, Kind::Counter, "What happened since the supervisor was started.");
    for (kind, count) in &events.events {
        page.sample(name, &format!("event=\"{}\"", kind.name()), *count);
    }
    let help = "Alerts that stand.";
    page.single("mainstay_alerts_standing", Kind::Gauge, help, events.standing);
    let name = "mainstay_event_deliveries_total";
    page.begin(name, Kind::Counter, "Events that were sent on, by what came of it.");
    for tally in &events.outlets {
        let results =
            [("delivered", tally.delivered), ("failed", tally.failed), ("dropped", tally.dropped)];
        for (result, count) in results {
            let labels = format!("outlet=\"{}\",result=\"{result}\"", tally.outlet);
            page.sample(name, &labels, count);
        }
    }
}

fn sessions(page: &mut Page, snapshot: &Snapshot) {
    let Figures { sessions_max, number, journal_bytes, commits, commit_micros } =
        snapshot.session_figures;
    let metrics = [
        ("mainstay_sessions", Kind::Gauge, "Sessions that there are.", snapshot.sessions as u64),
        ("mainstay_sessions_max", Kind::Gauge, "Sessions that there may be.", sessions_max),
        ("mainstay_session_updates_total", Kind::Counter, "Changes of sessions.", number),
        (
            "mainstay_session_journal_bytes",
            Kind::Gauge,
            "Bytes of the journal of sessions since its last snapshot.",
            journal_bytes,
        ),
        (
            "mainstay_session_commits_total",
            Kind::Counter,
            "Waits for the disk by the journal of sessions.",
            commits,
        ),
        (
            "mainstay_session_commit_microseconds_total",
            Kind::Counter,
            "How long the oldest change of each of these waits took to be on the disk.",
            commit_micros,
        ),
    ];
    for (name, kind, help, value) in metrics {
        page.single(name, kind, help, value);
    }
}

impl Metered {
    fn count(&self, counter: Counter) -> u64 {
        self.counts.iter().find(|(of, _)| *of == counter).map_or(0, |(_, count)| *count)
    }
}

/// The text so far. Writing to a `String` cannot fail.
struct Page {
    text: String,
    /// The label of every sample.
    gateway: String,
}

impl Page {
    fn of(gateway: &str) -> Self {
        Self { text: String::new(), gateway: format!("gateway=\"{gateway}\"") }
    }

    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let line = format!("{name}{{{}{comma}{labels}}} {value}", self.gateway);
        self.line(format_args!("{line}"));
    }

    fn single(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.begin(name, kind, help);
        self.sample(name, "", value);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mainstay_model::Generation;

    use super::*;

    fn snapshot() -> Snapshot {
        let process = |process, state| ProcessStatus {
            process,
            state,
            pid: 7,
            keeper_pid: None,
            since_unix: 1,
            restarts: 2,
            connections: 3,
            requests: 4,
            adopted: 5,
            memory_bytes: 6,
            memory_max_bytes: Some(8),
            cpu_ms: 7,
        };
        Snapshot {
            gateway: "edge-1".to_owned(),
            status: Status {
                generation: Generation::FIRST,
                active: Some(Slot::Two),
                failovers: 1,
                processes: vec![
                    process(Process::Supervisor, State::Running),
                    process(Process::Worker(Slot::One), State::Starting),
                    process(Process::Worker(Slot::Two), State::Active),
                ],
            },
            tally: Tally { failovers: 1, ..Tally::default() },
            refused: 0,
            events: event::Tally {
                events: [(event::Kind::FailedOver, 3)].into(),
                standing: 1,
                outlets: vec![event::OutletTally {
                    outlet: "webhook".to_owned(),
                    delivered: 4,
                    failed: 2,
                    dropped: 0,
                }],
            },
            sessions: 12,
            session_figures: Figures { number: 34, ..Figures::default() },
            workers: vec![Metered { slot: Slot::Two, counts: vec![(Counter::Responses2xx, 9)] }],
        }
    }

    #[test]
    fn one_process_is_active_in_its_slot() {
        let mut snapshot = snapshot();
        snapshot.status.processes.retain(|process| process.state == State::Active);
        snapshot.status.processes[0].process = Process::Master;
        let text = render(&snapshot);
        assert!(text.contains("\nmainstay_active{gateway=\"edge-1\",slot=\"two\"} 1\n"), "{text}");
    }

    #[test]
    fn what_an_alert_looks_at_is_there() {
        let page = render(&snapshot());
        for line in [
            "# TYPE mainstay_requests_total counter",
            "mainstay_requests_total{gateway=\"edge-1\",slot=\"two\",code=\"2xx\"} 9",
            "mainstay_active{gateway=\"edge-1\",slot=\"one\"} 0",
            "mainstay_active{gateway=\"edge-1\",slot=\"two\"} 1",
            "mainstay_up{gateway=\"edge-1\",process=\"worker one\",index=\"1\"} 0",
            "mainstay_up{gateway=\"edge-1\",process=\"supervisor\"} 1",
            "mainstay_failovers_total{gateway=\"edge-1\"} 1",
            "mainstay_events_total{gateway=\"edge-1\",event=\"failed_over\"} 3",
            "mainstay_alerts_standing{gateway=\"edge-1\"} 1",
            "mainstay_event_deliveries_total{gateway=\"edge-1\",outlet=\"webhook\",result=\"failed\"} 2",
            "mainstay_sessions{gateway=\"edge-1\"} 12",
            "mainstay_session_updates_total{gateway=\"edge-1\"} 34",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn every_metric_is_explained_once_and_before_its_samples() {
        let page = render(&snapshot());
        let mut explained = BTreeSet::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap();
                assert!(explained.insert(name), "{name} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(explained.contains(name), "{name} is not explained");
            }
        }
    }
}
