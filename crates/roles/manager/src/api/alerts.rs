//! Alerts: what somebody should look at.

use mainstay_database::{AlertFilter, AlertId, AlertRow, AlertState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answered, done, page, stored};
use super::ask::{Ask, choose};
use super::events::SEVERITIES;
use super::{Api, agents, instant};

const STATES: [(&str, AlertState); 3] = [
    ("open", AlertState::Open),
    ("acknowledged", AlertState::Acknowledged),
    ("closed", AlertState::Closed),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    state: String,
}

pub(super) async fn list(api: &Api, ask: &Ask) -> Answered {
    let filter = AlertFilter {
        state: ask.choice("state", &STATES)?,
        kind: ask.query.get("kind").cloned(),
        agent: ask.parameter("agent")?,
    };
    page(&api.store.alerts(filter, ask.range()?).await?, view)
}

pub(super) async fn set(api: &Api, ask: &Ask) -> Answered {
    let alert: AlertId = ask.id()?;
    let change: Change = ask.body()?;
    let state = choose("state", &change.state, &STATES)?;
    let audit = ask.audit("alert.state", alert.to_string(), &json!({ "state": change.state }))?;
    api.store.set_alert(alert, state, audit).await?;
    done()
}

fn view(row: &AlertRow) -> Value {
    json!({
        "id": row.id.0,
        "key": row.alert.key,
        "kind": row.alert.kind,
        "severity": agents::called(row.alert.severity, &SEVERITIES),
        "agent": row.alert.agent.map(|agent| agent.to_string()),
        "text": row.alert.text,
        "detail": stored(&row.alert.detail),
        "state": agents::called(row.state, &STATES),
        "count": row.count,
        "first_at": instant::json(row.first_at),
        "last_at": instant::json(row.last_at),
        "by": row.by,
    })
}
