//! Events: what agents have seen and managers have to tell.

use mainstay_database::{EventFilter, EventRow, Severity};
use serde_json::{Value, json};

use super::answer::{self, Answered, page, stored};
use super::ask::Ask;
use super::problem::Problem;
use super::{Api, agents, instant};

pub(super) const SEVERITIES: [(&str, Severity); 5] = [
    ("debug", Severity::Debug),
    ("information", Severity::Information),
    ("warning", Severity::Warning),
    ("error", Severity::Error),
    ("critical", Severity::Critical),
];

/// The newest first.
pub(super) async fn list(api: &Api, ask: &Ask) -> Answered {
    page(&api.store.events(filter(ask)?, ask.range()?).await?, view)
}

pub(super) async fn days(api: &Api) -> Answered {
    let days = api.store.event_days().await?;
    answer::list(&days, |day| json!({ "day": day.day.to_string(), "events": day.events }))
}

pub(super) fn filter(ask: &Ask) -> Result<EventFilter, Problem> {
    Ok(EventFilter {
        agent: ask.parameter("agent")?,
        stream: ask.parameter("stream")?,
        kind: ask.query.get("kind").cloned(),
        severity: ask.choice("severity", &SEVERITIES)?,
        from: ask.instant("from")?,
        before: ask.instant("before")?,
    })
}

pub(super) fn view(event: &EventRow) -> Value {
    json!({
        "position": event.position.to_string(),
        "agent": event.agent.map(|agent| agent.to_string()),
        "stream": event.origin.map(|(stream, _)| stream.to_string()),
        "number": event.origin.map(|(_, number)| number),
        "at": instant::text(mainstay_database::WallTime(event.at)),
        "received_at": instant::json(event.received_at),
        "manager": event.manager.map(|manager| manager.to_string()),
        "kind": event.kind,
        "severity": agents::called(event.severity, &SEVERITIES),
        "body": stored(&event.body),
    })
}
