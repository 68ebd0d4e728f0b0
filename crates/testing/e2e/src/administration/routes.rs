//! Ten thousand routes: how long a load of all of them takes, and an apply of one that changed.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use super::Operator;
use crate::cli::Answer;
use crate::torture::percentile;

const ROUTES: usize = 10_000;

/// Applies of one changed route.
const ROUNDS: usize = 9;

/// From the beginning of the proof to the swap, for one changed route.
const CHANGED_MAX: Duration = Duration::from_millis(50);

/// The same, for all of them anew.
const FULL_MAX: Duration = Duration::from_millis(300);

/// Measures both; an operator waits for the medians, which are what is limited.
pub(super) fn perform(operator: &Operator<'_>, report: &mut String) -> anyhow::Result<()> {
    let (mut full, mut changed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        operator.write(str::to_owned)?;
        swapped_after(&operator.apply(&["--confirm", "0s"])?)?;
        operator.wait_of_one_mind()?;
        operator.write(|text| with_routes(text, None))?;
        full.push(swapped_after(&operator.apply(&["--confirm", "0s"])?)?);
        operator.wait_of_one_mind()?;
        operator.write(|text| with_routes(text, Some(round)))?;
        changed.push(swapped_after(&operator.apply(&["--confirm", "0s"])?)?);
        operator.wait_of_one_mind()?;
    }
    writeln!(report, "\n{:32} {:>8} {:>8}", "from proof to swap", "p50 ms", "most ms")?;
    for (name, times, limit) in
        [("all of 10,000 routes", full, FULL_MAX), ("one of them changed", changed, CHANGED_MAX)]
    {
        let [p50, most] = [50, 100].map(|share| percentile(&times, share));
        writeln!(report, "{name:32} {:>8} {:>8}", p50.as_millis(), most.as_millis())?;
        anyhow::ensure!(p50 <= limit, "{name}: p50 is {p50:?}, the limit is {limit:?}");
    }
    Ok(())
}

/// The first generation with a service of many routes, one of which may go elsewhere.
fn with_routes(text: &str, changed: Option<usize>) -> String {
    let mut text = format!(
        "{text}\n[[service]]\nname = \"many\"\nlisteners = [\"web-active\"]\nhosts = [\"many.test\"]\n"
    );
    for number in 0..ROUTES {
        let upstream = if changed == Some(number) { "raw" } else { "web" };
        let area = number % 100;
        write!(
            text,
            "\n[[service.route]]\npath = \"/area{area}/item{number}/\"\nupstream = \"{upstream}\"\n"
        )
        .expect("a text can be written to");
    }
    text
}

/// When the swap began, as the command says: `    34 ms  active and standby change places`.
fn swapped_after(answer: &Answer) -> anyhow::Result<Duration> {
    anyhow::ensure!(answer.code == Some(0), "{answer:?}");
    let line = answer.out.lines().find(|line| line.ends_with("active and standby change places"));
    let millis = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    Ok(Duration::from_millis(millis.with_context(|| format!("no swap: {answer:?}"))?))
}
