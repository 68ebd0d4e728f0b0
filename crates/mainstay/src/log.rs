//! One event, one line, on standard error.
//!
//! ```text
//! 2026-03-01T12:00:00.123456Z  WARN edge-1 supervisor process ended, it is started again pid=7
//! ```
//!
//! `MAINSTAY_LOG` filters (`debug`, or `info,mainstay_proxy=trace`); `MAINSTAY_LOG_FORMAT=json`
//! gives one object a line. The gateway and the process are in every line, for all processes of a
//! gateway share the stream, and many gateways may share a collector. No thread is started: a keeper is made after this.

use std::fmt;
use std::panic::{self, PanicHookInfo};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is logged.
const FILTER: &str = "MAINSTAY_LOG";

/// In which form.
const FORMAT: &str = "MAINSTAY_LOG_FORMAT";

/// In whose name a line is.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The gateway; none for a command that belongs to none.
    pub(crate) gateway: Option<String>,
    pub(crate) process: String,
    /// The number of the process among those that may serve.
    pub(crate) index: Option<u8>,
}

/// Starts logging in this name.
pub(crate) fn start(origin: Origin) {
    let filter = EnvFilter::builder()
        .with_env_var(FILTER)
        .with_default_directive(Level::INFO.into())
        .from_env_lossy();
    let json = std::env::var(FORMAT).is_ok_and(|format| format == "json");
    let form = if json { Form::Json } else { Form::Text };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .event_format(Lines { origin, form })
        .init();
    panic::set_hook(Box::new(|panicked: &PanicHookInfo<'_>| {
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        let reason = panicked.payload_as_str().unwrap_or("no reason given");
        error!(reason, place, "this process found that it is wrong, and ends");
    }));
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

struct Lines {
    origin: Origin,
    form: Form,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level();
        match self.form {
            Form::Text => {
                SystemTime.format_time(&mut writer)?;
                write!(writer, " {level:>5} ")?;
                if let Some(gateway) = &self.origin.gateway {
                    write!(writer, "{gateway} ")?;
                }
                write!(writer, "{} ", self.origin.process)?;
                context.field_format().format_fields(writer.by_ref(), event)?;
                writeln!(writer)
            }
            Form::Json => {
                let mut time = String::new();
                SystemTime.format_time(&mut Writer::new(&mut time))?;
                let mut object = Object(Map::new());
                object.put("time", time);
                object.put("level", level.to_string().to_lowercase());
                if let Some(gateway) = &self.origin.gateway {
                    object.put("gateway", gateway.clone());
                }
                object.put("process", self.origin.process.clone());
                if let Some(index) = self.origin.index {
                    object.put("index", index);
                }
                event.record(&mut object);
                writeln!(writer, "{}", Value::Object(object.0))
            }
        }
    }
}

/// The fields of an event. One that is called as one of ours is called so with a `_`.
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        let mut name = name.to_owned();
        while self.0.contains_key(&name) {
            name.push('_');
        }
        self.0.insert(name, value.into());
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing::info;

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(form: Form) -> String {
        let output = Output::default();
        let writer = output.clone();
        let origin = Origin {
            gateway: Some("edge-1".to_owned()),
            process: "worker one".to_owned(),
            index: Some(1),
        };
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(Lines { origin, form })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            info!(pid = 7, process = "master", reason = %"it\nstood still", "worker is killed");
        });
        let bytes = output.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_says_when_how_bad_who_and_what() {
        let line = logged(Form::Text);
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert!(
            rest.starts_with(" INFO edge-1 worker one worker is killed pid=7 process=\"master\""),
            "{rest}"
        );
    }

    #[test]
    fn an_object_is_one_line_and_loses_no_field() {
        let line = logged(Form::Json);
        assert_eq!(line.lines().count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["gateway"], "edge-1");
        assert_eq!(object["index"], 1);
        assert_eq!(object["process"], "worker one");
        assert_eq!(object["process_"], "master");
        assert_eq!(object["message"], "worker is killed");
        assert_eq!(object["pid"], 7);
    }
}
