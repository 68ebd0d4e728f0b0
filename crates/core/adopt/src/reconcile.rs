//! From the last note and the kernel's counts to the truth.
//!
//! A worker notes what it did after it did it. If it died in between, the kernel's count of a
//! socket is ahead of the note: so many more bytes were read, and lie where reads land; so
//! many more were written, and came from the head of the output.

use crate::state::{Cursors, Flow, Streams};

/// What the kernel says of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its own counts.
    Counts(Cursors),
    /// Nothing (not a TCP socket, or not there): the note has to be right.
    Nothing,
}

/// Why a connection cannot be carried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Irreconcilable {
    #[error("the kernel counts fewer bytes than were noted")]
    Behind,

    #[error("more bytes were read than fit where they had to land")]
    TooManyRead,

    #[error("more bytes were written than waited to go out")]
    TooManyWritten,
}

/// Brings `streams` up to the kernel's counts. `room` tells how many bytes fit at the landing
/// of a flow.
///
/// On an error `streams` is as it was.
pub fn reconcile(
    streams: &mut Streams,
    client: Known,
    upstream: Known,
    room: impl Fn(&Flow) -> u32,
) -> Result<(), Irreconcilable> {
    let mut truth = *streams;
    if let Known::Counts(counts) = client {
        catch_up(&mut truth.client, counts, &mut truth.request, &mut truth.response, &room)?;
    }
    if let Known::Counts(counts) = upstream {
        catch_up(&mut truth.upstream, counts, &mut truth.response, &mut truth.request, &room)?;
    }
    *streams = truth;
    Ok(())
}

/// One socket: `into` is the flow that it is read into, `from` the one it is written from.
fn catch_up(
    noted: &mut Cursors,
    counts: Cursors,
    into: &mut Flow,
    from: &mut Flow,
    room: impl Fn(&Flow) -> u32,
) -> Result<(), Irreconcilable> {
    let read = counts.read.checked_sub(noted.read).ok_or(Irreconcilable::Behind)?;
    let written = counts.written.checked_sub(noted.written).ok_or(Irreconcilable::Behind)?;
    let read = u32::try_from(read).map_err(|_too_many| Irreconcilable::TooManyRead)?;
    if read > room(into) {
        return Err(Irreconcilable::TooManyRead);
    }
    let written = usize::try_from(written).map_err(|_too_many| Irreconcilable::TooManyWritten)?;
    if written > from.output() {
        return Err(Irreconcilable::TooManyWritten);
    }
    if read > 0 {
        into.has_read(read);
    }
    from.has_written(written);
    *noted = counts;
    Ok(())
}

#[cfg(test)]
mod tests;
