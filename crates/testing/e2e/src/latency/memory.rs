//! What idle and busy connections cost, all processes of the gateway together.

use std::fs;
use std::time::Duration;

use anyhow::Context;

use super::crowd::Crowd;
use super::{Figures, Options};
use crate::Origin;
use crate::gateway::{Accept, Gateway, Setup};
use crate::luck::Luck;
use crate::report::Kind;
use crate::traffic::{Plan, Target, Traffic, Trailers};
use crate::wait::Stop;

const IDLE_MAX: u64 = 40_000_000;
const BUSY_MAX: u64 = 20_000_000;

/// Opens many idle connections; then moves bytes over 64 of them.
pub(super) fn measure(options: &Options) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let origin = Origin::start()?;
    let setup = Setup::pair(&origin, Accept::Active);
    {
        let gateway = Gateway::start(&setup)?.quiet();
        // The first connections of all pay for what is made once.
        drop(Crowd::open(gateway.address("web"), 10)?);
        let before = proportional_bytes(&gateway)?;
        let crowd = Crowd::open(gateway.address("web"), options.idle)?;
        let after = proportional_bytes(&gateway)?;
        let name = format!("{} idle connections add", options.idle);
        figures.add_bytes(&name, after.saturating_sub(before), IDLE_MAX);
        drop(crowd);
    }
    let gateway = Gateway::start(&setup)?.quiet();
    drop(Crowd::open(gateway.address("web"), 10)?);
    let before = proportional_bytes(&gateway)?;
    let most = most_while_busy(&gateway, &origin)?;
    figures.add_bytes("64 busy connections add", most.saturating_sub(before), BUSY_MAX);
    Ok(figures)
}

/// The most that the gateway uses while 64 transfers are under way.
fn most_while_busy(gateway: &Gateway, origin: &Origin) -> anyhow::Result<u64> {
    let plan = Plan {
        transfer_bytes: 4_000_000,
        transfer_time: Duration::from_secs(4),
        // A half of it for each of the four kinds of transfers.
        threads: 32,
        ..Plan::default()
    };
    let (http, trailers) = (gateway.address("web"), Trailers::Passed);
    let target = Target { name: "web".to_owned(), http, tcp: None, trailers };
    let kinds = [Kind::Download, Kind::ChunkedDownload, Kind::Upload, Kind::ChunkedUpload];
    let traffic = Traffic::start_kinds(&kinds, plan, &[target], &Luck::new(1));
    let (pause, mut most) = (Stop::default(), 0);
    while traffic.recorder().elapsed() < plan.transfer_time {
        most = most.max(proportional_bytes(gateway)?);
        pause.pause(Duration::from_millis(100));
    }
    let report = traffic.stop(origin);
    anyhow::ensure!(report.is_clean(), "{report}");
    Ok(most)
}

/// Memory of all processes of a gateway; what several share is counted once.
pub fn proportional_bytes(gateway: &Gateway) -> anyhow::Result<u64> {
    let mut sum = 0;
    for process in gateway.processes() {
        let path = format!("/proc/{}/smaps_rollup", process.pid());
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        sum += kib.with_context(|| format!("{path} has no Pss"))? * 1024;
    }
    Ok(sum)
}
