//! How long the death of the master holds up a new connection.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use mainstay_model::Process;
use rustix::process::Signal;

use super::{Figures, Options};
use crate::gateway::{Accept, Gateway, Setup};
use crate::luck::Luck;
use crate::wait::Stop;
use crate::{Broken, Client, Origin};

const STALL_MAX: Duration = Duration::from_millis(50);

/// Opens connections one after the other, kills the master meanwhile, and takes the slowest.
pub(super) fn measure(options: &Options, accept: Accept) -> anyhow::Result<Figures> {
    let origin = Origin::start()?;
    // Each kill is a death of its own, not one of a series that the supervisor slows down.
    let setup = Setup::pair(&origin, accept).with_host("restart", "stable_after", "50ms");
    let gateway = Gateway::start(&setup)?.quiet();
    let address = gateway.address("web");
    let (mut stalls, mut usual, mut luck) = (Vec::new(), Vec::new(), Luck::new(1));
    for _ in 0..options.rounds {
        let stop = Stop::default();
        let (killed, times) = thread::scope(|scope| {
            let clients = scope.spawn(|| one_after_the_other(address, &stop));
            let killed = kill(&gateway, &stop, &mut luck);
            stop.stop();
            (killed, clients.join().unwrap())
        });
        let (killed, times) = (killed?, times.with_context(|| gateway.log_tail())?);
        let hit = |time: &&(Instant, Duration)| time.0 + time.1 >= killed;
        stalls.extend(times.iter().filter(hit).map(|time| time.1).max());
        usual.extend(times.iter().filter(|time| !hit(time)).map(|time| time.1).max());
    }
    let mut figures = Figures::default();
    let name = accept.name();
    figures.add(&format!("accept = {name}: slowest before"), &usual, None);
    figures.add(
        &format!("accept = {name}: slowest after the master's kill"),
        &stalls,
        Some((STALL_MAX, STALL_MAX)),
    );
    Ok(figures)
}

fn kill(gateway: &Gateway, stop: &Stop, luck: &mut Luck) -> anyhow::Result<Instant> {
    stop.pause(luck.duration(Duration::from_millis(50)..Duration::from_millis(150)));
    let victim = gateway.process(Process::Master)?;
    let killed = Instant::now();
    victim.signal(Signal::KILL)?;
    gateway.wait_ready_without(&[victim.pid()])?;
    stop.pause(Duration::from_millis(50));
    Ok(killed)
}

/// When each connection was begun, and how long it took until its answer was whole.
fn one_after_the_other(
    address: SocketAddr,
    stop: &Stop,
) -> Result<Vec<(Instant, Duration)>, Broken> {
    let mut times = Vec::new();
    while !stop.pause(Duration::from_millis(1)) {
        let start = Instant::now();
        Client::connect(address)?.get_and_close("/small")?;
        times.push((start, start.elapsed()));
    }
    Ok(times)
}
