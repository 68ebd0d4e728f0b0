//! The file: a JSON object a line, begun anew when it is full.
//!
//! It is opened for each batch, so that somebody else may move it away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use mainstay_config::alerts::Log;
use mainstay_wire::event::Record;

use crate::Origin;
use crate::failure::DeliveryError;
use crate::form::line;
use crate::outlet::Carrier;

/// Lines that are written at once.
const BATCH_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    origin: Origin,
}

impl LogFile {
    pub(crate) fn new(log: &Log, origin: &Origin) -> Self {
        Self { path: log.path.clone(), bytes_max: log.bytes_max, origin: origin.clone() }
    }

    fn append(&self, text: &str) -> io::Result<()> {
        let mut file = self.open()?;
        let mut length = file.metadata()?.len();
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if length > 0 && length.saturating_add(bytes) > self.bytes_max {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            fs::rename(&self.path, before)?;
            file = self.open()?;
            length = 0;
        }
        file.write_all(text.as_bytes()).inspect_err(|_| {
            // Half a line is worse than none: all of it is tried again.
            if let Err(error) = file.set_len(length) {
                tracing::debug!(%error, "cannot take back half a line");
            }
        })
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)
    }
}

impl Carrier for LogFile {
    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn deliver(&mut self, records: &[Record]) -> Result<(), DeliveryError> {
        let text: String = records.iter().map(|record| line(&self.origin, record)).collect();
        self.append(&text).map_err(|source| {
            let path = self.path.display().to_string();
            DeliveryError::File { path, source }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::tests::{origin, record};

    #[test]
    fn a_full_file_is_begun_anew_and_the_one_before_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.log");
        let bytes_max = 1_000;
        let mut file = LogFile::new(&Log { path: path.clone(), bytes_max }, &origin());
        for number in 1..=20 {
            file.deliver(&[record(number)]).unwrap();
        }
        let (now, before) = (fs::read_to_string(&path).unwrap(), path.with_extension("log.1"));
        let before = fs::read_to_string(before).unwrap();
        for text in [&now, &before] {
            assert!(text.len() <= 1_000 && text.ends_with('\n'), "{text}");
        }
        let numbers: Vec<u64> = (before + &now)
            .lines()
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                object["number"].as_u64().unwrap()
            })
            .collect();
        let first = numbers[0];
        assert_eq!(numbers, (first..=20).collect::<Vec<_>>());
        assert!(numbers.len() >= 3, "{numbers:?}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_failure_that_may_pass() {
        let path = PathBuf::from("/no/such/directory/events.log");
        let mut file = LogFile::new(&Log { path, bytes_max: 1_000 }, &origin());
        let error = file.deliver(&[record(1)]).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /no/such/directory/events.log");
        assert_eq!(error.prospect(), crate::failure::Prospect::Later);
    }
}
