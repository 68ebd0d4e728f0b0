//! Messages on WebSockets: several under way at once, all echoed in order, and the digest of
//! all of them asked of the far end before the goodbye.

use std::time::{Duration, Instant};

use super::Job;
use super::exchange::expect_text;
use crate::pattern::{Check, Pattern, Sum};
use crate::socket::Broken;
use crate::websocket::{WebSocket, opcode};

/// One WebSocket, for a few hundred batches of messages.
pub(super) fn messages(job: &mut Job) -> Result<(), Broken> {
    "opening a WebSocket".clone_into(&mut job.doing);
    let mut socket = WebSocket::connect(job.target.http, "/ws")?;
    let mut sum = Sum::default();
    for batch in 0..job.luck.between(50..500) {
        if !job.rest(Duration::from_millis(25)) {
            break;
        }
        let start = Instant::now();
        let sizes: Vec<u64> = (0..job.luck.between(1..8)).map(|_| size(job)).collect();
        let seeds: Vec<u64> = sizes.iter().map(|_| job.luck.draw()).collect();
        for (seed, size) in seeds.iter().zip(&sizes) {
            job.doing = format!("sending a message of {size} bytes in batch {batch}");
            let message = Pattern::bytes(*seed, usize::try_from(*size).unwrap());
            sum.add(&message);
            socket.send(opcode::BINARY, message)?;
        }
        for (seed, size) in seeds.iter().zip(&sizes) {
            job.doing = format!("the echo of {size} bytes in batch {batch}");
            let frame = socket.receive()?;
            if frame.opcode() != opcode::BINARY {
                let found = format!("a frame with first byte {:#x}", frame.first);
                return Err(Broken::WrongAnswer { expected: "an echo".to_owned(), found });
            }
            let mut check = Check::new(*seed);
            check.feed(&frame.payload)?;
            check.complete(*size)?;
            job.done(*size * 2, start);
        }
    }
    "asking for the digest".clone_into(&mut job.doing);
    socket.send(opcode::TEXT, b"sum".to_vec())?;
    let answer = socket.receive()?;
    expect_text(&String::from_utf8_lossy(&answer.payload), &sum.line())?;
    "closing a WebSocket".clone_into(&mut job.doing);
    socket.close()
}

/// Mostly small, and few enough at once that the echo never waits for us to read.
fn size(job: &mut Job) -> u64 {
    if job.luck.between(0..8) == 0 { job.luck.between(0..20_000) } else { job.luck.between(0..300) }
}
