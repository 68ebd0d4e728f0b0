//! The webhook: alerts as an Alertmanager takes them, with POST over HTTP/1.1.
//!
//! An alert that stands is posted with an end that lies beyond the next time it is told, so it
//! ends there by itself if this gateway does. What merely happened stands for a while, and ends
//! by itself too.
//!
//! Source: the OpenAPI description of Alertmanager's API, version 2, `postableAlerts`.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use mainstay_alert::can_stand;
use mainstay_config::alerts::Webhook;
use mainstay_wire::event::{Change, Record};
use serde_json::{Map, Value, json};

use crate::Origin;
use crate::date::Date;
use crate::failure::DeliveryError;
use crate::outlet::Carrier;
use crate::reach;

/// Most alerts in one request.
const BATCH_MAX: usize = 64;

/// Most of an answer that is read: its first line is all that counts.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// An alert ends by itself when it was not told so many times.
const REPEATS_MISSED: u32 = 3;

#[derive(Debug)]
pub(crate) struct WebhookCaller {
    webhook: Webhook,
    origin: Origin,
    repeat: Duration,
    timeout: Duration,
}

impl WebhookCaller {
    pub(crate) fn new(
        webhook: &Webhook,
        origin: &Origin,
        repeat: Duration,
        timeout: Duration,
    ) -> Self {
        Self { webhook: webhook.clone(), origin: origin.clone(), repeat, timeout }
    }

    fn request(&self, records: &[Record]) -> String {
        let alerts: Vec<Value> = records.iter().map(|record| self.alert(record)).collect();
        let body = Value::Array(alerts).to_string();
        let Webhook { path, authority, .. } = &self.webhook;
        format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: mainstay\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn alert(&self, record: &Record) -> Value {
        let mut labels = Map::new();
        let mut put = |name: &str, value: String| {
            labels.insert(name.to_owned(), Value::String(value));
        };
        put("alertname", alert_name(record.alert.name()));
        put("gateway", self.origin.gateway.clone());
        put("severity", record.severity.name().to_owned());
        if let Some(process) = record.process {
            put("process", process.to_string());
        }
        let mut annotations: Map<String, Value> =
            record.details.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
        annotations.insert("summary".to_owned(), json!(record.summary));
        annotations.insert("suppressed".to_owned(), json!(record.suppressed.to_string()));
        let lasts = if can_stand(record.alert) {
            self.repeat.saturating_mul(REPEATS_MISSED)
        } else {
            self.webhook.lasts
        };
        let ends = match record.change {
            Change::Cleared => record.unix_ms,
            Change::Raised | Change::Repeated | Change::Happened | Change::Suppressed => {
                let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
                record.unix_ms.saturating_add(lasts)
            }
        };
        json!({
            "labels": labels,
            "annotations": annotations,
            "startsAt": Date(record.since_unix_ms.min(ends)).to_string(),
            "endsAt": Date(ends).to_string(),
        })
    }

    fn post(&self, request: &str) -> Result<u16, DeliveryError> {
        let server = || self.webhook.authority.clone();
        let until = Instant::now() + self.timeout;
        let mut stream = reach::connect(&self.webhook.server, self.timeout)?;
        stream
            .write_all(request.as_bytes())
            .map_err(|source| DeliveryError::Send { server: server(), source })?;
        let unanswered = |source| DeliveryError::Answer { server: server(), source };
        let mut answer = Vec::new();
        let mut buffer = [0; 512];
        while !answer.contains(&b'\n') && answer.len() < ANSWER_BYTES_MAX {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(unanswered(io::Error::from(io::ErrorKind::TimedOut)));
            }
            stream.set_read_timeout(Some(left)).map_err(unanswered)?;
            match stream.read(&mut buffer).map_err(unanswered)? {
                0 => break,
                bytes => answer.extend_from_slice(buffer.get(..bytes).unwrap_or_default()),
            }
        }
        status(&answer).ok_or_else(|| DeliveryError::NotHttp { server: server() })
    }
}

impl Carrier for WebhookCaller {
    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn deliver(&mut self, records: &[Record]) -> Result<(), DeliveryError> {
        match self.post(&self.request(records))? {
            200..=299 => Ok(()),
            status => Err(DeliveryError::Status { server: self.webhook.authority.clone(), status }),
        }
    }
}

/// `process_died` becomes `MainstayProcessDied`.
fn alert_name(kind: &str) -> String {
    let mut name = "Mainstay".to_owned();
    for word in kind.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// The status of an answer that begins with `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&byte| byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next()?;
    status.parse().ok().filter(|status| (100..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use mainstay_config::alerts::ServerAddress;
    use mainstay_wire::event::Kind;

    use super::*;
    use crate::failure::Prospect;
    use crate::form::tests::{origin, record};

    fn caller(address: std::net::SocketAddr) -> WebhookCaller {
        let webhook = Webhook {
            server: ServerAddress::Ip(address),
            authority: address.to_string(),
            path: "/api/v2/alerts".to_owned(),
            lasts: Duration::from_mins(5),
        };
        WebhookCaller::new(&webhook, &origin(), Duration::from_mins(5), Duration::from_secs(10))
    }

    #[test]
    fn alerts_are_as_an_alertmanager_takes_them() {
        let caller = caller(([127, 0, 0, 1], 9093).into());
        let shown = |record: &Record| serde_json::to_string_pretty(&caller.alert(record)).unwrap();
        insta::assert_snapshot!(shown(&record(7)), @r#"
        {
          "annotations": {
            "ending": "SIGKILL",
            "pid": "4711",
            "summary": "worker one died (SIGKILL)",
            "suppressed": "0"
          },
          "endsAt": "2026-03-01T12:15:00.123Z",
          "labels": {
            "alertname": "MainstayProcessDied",
            "gateway": "edge-1",
            "process": "worker one",
            "severity": "warning"
          },
          "startsAt": "2026-03-01T12:00:00.123Z"
        }
        "#);
        let cleared = Record {
            change: Change::Cleared,
            kind: Kind::ProcessUp,
            unix_ms: record(7).unix_ms + 1_500,
            suppressed: 2,
            ..record(8)
        };
        insta::assert_snapshot!(shown(&cleared), @r#"
        {
          "annotations": {
            "ending": "SIGKILL",
            "pid": "4711",
            "summary": "worker one died (SIGKILL)",
            "suppressed": "2"
          },
          "endsAt": "2026-03-01T12:00:01.623Z",
          "labels": {
            "alertname": "MainstayProcessDied",
            "gateway": "edge-1",
            "process": "worker one",
            "severity": "warning"
          },
          "startsAt": "2026-03-01T12:00:00.123Z"
        }
        "#);
        let happened = Record {
            change: Change::Happened,
            kind: Kind::FailedOver,
            alert: Kind::FailedOver,
            process: None,
            ..record(9)
        };
        let happened = caller.alert(&happened);
        assert_eq!(happened["endsAt"], "2026-03-01T12:05:00.123Z");
        let request = caller.request(&[record(1), record(2)]);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        let alerts: Value = serde_json::from_str(body).unwrap();
        assert_eq!(alerts.as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_first_line_of_an_answer_counts() {
        let cases = [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503 \r\n", Some(503)),
            ("HTTP/1.1 20x OK\r\n", None),
            ("HTTP/2 200\r\n", None),
            ("", None),
            ("SSH-2.0-x\r\n", None),
        ];
        for (answer, expected) in cases {
            assert_eq!(status(answer.as_bytes()), expected, "{answer:?}");
        }
    }

    #[test]
    fn answers_decide_whether_it_is_tried_again() {
        let cases = [
            ("HTTP/1.1 202 Accepted\r\n\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", Some(Prospect::Never)),
            ("HTTP/1.1 429 Too Many Requests\r\n\r\n", Some(Prospect::Later)),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(Prospect::Later)),
            ("hello\r\n", Some(Prospect::Later)),
            ("", Some(Prospect::Later)),
        ];
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut caller = caller(server.local_addr().unwrap());
        for (answer, expected) in cases {
            let found = thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = server.accept().unwrap();
                    let mut request = [0; 64 * 1024];
                    // All of it is there at once, or the rest is of no interest.
                    assert!(stream.read(&mut request).unwrap() > 0);
                    stream.write_all(answer.as_bytes()).unwrap();
                });
                caller.deliver(&[record(1)]).err().map(|error| error.prospect())
            });
            assert_eq!(found, expected, "{answer:?}");
        }
    }
}
