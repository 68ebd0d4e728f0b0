//! A record as JSON, for the file: one object, one line.

use mainstay_wire::event::Record;
use serde_json::{Map, Value, json};

use crate::Origin;
use crate::date::Date;

/// One line, its end included.
pub(crate) fn line(origin: &Origin, record: &Record) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    put("time", json!(Date(record.unix_ms).to_string()));
    put("gateway", json!(origin.gateway));
    put("number", json!(record.number));
    put("change", json!(record.change.name()));
    put("event", json!(record.kind.name()));
    put("alert", json!(record.alert.name()));
    put("severity", json!(record.severity.name()));
    if let Some(process) = record.process {
        put("process", json!(process.to_string()));
    }
    put("since", json!(Date(record.since_unix_ms).to_string()));
    put("suppressed", json!(record.suppressed));
    put("summary", json!(record.summary));
    put("details", json!(record.details));
    Value::Object(object).to_string() + "\n"
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use mainstay_model::{Process, Slot};
    use mainstay_wire::event::{Change, Kind, Severity};

    use super::*;

    pub(crate) const NOON: u64 = 1_772_366_400_123;

    /// A worker's death.
    pub(crate) fn record(number: u64) -> Record {
        let details = [("pid", "4711"), ("ending", "SIGKILL")];
        let details = details.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Record {
            number,
            unix_ms: NOON,
            change: Change::Raised,
            kind: Kind::ProcessDied,
            alert: Kind::ProcessDied,
            severity: Severity::Warning,
            process: Some(Process::Worker(Slot::One)),
            since_unix_ms: NOON,
            suppressed: 0,
            summary: "worker one died (SIGKILL)".to_owned(),
            details: BTreeMap::from(details),
        }
    }

    pub(crate) fn origin() -> Origin {
        Origin { gateway: "edge-1".to_owned(), host: "host-1".to_owned(), pid: 4242 }
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let text = line(&origin(), &Record { summary: "two\nlines".to_owned(), ..record(7) });
        insta::assert_snapshot!(text, @r#"{"alert":"process_died","change":"raised","details":{"ending":"SIGKILL","pid":"4711"},"event":"process_died","gateway":"edge-1","number":7,"process":"worker one","severity":"warning","since":"2026-03-01T12:00:00.123Z","summary":"two\nlines","suppressed":0,"time":"2026-03-01T12:00:00.123Z"}"#);
        assert_eq!(text.lines().count(), 1);
    }
}
