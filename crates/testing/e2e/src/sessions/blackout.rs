//! Everything dies at once, in the middle of logins and logouts.

use std::thread;
use std::time::{Duration, Instant};

use mainstay_wire::session::Reply;

use super::book::Book;
use crate::announcer::Announcer;
use crate::gateway::Gateway;
use crate::luck::Luck;
use crate::wait;

/// From the beginning of the logins and logouts to the end of everything.
const BEFORE: std::ops::Range<Duration> = Duration::from_millis(20)..Duration::from_millis(300);

/// Ends everything and starts it again; how long it took to be ready.
pub(super) fn perform(
    gateway: &mut Gateway,
    book: &mut Book,
    luck: &mut Luck,
) -> anyhow::Result<Duration> {
    let mut announcer = Announcer::new(gateway);
    let before = luck.duration(BEFORE);
    let uncertain = thread::scope(|scope| {
        let busy = scope.spawn(|| {
            loop {
                let (user, request) = book.draw();
                match announcer.try_say(&request) {
                    Some(Reply::Done { .. }) => book.note(user, &request),
                    Some(_) | None => return (user, request),
                }
            }
        });
        wait::Stop::default().pause(before);
        gateway.end_everything();
        busy.join().unwrap()
    });
    let start = Instant::now();
    gateway.start_again()?;
    let ready_after = start.elapsed();
    // Nothing was promised of it: it is asked for again.
    let (user, request) = uncertain;
    Announcer::new(gateway).insist(&request)?;
    book.note(user, &request);
    Ok(ready_after)
}
