//! The figures as Markdown, and whether the targets are met.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::client::Latency;
use super::contestant::Contestant;
use super::cost::Spent;
use super::numbers::{median, spread};
use super::scenario::Scenario;
use super::wrk::Done;

/// The most that Mainstay may cost, as a share of another's processor time.
const TARGETS: [(Scenario, f64, f64); 4] = [
    (Scenario::Keepalive1k, 0.75, 0.70),
    (Scenario::Keepalive64k, 0.90, 0.60),
    (Scenario::Upload64k, 0.90, 0.70),
    (Scenario::Close1k, 0.95, 0.85),
];

/// The most user time for one request at `ka1k`, in microseconds.
const USER_MICROS_MAX: f64 = 5.0;

const RIVALS: [Contestant; 2] = [Contestant::Nginx, Contestant::Haproxy];

/// One measurement of one contestant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    Cost {
        spent: Spent,
        done: Done,
        /// How long anything else used the proxy's processor.
        others_micros: f64,
    },
    Latency(Latency),
}

/// Everything that was measured, in the order of the rounds.
pub(super) struct Report {
    machine: Vec<String>,
    command: String,
    /// Requests for each second in the latency scenario.
    pub(super) rate: Option<u32>,
    samples: BTreeMap<(Scenario, Contestant), Vec<Sample>>,
}

/// One promise and what was found.
struct Target {
    promise: String,
    found: f64,
    limit: f64,
}

impl Sample {
    /// Processor time for one request, in microseconds.
    fn micros(&self) -> Option<f64> {
        match self {
            Self::Cost { spent, done, .. } => Some(spent.micros / done.requests),
            Self::Latency(_) => None,
        }
    }

    fn user_micros(&self) -> Option<f64> {
        match self {
            Self::Cost { spent, done, .. } => Some(spent.micros * spent.user_share / done.requests),
            Self::Latency(_) => None,
        }
    }

    pub(super) fn requests_per_second(&self) -> Option<f64> {
        match self {
            Self::Cost { done, .. } => Some(done.requests / done.seconds),
            Self::Latency(_) => None,
        }
    }

    /// How much of its processor the proxy used, in percent.
    fn busy_percent(&self) -> Option<f64> {
        match self {
            Self::Cost { spent, done, .. } => Some(spent.micros / done.seconds / 1e4),
            Self::Latency(_) => None,
        }
    }

    /// How much of it others used. More than a little, and the measurement is worth little.
    fn others_percent(&self) -> Option<f64> {
        match self {
            Self::Cost { done, others_micros, .. } => {
                Some((others_micros / done.seconds / 1e4).max(0.0))
            }
            Self::Latency(_) => None,
        }
    }

    const fn latency(&self) -> Option<Latency> {
        match self {
            Self::Cost { .. } => None,
            Self::Latency(latency) => Some(*latency),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = (self.micros(), self.user_micros(), self.requests_per_second());
        let shares = (self.busy_percent(), self.others_percent());
        match (figures, shares, self.latency()) {
            ((Some(micros), Some(user), Some(rate)), (Some(busy), Some(others)), _) => write!(
                f,
                "{micros:7.2} µs/request, {user:5.2} user, {rate:6.0}/s, {busy:3.0} % busy, \
                 {others:2.0} % others"
            ),
            (_, _, Some(Latency { p50, p99, p999 })) => {
                write!(f, "p50 {p50:.0} µs, p99 {p99:.0} µs, p99.9 {p999:.0} µs")
            }
            _ => Ok(()),
        }
    }
}

impl Report {
    pub(super) const fn new(machine: Vec<String>, command: String) -> Self {
        Self { machine, command, rate: None, samples: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, scenario: Scenario, contestant: Contestant, sample: Sample) {
        self.samples.entry((scenario, contestant)).or_default().push(sample);
    }

    pub(super) fn samples(
        &self,
        scenario: Scenario,
        contestant: Contestant,
    ) -> impl Iterator<Item = &Sample> {
        self.samples.get(&(scenario, contestant)).into_iter().flatten()
    }

    /// How many targets were measured and missed.
    pub(super) fn missed(&self) -> usize {
        self.targets().iter().filter(|target| !target.is_met()).count()
    }

    /// The whole report.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "`{}`\n", self.command)?;
        for line in &self.machine {
            writeln!(out, "- {line}")?;
        }
        self.write_costs(out)?;
        self.write_latency(out)?;
        let targets = self.targets();
        if !targets.is_empty() {
            writeln!(out, "\n| target | found | limit | |\n| --- | ---: | ---: | --- |")?;
        }
        for target in targets {
            let verdict = if target.is_met() { "PASS" } else { "FAIL" };
            let Target { promise, found, limit } = target;
            writeln!(out, "| {promise} | {found:.2} | {limit:.2} | {verdict} |")?;
        }
        Ok(())
    }

    fn write_costs(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "\nProcessor time for one request, all processes of the proxy; median [least–most] \
             of the rounds. A ratio is the median of the ratios inside each round.\n\n\
             | scenario | proxy | µs | µs user | requests/s | % busy | % others | × nginx | × HAProxy |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for (scenario, contestant) in self.samples.keys().copied() {
            if scenario == Scenario::Latency {
                continue;
            }
            let figures = |figure: fn(&Sample) -> Option<f64>, digits| {
                let all: Vec<f64> = self.samples(scenario, contestant).filter_map(figure).collect();
                spread(&all, digits)
            };
            let ratios = RIVALS.map(|rival| spread(&self.ratios(scenario, contestant, rival), 2));
            writeln!(
                out,
                "| {scenario} | {contestant} | {} | {} | {} | {} | {} | {} |",
                figures(Sample::micros, 2),
                figures(Sample::user_micros, 2),
                figures(Sample::requests_per_second, 0),
                figures(Sample::busy_percent, 0),
                figures(Sample::others_percent, 0),
                ratios.join(" | ")
            )?;
        }
        Ok(())
    }

    fn write_latency(&self, out: &mut String) -> fmt::Result {
        let Some(rate) = self.rate else { return Ok(()) };
        writeln!(
            out,
            "\nLatency in µs at {rate} requests/s on 64 connections, counted from when each \
             request was due; median [least–most] of the rounds.\n\n\
             | proxy | p50 | p99 | p99.9 |\n| --- | ---: | ---: | ---: |"
        )?;
        for (scenario, contestant) in self.samples.keys().copied() {
            if scenario != Scenario::Latency {
                continue;
            }
            let of = |part: fn(Latency) -> f64| {
                let samples = self.samples(scenario, contestant);
                let all: Vec<f64> = samples.filter_map(Sample::latency).map(part).collect();
                spread(&all, 0)
            };
            let (p50, p99, p999) = (of(|it| it.p50), of(|it| it.p99), of(|it| it.p999));
            writeln!(out, "| {contestant} | {p50} | {p99} | {p999} |")?;
        }
        Ok(())
    }

    /// The cost of one over the cost of another, round by round.
    fn ratios(&self, scenario: Scenario, one: Contestant, other: Contestant) -> Vec<f64> {
        let pairs = self.samples(scenario, one).zip(self.samples(scenario, other));
        pairs.filter_map(|(one, other)| Some(one.micros()? / other.micros()?)).collect()
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for (scenario, nginx, haproxy) in TARGETS {
            for (rival, limit) in [(Contestant::Nginx, nginx), (Contestant::Haproxy, haproxy)] {
                let ratios = self.ratios(scenario, Contestant::Mainstay, rival);
                let promise = format!("{scenario}: processor time × {rival}");
                targets.extend(Target::of(promise, median(ratios.into_iter()), Some(limit)));
            }
        }
        let user = self.samples(Scenario::Keepalive1k, Contestant::Mainstay);
        let user = median(user.filter_map(Sample::user_micros));
        let promise = "ka1k: µs of user time".to_owned();
        targets.extend(Target::of(promise, user, Some(USER_MICROS_MAX)));
        for rival in RIVALS {
            let promise = format!("latency: p99 in µs, {rival}'s is the limit");
            let ours = self.p99(Contestant::Mainstay);
            targets.extend(Target::of(promise, ours, self.p99(rival)));
        }
        targets
    }

    fn p99(&self, contestant: Contestant) -> Option<f64> {
        let samples = self.samples(Scenario::Latency, contestant);
        median(samples.filter_map(Sample::latency).map(|latency| latency.p99))
    }
}

impl Target {
    /// None if either was not measured.
    fn of(promise: String, found: Option<f64>, limit: Option<f64>) -> Option<Self> {
        Some(Self { promise, found: found?, limit: limit? })
    }

    fn is_met(&self) -> bool {
        self.found <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(micros: f64) -> Sample {
        Sample::Cost {
            spent: Spent { micros: micros * 1000.0, user_share: 0.5 },
            done: Done { requests: 1000.0, seconds: 1.0 },
            others_micros: 0.0,
        }
    }

    fn report(ours: [f64; 3], nginx: [f64; 3]) -> Report {
        let mut report = Report::new(Vec::new(), String::new());
        for (ours, nginx) in ours.into_iter().zip(nginx) {
            report.add(Scenario::Close1k, Contestant::Mainstay, cost(ours));
            report.add(Scenario::Close1k, Contestant::Nginx, cost(nginx));
        }
        report
    }

    #[test]
    fn ratios_are_made_inside_a_round() {
        // The machine was twice as slow in the second round, for both.
        let report = report([9.0, 18.0, 9.0], [10.0, 20.0, 10.0]);
        assert_eq!(report.missed(), 0, "{}", report.markdown());
        assert!(report.markdown().contains("0.90 [0.90–0.90]"));
    }

    #[test]
    fn a_missed_target_is_said() {
        let report = report([10.0, 10.0, 10.0], [10.0, 10.0, 10.0]);
        assert_eq!(report.missed(), 1);
        assert!(report.markdown().contains("| 1.00 | 0.95 | FAIL |"));
    }
}
