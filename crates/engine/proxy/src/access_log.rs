//! One line per exchange, as JSON.
//!
//! Lines gather in the ledger and are written many at a time; what a dead worker did not get
//! to is written by its keeper.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mainstay_adopt::Span;
use mainstay_http::Phase;
use mainstay_ledger::{Counter, Direction, Record};
use mainstay_model::Timestamp;
use mainstay_os::{now, unix_millis};
use tracing::warn;

use crate::connection::{Connection, Gone};
use crate::json::Writer;
use crate::lane::Lane;
use crate::relay::span;
use crate::settings::Settings;

/// Room that a line needs at the most, but for what the client chose: its host and target are
/// cut to fit.
const LINE_BYTES: usize = 1536;
/// Bytes of a host, or of a target, that a line shows.
const SHOWN_BYTES_MAX: usize = 2048;
/// Bytes of a gateway's name that a line shows: no host has a longer one.
const GATEWAY_BYTES_MAX: usize = 64;
/// The buffer is written out when a line of any length might not fit any more: escaping makes
/// up to six bytes of one.
const SPACE_MIN: usize = LINE_BYTES + 2 * 6 * SHOWN_BYTES_MAX;

/// Where lines go.
#[derive(Debug)]
pub(crate) struct AccessLog {
    target: Option<(PathBuf, File)>,
    used: usize,
    clock: Clock,
    /// What each line says of the gateway and the process, with what is before and after it.
    origin: Vec<u8>,
}

/// In whose name lines are written.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What the gateway is called.
    pub gateway: String,
    /// The number of the process in it.
    pub index: u8,
}

impl Origin {
    /// Once, so that a line costs a copy.
    fn text(&self) -> Vec<u8> {
        let mut text = vec![0; LINE_BYTES];
        let mut writer = Writer::new(&mut text);
        writer.raw(b"Z\",\"gateway\":\"");
        let shown = self.gateway.as_bytes();
        writer.text(shown.get(..GATEWAY_BYTES_MAX).unwrap_or(shown));
        writer.raw(b"\",\"index\":");
        writer.number(self.index.into());
        writer.raw(b",\"id\":\"");
        let length = writer.finish().expect("a name of so many bytes fits");
        text.truncate(length);
        text
    }
}

/// The time of day as text, made anew once a second.
#[derive(Debug)]
struct Clock {
    /// Milliseconds since 1970 at the start of the monotonic clock.
    offset_ms: u64,
    second: u64,
    text: [u8; 19],
}

impl AccessLog {
    /// Appends to the file at `path`; `None` for no log.
    pub(crate) fn open(path: Option<PathBuf>, origin: &Origin) -> io::Result<Self> {
        let target = match path {
            Some(path) => {
                let file = open_log(&path)?;
                Some((path, file))
            }
            None => None,
        };
        Ok(Self { target, used: 0, clock: Clock::new(), origin: origin.text() })
    }
}

/// Opens an access log, to append to it.
pub fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Lane {
    /// Counts an exchange that ended, and writes its line.
    pub(crate) fn log_exchange(&mut self, connection: &mut Connection, gone: Gone) {
        self.count_exchange(&connection.record, gone);
        if self.log.target.is_none() {
            return;
        }
        if self.ledger.log().len() - self.log.used < SPACE_MIN {
            self.flush_log();
        }
        self.log.clock.set(self.now);
        let (areas, buffer) = self.ledger.areas_and_log();
        let head = Span { start: 0, ..connection.record.head };
        let head = span(areas, head, Direction::Request);
        let mut line = Writer::new(buffer.get_mut(self.log.used..).unwrap_or_default());
        let AccessLog { clock, origin, .. } = &self.log;
        let log = Line { settings: &self.settings, clock, origin, now: self.now };
        log.write(&mut line, connection, head, gone);
        match line.finish() {
            Some(length) => {
                self.log.used += length;
                self.note_log();
            }
            None => self.ledger.count(Counter::LogLost, 1),
        }
    }

    fn count_exchange(&mut self, record: &Record, gone: Gone) {
        let ledger = &self.ledger;
        ledger.count(Counter::BytesIn, record.bytes_in);
        ledger.count(Counter::BytesOut, record.bytes_out);
        if record.exchange.phase == Phase::Tunnel {
            ledger.count(Counter::Tunnels, 1);
        } else if gone == Gone::Complete {
            ledger.count(Counter::of_status(record.exchange.status), 1);
        } else {
            ledger.count(Counter::Aborted, 1);
        }
    }

    /// Notes in the ledger what is still to be written.
    fn note_log(&self) {
        if let Some((_, file)) = &self.log.target {
            self.ledger.note_log(file.as_raw_fd(), 0, self.log.used);
        }
    }

    /// Writes out what has gathered.
    pub(crate) fn flush_log(&mut self) {
        let used = std::mem::take(&mut self.log.used);
        let Some((path, file)) = &mut self.log.target else { return };
        let lines = self.ledger.log().get(..used).unwrap_or_default();
        if let Err(error) = file.write_all(lines) {
            self.ledger.count(Counter::LogLost, 1);
            warn!(path = %path.display(), %error, "access log cannot be written, lines are lost");
        }
        self.ledger.note_log(file.as_raw_fd(), 0, 0);
    }

    /// Goes on in another log, open already.
    pub(crate) fn exchange_log(&mut self, log: Option<(PathBuf, File)>) {
        self.flush_log();
        self.log.target = log;
        self.note_log();
    }

    /// Goes on in a new file, if the one at the log's path is another by now.
    pub(crate) fn follow_log(&mut self) {
        let Some((path, file)) = &mut self.log.target else { return };
        match reopened(path, file) {
            Ok(Some(anew)) => *file = anew,
            Ok(None) => {}
            Err(error) => warn!(path = %path.display(), %error, "access log cannot be opened"),
        }
    }
}

/// The file anew, if the one at `path` is another by now: a log that was rotated.
fn reopened(path: &PathBuf, file: &File) -> io::Result<Option<File>> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (held.dev(), held.ino()) => Ok(None),
        Ok(_) => open_log(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => open_log(path).map(Some),
        Err(error) => Err(error),
    }
}

/// What a line is made with, beside the connection.
struct Line<'a> {
    settings: &'a Settings,
    clock: &'a Clock,
    origin: &'a [u8],
    now: Timestamp,
}

impl Line<'_> {
    fn write(&self, line: &mut Writer<'_>, connection: &Connection, head: &[u8], gone: Gone) {
        let Self { settings, clock, origin, now } = *self;
        let record = &connection.record;
        line.raw(b"{\"time\":\"");
        line.raw(&clock.text);
        line.raw(b".");
        line.padded(clock.millis(now) % 1_000, 3);
        line.raw(origin);
        line.hex(record.request_id[0]);
        line.hex(record.request_id[1]);
        line.raw(b"\",\"connection\":\"");
        line.hex(record.id);
        line.raw(b"\",\"client\":\"");
        line.raw(connection.client_text.as_bytes());
        write_place(line, settings, record);
        write_request(line, head);
        line.raw(b"\",\"status\":");
        line.number(record.exchange.status.into());
        let micros = |from: u64, to: u64| if from == 0 { 0 } else { to.saturating_sub(from) };
        for (name, number) in [
            (&b",\"bytes_in\":"[..], record.bytes_in),
            (b",\"bytes_out\":", record.bytes_out),
            (b",\"duration_us\":", micros(record.begun, now.micros())),
            (b",\"answered_us\":", micros(record.begun.min(record.answered), record.answered)),
            (b",\"tries\":", record.tries.into()),
            (b",\"adoptions\":", record.adoptions.into()),
        ] {
            line.raw(name);
            line.number(number);
        }
        line.raw(b",\"end\":\"");
        line.raw(gone.word().as_bytes());
        line.raw(b"\"}\n");
    }
}

/// Where it came in and where it went.
fn write_place(line: &mut Writer<'_>, settings: &Settings, record: &Record) {
    let listener = settings.listeners.get(usize::from(record.listener));
    // Without a try, no route was found.
    let target = if record.tries == 0 { None } else { settings.target_of(record) };
    let server = target
        .and_then(|target| settings.upstreams.get(target.upstream))
        .and_then(|upstream| upstream.servers.get(usize::from(record.server)));
    line.raw(b"\",\"listener\":\"");
    line.text(listener.map_or("", |listener| &listener.name).as_bytes());
    line.raw(b"\",\"service\":\"");
    line.text(target.map_or("", |target| &target.service).as_bytes());
    line.raw(b"\",\"server\":\"");
    line.text(server.map_or("", |server| &server.text).as_bytes());
}

/// What was asked, out of the head that went upstream: `METHOD target HTTP/1.1`, then `Host`.
fn write_request(line: &mut Writer<'_>, head: &[u8]) {
    let mut lines = head.splitn(3, |&byte| byte == b'\r');
    let mut words = lines.next().unwrap_or_default().splitn(3, |&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let host = lines.next().and_then(|line| line.strip_prefix(b"\nHost: ")).unwrap_or_default();
    line.raw(b"\",\"host\":\"");
    line.text(host.get(..SHOWN_BYTES_MAX).unwrap_or(host));
    line.raw(b"\",\"method\":\"");
    line.text(method);
    line.raw(b"\",\"target\":\"");
    line.text(target.get(..SHOWN_BYTES_MAX).unwrap_or(target));
}

impl Clock {
    fn new() -> Self {
        let offset_ms = unix_millis().saturating_sub(now().micros() / 1_000);
        Self { offset_ms, second: u64::MAX, text: [b'0'; 19] }
    }

    fn millis(&self, now: Timestamp) -> u64 {
        self.offset_ms + now.micros() / 1_000
    }

    /// Brings the text up to `now`.
    fn set(&mut self, now: Timestamp) {
        let second = self.millis(now) / 1_000;
        if second == self.second {
            return;
        }
        // The wall clock may have been set since.
        self.offset_ms = unix_millis().saturating_sub(now.micros() / 1_000);
        self.second = self.millis(now) / 1_000;
        let mut text = [0; 19];
        let mut writer = Writer::new(&mut text);
        write_time(&mut writer, self.second);
        self.text = text;
    }
}

/// `2026-11-21T21:40:00` (RFC 3339, without the zone).
fn write_time(writer: &mut Writer<'_>, second: u64) {
    let (days, second) = (second / 86_400, second % 86_400);
    let (year, month, day) = date(days);
    for (number, width, after) in [
        (year, 4, &b"-"[..]),
        (month, 2, b"-"),
        (day, 2, b"T"),
        (second / 3_600, 2, b":"),
        (second / 60 % 60, 2, b":"),
        (second % 60, 2, b""),
    ] {
        writer.padded(number, width);
        writer.raw(after);
    }
}

/// The date of a day since 1970, in years that begin in March, so that the day that may be
/// missing is the last one.
const fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: u64) -> String {
        let mut text = [0; 19];
        write_time(&mut Writer::new(&mut text), second);
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn days_have_their_dates() {
        assert_eq!(time(0), "1970-01-01T00:00:00");
        assert_eq!(time(951_827_696), "2000-02-29T12:34:56");
        assert_eq!(time(1_795_297_200), "2026-11-21T21:40:00");
        assert_eq!(time(4_107_542_399), "2100-02-28T23:59:59");
        assert_eq!(time(4_107_542_400), "2100-03-01T00:00:00");
    }

    #[test]
    fn a_line_is_in_the_name_of_its_gateway_and_process() {
        let text = |gateway: &str| {
            let origin = Origin { gateway: gateway.to_owned(), index: 2 };
            String::from_utf8(origin.text()).unwrap()
        };
        assert_eq!(text("edge-1"), r#"Z","gateway":"edge-1","index":2,"id":""#);
        assert_eq!(text("\"").len(), text("x").len() + 1, "it is escaped");
        assert!(text(&"\u{1}".repeat(1_000)).len() < LINE_BYTES / 2, "it is cut");
    }

    #[test]
    fn what_was_asked_is_read_off_the_head() {
        let mut buffer = [0; 256];
        let mut line = Writer::new(&mut buffer);
        write_request(&mut line, b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nVia: x\r\n\r\n");
        let length = line.finish().unwrap();
        let expected = r#"","host":"example.com","method":"GET","target":"/a?b"#;
        assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), expected);
    }
}
