//! What is new in the gateway's `events.log`.
//!
//! The log is a file of lines that is moved to `events.log.1` when it is full. Where reading
//! ended is a file and an offset, kept with the events themselves, so a restart reads nothing
//! twice and leaves nothing out.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use mainstay_opamp::events::{Event, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most bytes that are read at once.
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// Where reading ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Which file; 0 for none.
    pub(crate) inode: u64,
    /// In bytes.
    pub(crate) offset: u64,
}

/// New events, and where reading ended then. Nothing if there are none.
pub(crate) fn read(
    path: &Path,
    place: &Place,
    now_us: u64,
) -> io::Result<Option<(Vec<Event>, Place)>> {
    let Some((file, inode)) = open(path)? else { return Ok(None) };
    let offset = if place.inode == inode {
        place.offset
    } else {
        // It was moved away: its end comes first.
        let former = path.with_extension("log.1");
        if let Some((former, former_inode)) = open(&former)?
            && former_inode == place.inode
            && let Some(found) = read_from(former, place, now_us)?
        {
            return Ok(Some(found));
        }
        0
    };
    read_from(file, &Place { inode, offset }, now_us)
}

fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_from(
    mut file: File,
    place: &Place,
    now_us: u64,
) -> io::Result<Option<(Vec<Event>, Place)>> {
    let length = file.metadata()?.len();
    // Somebody emptied it.
    let offset = if place.offset > length { 0 } else { place.offset };
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut text)?;
    let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    text.truncate(end + 1);
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.filter_map(|line| event(line, now_us)).collect();
    let read = u64::try_from(text.len()).unwrap_or(u64::MAX);
    Ok(Some((events, Place { inode: place.inode, offset: offset + read })))
}

/// A line of the log as an event; nothing if it is none.
fn event(line: &[u8], now_us: u64) -> Option<Event> {
    let text = str::from_utf8(line).ok()?;
    let object: Value = serde_json::from_str(text).ok()?;
    let kind = object.get("event")?.as_str()?;
    let severity = match object.get("severity").and_then(Value::as_str) {
        Some("critical") => Severity::Critical,
        Some("warning") => Severity::Warning,
        Some(_) | None => Severity::Info,
    };
    Some(Event {
        unix_us: now_us,
        severity: severity.into(),
        kind: format!("gateway.{kind}").chars().take(64).collect(),
        body: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(number: u32) -> String {
        format!("{{\"event\":\"swapped\",\"severity\":\"warning\",\"number\":{number}}}\n")
    }

    #[test]
    fn every_line_is_read_once_though_the_log_is_moved_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.log");
        let mut place = Place::default();
        let mut read_all = |path: &Path| {
            let mut found = Vec::new();
            while let Some((events, next)) = read(path, &place, 7).unwrap() {
                found.extend(events);
                place = next;
            }
            found.len()
        };
        assert_eq!(read_all(&path), 0, "there is no log yet");
        fs::write(&path, line(1) + &line(2) + "{\"event\":\"swa").unwrap();
        assert_eq!(read_all(&path), 2, "half a line is no event");
        fs::write(&path, line(1) + &line(2) + &line(3)).unwrap();
        fs::rename(&path, directory.path().join("events.log.1")).unwrap();
        fs::write(&path, line(4)).unwrap();
        assert_eq!(read_all(&path), 2);
        assert_eq!(read_all(&path), 0);
    }

    #[test]
    fn a_line_is_an_event_with_its_severity() {
        let found = event(line(3).trim_end().as_bytes(), 7).unwrap();
        assert_eq!(found.kind, "gateway.swapped");
        assert_eq!((found.unix_us, found.severity()), (7, Severity::Warning));
        assert_eq!(event(b"no json", 7), None);
    }
}
