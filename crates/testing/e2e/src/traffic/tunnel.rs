//! Bytes through a tunnel, both directions at once and independent of each other, with the end
//! of one direction while the other goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Job;
use crate::luck::Luck;
use crate::pattern::{Check, Pattern};
use crate::socket::{Broken, Socket};

/// One tunnel, for at most as long as a transfer.
pub(super) fn tunnel(job: &mut Job) -> Result<(), Broken> {
    let start = Instant::now();
    "opening a tunnel".clone_into(&mut job.doing);
    let Some(address) = job.target.tcp else { return Ok(()) };
    let mut socket = Socket::connect(address)?;
    let writer = socket.stream().try_clone()?;
    let (seed, mut luck) = (job.luck.draw(), job.luck.fork(1));
    let until = start + luck.duration(job.plan.transfer_time / 10..job.plan.transfer_time);
    let sent = AtomicU64::new(0);
    let mut check = Check::new(seed);

    let result = thread::scope(|scope| {
        let stop = &job.stop;
        let sent = &sent;
        let send = scope.spawn(move || -> Result<(), Broken> {
            let mut writer = Socket::from_stream(writer);
            let mut pattern = Pattern::new(seed);
            while Instant::now() < until && !stop.pause(pause(&mut luck)) {
                let mut piece = vec![0; usize::try_from(luck.between(1..20_000)).unwrap()];
                pattern.fill(&mut piece);
                // Counted before it leaves, so the reader never knows of more than was counted.
                sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
                writer.send(&piece)?;
            }
            writer.finish()
        });
        let received = receive(&mut socket, &mut check);
        if received.is_err() {
            // Unblocks the sender, which has nobody to send to any more.
            socket.finish().ok();
        }
        let sent = send.join().unwrap();
        received.and(sent)
    });
    let sent = sent.into_inner();
    job.doing =
        format!("tunnel with seed {seed}, {sent} bytes sent, {} echoed", check.sum().bytes());
    result?;
    check.complete(sent)?;
    job.done(sent * 2, start);
    Ok(())
}

fn receive(socket: &mut Socket, check: &mut Check) -> Result<(), Broken> {
    loop {
        let piece = socket.take(usize::MAX)?;
        if piece.is_empty() {
            return Ok(());
        }
        check.feed(piece)?;
    }
}

/// Mostly short; at times so long that a kill finds nothing under way.
fn pause(luck: &mut Luck) -> Duration {
    let mean = luck.weighted(&[(9, 10), (1, 500)]);
    luck.duration(Duration::ZERO..Duration::from_millis(2 * mean))
}
