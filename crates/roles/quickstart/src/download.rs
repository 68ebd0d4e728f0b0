//! A slow download whose every byte can be checked: numbered lines, and their sum.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use sha2::{Digest as _, Sha256};

/// Each line is this long.
const LINE_BYTES: usize = 64;

/// About half a minute.
const LINES: usize = 96 * 1024;

/// What goes out each time: 200 KiB a second.
const LINES_AT_ONCE: usize = 320;
const INTERVAL: Duration = Duration::from_millis(100);

/// Writes the response, slowly; ends early when whoever reads has gone.
pub(crate) fn write(stream: &mut TcpStream) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n\r\n",
        LINES * LINE_BYTES
    )?;
    for first in (0..LINES).step_by(LINES_AT_ONCE) {
        stream.write_all(&part(first))?;
        if has_gone(stream)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The SHA-256 of the whole.
pub(crate) fn digest() -> String {
    let mut hash = Sha256::new();
    for first in (0..LINES).step_by(LINES_AT_ONCE) {
        hash.update(part(first));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn part(first: usize) -> Vec<u8> {
    let lines = first..LINES.min(first + LINES_AT_ONCE);
    lines
        .flat_map(|number| format!("{number:>width$}\n", width = LINE_BYTES - 1).into_bytes())
        .collect()
}

/// Whether the reader goes within the time until the next part is due.
fn has_gone(stream: &TcpStream) -> io::Result<bool> {
    let limit = Timespec { tv_sec: 0, tv_nsec: INTERVAL.subsec_nanos().into() };
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    Ok(poll(&mut fds, Some(&limit))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_as_long_as_it_says() {
        let text = String::from_utf8(part(LINES_AT_ONCE)).unwrap();
        assert_eq!(text.len(), LINES_AT_ONCE * LINE_BYTES);
        assert!(text.lines().all(|line| line.len() + 1 == LINE_BYTES));
        assert_eq!(text.lines().next().unwrap().trim(), LINES_AT_ONCE.to_string());
        assert_eq!(digest().len(), 64);
    }
}
