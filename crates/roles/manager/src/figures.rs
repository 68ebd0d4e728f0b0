//! What this manager counts, and how it is written for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay_opamp::refusal::Refusal;

/// Bucket `i` counts durations below 2^i µs; the last one everything else.
pub(crate) const BUCKETS: usize = 26;

/// Counters, from the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Connections that are open.
    pub(crate) connections: Gauge,
    pub(crate) connections_taken: Counter,
    /// Closed before a byte was read: too many.
    pub(crate) connections_shed: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) exchanges: Counter,
    /// Replies that were sent again.
    pub(crate) repeats: Counter,
    pub(crate) enrolments: Counter,
    /// Second holders of an identity.
    pub(crate) forks: Counter,
    pub(crate) events: Counter,
    refusals: [Counter; Refusal::ALL.len()],
    /// From the whole request to the end of its commit.
    pub(crate) exchange_time: Histogram,
    /// From the question to the end of the commit.
    pub(crate) commit_time: Histogram,
    /// Whether the database answered the last beat.
    pub(crate) database: Flag,
}

#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// One more, until what is returned is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of a [`Gauge`].
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Durations by powers of two.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn add(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = usize::try_from(u64::BITS - micros.leading_zeros()).unwrap_or(BUCKETS);
        if let Some(bucket) = self.buckets.get(index.min(BUCKETS - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How often each bucket was met.
    pub(crate) fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|index| {
            self.buckets.get(index).map_or(0, |bucket| bucket.load(Ordering::Relaxed))
        })
    }

    /// What 99 in a hundred stayed below since `before`.
    pub(crate) fn high_since(&self, before: &[u64; BUCKETS]) -> Duration {
        let since: Vec<u64> =
            self.counts().iter().zip(before).map(|(now, then)| now.saturating_sub(*then)).collect();
        let total: u64 = since.iter().sum();
        let mut seen = 0;
        for (index, count) in since.iter().enumerate() {
            seen += count;
            if total > 0 && seen * 100 >= total * 99 {
                return Duration::from_micros(1 << index);
            }
        }
        Duration::ZERO
    }
}

impl Figures {
    pub(crate) fn refused(&self, refusal: Refusal) {
        let place = Refusal::ALL.iter().position(|known| *known == refusal);
        if let Some(counter) = place.and_then(|place| self.refusals.get(place)) {
            counter.add(1);
        }
    }

    /// How many exchanges were not carried out.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.iter().map(Counter::value).sum()
    }

    /// The text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        for (name, help, counter) in [
            ("connections", "Connections that were taken.", &self.connections_taken),
            ("connections_shed", "Connections closed at once: too many.", &self.connections_shed),
            ("handshakes_failed", "TLS handshakes without end.", &self.handshakes_failed),
            ("exchanges", "Exchanges that were committed.", &self.exchanges),
            ("repeats", "Replies that were sent again.", &self.repeats),
            ("enrolments", "Agents that joined or joined again.", &self.enrolments),
            ("forks", "Second holders of an identity.", &self.forks),
            ("events", "Events that were stored.", &self.events),
        ] {
            let name = format!("mainstay_manager_{name}_total");
            head(&mut text, &name, help, "counter");
            line(&mut text, &format!("{name} {}", counter.value()));
        }
        head(&mut text, REFUSALS, "Exchanges that were not carried out.", "counter");
        for (refusal, counter) in Refusal::ALL.iter().zip(&self.refusals) {
            line(&mut text, &format!("{REFUSALS}{{reason=\"{refusal}\"}} {}", counter.value()));
        }
        head(&mut text, OPEN, "Connections that are open.", "gauge");
        line(&mut text, &format!("{OPEN} {}", self.connections.value()));
        head(&mut text, DATABASE, "Whether the database answers.", "gauge");
        line(&mut text, &format!("{DATABASE} {}", u8::from(self.database.is_set())));
        let times = [("exchange", &self.exchange_time), ("commit", &self.commit_time)];
        for (name, histogram) in times {
            let name = format!("mainstay_manager_{name}_seconds");
            head(&mut text, &name, "How long it takes.", "histogram");
            write_histogram(&mut text, &name, histogram);
        }
        text
    }
}

const REFUSALS: &str = "mainstay_manager_refusals_total";
const DATABASE: &str = "mainstay_manager_database_up";
const OPEN: &str = "mainstay_manager_connections_open";

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    line(text, &format!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn write_histogram(text: &mut String, name: &str, histogram: &Histogram) {
    let mut sum = 0;
    let counts = histogram.counts();
    for (index, count) in counts.iter().enumerate() {
        sum += count;
        // Steps below 64 µs say nothing to anybody.
        if index >= 6 && index + 1 < counts.len() {
            let limit = Duration::from_micros(1 << index).as_secs_f64();
            line(text, &format!("{name}_bucket{{le=\"{limit}\"}} {sum}"));
        }
    }
    let seconds = Duration::from_micros(histogram.micros.load(Ordering::Relaxed)).as_secs_f64();
    // Writing to a text does not fail.
    let _infallible = writeln!(
        text,
        "{name}_bucket{{le=\"+Inf\"}} {sum}\n{name}_sum {seconds}\n{name}_count {sum}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_figure() {
        let figures = Figures::default();
        figures.exchanges.add(3);
        figures.refused(Refusal::Replayed);
        figures.exchange_time.add(Duration::from_millis(1));
        let held = figures.connections.hold();
        let text = figures.text();
        for line in [
            "mainstay_manager_exchanges_total 3",
            "mainstay_manager_refusals_total{reason=\"replayed\"} 1",
            "mainstay_manager_connections_open 1",
            "mainstay_manager_exchange_seconds_bucket{le=\"0.000512\"} 0",
            "mainstay_manager_exchange_seconds_bucket{le=\"0.001024\"} 1",
            "mainstay_manager_exchange_seconds_bucket{le=\"+Inf\"} 1",
            "mainstay_manager_exchange_seconds_sum 0.001",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        drop(held);
        assert_eq!(figures.connections.value(), 0);
    }

    #[test]
    fn the_high_end_is_that_of_what_came_since() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_secs(1));
        let before = histogram.counts();
        assert_eq!(histogram.high_since(&before), Duration::ZERO);
        for _ in 0..200 {
            histogram.add(Duration::from_micros(900));
        }
        histogram.add(Duration::from_millis(100));
        assert_eq!(histogram.high_since(&before), Duration::from_micros(1024));
        histogram.add(Duration::MAX);
    }
}
