//! From the kill of a worker to the first byte from its heir, and the adoption of a crowd.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mainstay_model::Process;
use rustix::process::Signal;

use super::crowd::{Crowd, finish, first_bytes};
use super::{Figures, Options};
use crate::Origin;
use crate::client::request;
use crate::gateway::{Accept, Gateway, Look, Setup};

/// Measures the waits of connections whose request was forwarded before the kill, and of
/// connections that send one just after it.
pub(super) fn measure(options: &Options, death: Signal, name: &str) -> anyhow::Result<Figures> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active).with_core_dumps())?.quiet();
    let mut crowd = Crowd::open(gateway.address("web"), options.connections)?;
    let (mut held_times, mut asked_times) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let key = format!("{name} {round}").replace(' ', "-");
        let (held, asked) = crowd.choose(options.probes);
        for client in &mut *held {
            client.send(&request("GET", &format!("/hold?key={key}"), &[]))?;
        }
        origin.wait_held(&key, held.len())?;

        let victim = gateway.process(Process::Worker(gateway.active()?))?;
        let start = Instant::now();
        victim.signal(death)?;
        // After SIGKILL no thread runs on. After SIGSEGV the others do, until the dump begins;
        // what they still answered would flatter.
        while death == Signal::SEGV && !victim.is_dumping_or_gone() {
            ensure!(start.elapsed() < Duration::from_secs(5), "it does not die of SIGSEGV");
        }
        origin.release(&key);
        for client in &mut *asked {
            client.send(&request("GET", "/small", &[]))?;
        }
        let mut all: Vec<_> = held.iter_mut().chain(asked.iter_mut()).collect();
        let times = first_bytes(&mut all, start).with_context(|| gateway.log_tail())?;
        held_times.extend_from_slice(&times[..options.probes]);
        asked_times.extend_from_slice(&times[options.probes..]);
        all.into_iter().try_for_each(finish).with_context(|| format!("in round {round}"))?;
        gateway.wait_ready_without(&[victim.pid()])?;
    }
    crowd.ask_all().context("after the last round")?;
    let mut figures = Figures::default();
    let all: Vec<Duration> = held_times.iter().chain(&asked_times).copied().collect();
    figures.add(&format!("{name}: answer was awaited"), &held_times, None);
    figures.add(&format!("{name}: asked just after"), &asked_times, None);
    figures.add(&format!("{name}: both"), &all, Some((Duration::from_millis(5), FIRST_BYTE_MAX)));
    Ok(figures)
}

const FIRST_BYTE_MAX: Duration = Duration::from_millis(25);
const ADOPTION_MAX: Duration = Duration::from_millis(150);

/// Measures how long the heir of a crowd of idle connections needs for all of them, and asks
/// each of them afterwards.
pub(super) fn adopt(options: &Options, death: Signal, name: &str) -> anyhow::Result<Figures> {
    let origin = Origin::start()?;
    let gateway = Gateway::start(&Setup::pair(&origin, Accept::Active).with_core_dumps())?.quiet();
    let mut crowd = Crowd::open(gateway.address("web"), options.idle)?;
    let (mut logged, mut probed) = (Vec::new(), Vec::new());
    for round in 0..options.rounds.div_ceil(10) {
        let before = gateway.log_bytes();
        let (first, second) = crowd.choose(1);
        let victim = gateway.process(Process::Worker(gateway.active()?))?;
        let start = Instant::now();
        victim.signal(death)?;
        while death == Signal::SEGV && !victim.is_dumping_or_gone() {}
        first[0].send(&request("GET", "/small", &[]))?;
        second[0].send(&request("GET", "/small", &[]))?;
        let mut pair = [&mut first[0], &mut second[0]];
        probed.extend(first_bytes(&mut pair, start)?);
        pair.into_iter().try_for_each(finish)?;

        let status = gateway.wait_for("all connections to be adopted", |status| {
            status.is_ready()
                && status.is_without(&[victim.pid()])
                && sum_of_adopted(&gateway.log_from(before)).0 >= options.idle as u64
        });
        let status = status.with_context(|| format!("in round {round}"))?;
        logged.push(sum_of_adopted(&gateway.log_from(before)).1);
        ensure!(status.active.is_some(), "nobody serves in round {round}");
        crowd.ask_all().with_context(|| format!("in round {round}"))?;
    }
    let mut figures = Figures::default();
    let n = options.idle;
    figures.add(
        &format!("{name}: {n} idle connections adopted"),
        &logged,
        Some((ADOPTION_MAX, ADOPTION_MAX)),
    );
    figures.add(&format!("{name}: first byte among {n}"), &probed, None);
    Ok(figures)
}

/// Connections and time of all adoptions that the log tells of: `adopted connections=7
/// micros=950`, in text or in JSON.
fn sum_of_adopted(log: &str) -> (u64, Duration) {
    let number = |line: &str, name: &str| -> Option<u64> {
        let (_, rest) = line
            .split_once(&format!("{name}="))
            .or_else(|| line.split_once(&format!("\"{name}\":")))?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    };
    let mut sum = (0, Duration::ZERO);
    for line in log.lines().filter(|line| line.contains("adopted")) {
        if let (Some(connections), Some(micros)) =
            (number(line, "connections"), number(line, "micros"))
        {
            sum.0 += connections;
            sum.1 += Duration::from_micros(micros);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adoptions_are_found_in_text_and_in_json() {
        let log = "INFO connections adopted connections=7 micros=950\n\
                   INFO listening connections=9\n\
                   {\"message\":\"adopted\",\"connections\":3,\"micros\":50}\n";
        assert_eq!(sum_of_adopted(log), (10, Duration::from_millis(1)));
    }
}
