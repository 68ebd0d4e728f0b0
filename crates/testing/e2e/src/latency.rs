//! How long connections wait for the heir, how long many take to be adopted, how long the
//! master's death holds up new ones, and what connections cost in memory.
//!
//! Every time is taken at the client, from just before the signal is sent to the first byte of
//! an answer that the dead process cannot have given.

mod crowd;
mod failover;
mod master;
mod memory;
mod options;

use std::fmt;
use std::time::Duration;

use rustix::process::Signal;

use crate::gateway::Accept;
use crate::report::megabytes;
use crate::torture::percentile;
pub use memory::proportional_bytes;
pub use options::{Figure, Options};

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    times: Vec<Times>,
    sizes: Vec<(String, u64, u64)>,
}

/// Times of one thing, and the limits of their p50 and p99.
#[derive(Clone, Debug)]
struct Times {
    name: String,
    values: Vec<Duration>,
    limits: Option<(Duration, Duration)>,
}

/// Measures, and prints the figures.
#[expect(clippy::print_stdout, reason = "the figures are what the command is for")]
pub fn run(options: &Options) -> anyhow::Result<Figures> {
    let figures = measure(options)?;
    println!("{figures}");
    Ok(figures)
}

/// Measures what is asked for.
pub fn measure(options: &Options) -> anyhow::Result<Figures> {
    let mut all = Figures::default();
    let deaths = [(Signal::KILL, "SIGKILL"), (Signal::SEGV, "SIGSEGV")];
    if options.wants(Figure::Failover) {
        for (death, name) in deaths {
            all.append(failover::measure(options, death, name)?);
        }
    }
    if options.wants(Figure::Adoption) {
        for (death, name) in deaths {
            all.append(failover::adopt(options, death, name)?);
        }
    }
    if options.wants(Figure::Master) {
        for accept in Accept::ALL {
            all.append(master::measure(options, accept)?);
        }
    }
    if options.wants(Figure::Memory) {
        all.append(memory::measure(options)?);
    }
    Ok(all)
}

impl Figures {
    fn add(&mut self, name: &str, values: &[Duration], limits: Option<(Duration, Duration)>) {
        self.times.push(Times { name: name.to_owned(), values: values.to_vec(), limits });
    }

    fn add_bytes(&mut self, name: &str, bytes: u64, limit: u64) {
        self.sizes.push((name.to_owned(), bytes, limit));
    }

    fn append(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
        self.sizes.append(&mut other.sizes);
    }

    /// The names of the figures that are over their limits.
    pub fn over_limit(&self) -> Vec<&str> {
        let slow = self.times.iter().filter(|times| {
            let is_over = |(p50, p99)| times.at(50) > p50 || times.at(99) > p99;
            times.limits.is_some_and(is_over)
        });
        let big = self.sizes.iter().filter(|(_, bytes, limit)| bytes > limit);
        slow.map(|times| &*times.name).chain(big.map(|size| &*size.0)).collect()
    }
}

impl Times {
    fn at(&self, share: usize) -> Duration {
        percentile(&self.values, share)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["number", "p50 ms", "p99 ms", "max ms", "limits ms"];
        write!(f, "{:48}", "time")?;
        head.iter().try_for_each(|word| write!(f, "{word:>10}"))?;
        writeln!(f)?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        for times in &self.times {
            write!(f, "{:48}{:>10}", times.name, times.values.len())?;
            for share in [50, 99, 100] {
                write!(f, "{:>10.2}", ms(times.at(share)))?;
            }
            match times.limits {
                None => writeln!(f)?,
                Some((p50, p99)) => writeln!(f, "{:>6.0} {:>3.0}", ms(p50), ms(p99))?,
            }
        }
        for (name, bytes, limit) in &self.sizes {
            let (found, limit) = (megabytes(*bytes), megabytes(*limit));
            writeln!(f, "{name:48}{found:>10.1} MB, limit {limit:.0} MB")?;
        }
        match &self.over_limit()[..] {
            [] => f.write_str("all within their limits"),
            over => write!(f, "over their limits: {}", over.join("; ")),
        }
    }
}
