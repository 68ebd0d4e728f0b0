//! The gateway's main figures at one instant, as an event of its fleet.
//!
//! A sample says what `GET /v1/status` says of every process, without what a fleet has no use
//! for. It takes the way of every event, so each comes once; and as the next one says more than
//! it does, it is the first that a full queue does without.

use mainstay_opamp::events::{Event, Severity};
use serde_json::{Map, Value, json};

use crate::gateway::Look;
use crate::report;

/// What kind of event it is.
pub(crate) const KIND: &str = "gateway.metrics";

/// Most processes of a sample: a gateway has half as many.
const PROCESSES_MAX: usize = 12;

/// What the gateway does at this instant.
pub(crate) fn event(look: &Look, unix_us: u64) -> Event {
    let processes = look.status.get("processes").and_then(Value::as_array);
    let processes: Vec<&Value> = processes.into_iter().flatten().take(PROCESSES_MAX).collect();
    let sum = |name: &str| {
        let figures = processes.iter().filter_map(|process| process.get(name)?.as_u64());
        figures.fold(0, u64::saturating_add)
    };
    let each =
        processes.iter().map(|process| (report::name(process), Value::Object(part(process))));
    let body = json!({
        "generation": look.generation,
        "active": look.status.get("active"),
        "failovers": look.status.get("failovers").and_then(Value::as_u64),
        "connections": sum("connections"),
        "requests": sum("requests"),
        "processes": each.collect::<Map<_, _>>(),
    });
    Event {
        unix_us,
        severity: Severity::Info.into(),
        kind: KIND.to_owned(),
        body: body.to_string(),
    }
}

/// One process. A figure that is nothing is left out.
fn part(process: &Value) -> Map<String, Value> {
    let state = process.get("state").filter(|state| state.is_string());
    let figures = ["since_unix"].into_iter().chain(report::FIGURES).filter_map(|name| {
        let figure = process.get(name)?.as_u64().filter(|figure| *figure > 0)?;
        Some((name.to_owned(), figure.into()))
    });
    state.map(|state| ("state".to_owned(), state.clone())).into_iter().chain(figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_figures_of_every_process_and_their_sums() {
        let status = json!({"generation": 3, "active": "one", "failovers": 2, "processes": [
            {"process": "master", "state": "running", "pid": 7, "since_unix": 5, "requests": 0},
            {"process": {"worker": "one"}, "state": "active", "since_unix": 6, "requests": 9,
             "connections": 4, "cpu_ms": 11, "memory_bytes": 12, "keeper_pid": 8},
            {"process": {"worker": "two"}, "state": "standby", "requests": 1},
        ]});
        let look = Look { generation: 3, status, text: Vec::new() };
        let event = event(&look, 99);
        assert_eq!((event.unix_us, event.kind.as_str()), (99, "gateway.metrics"));
        let body: Value = serde_json::from_str(&event.body).unwrap();
        let expected = json!({
            "generation": 3, "active": "one", "failovers": 2, "connections": 4, "requests": 10,
            "processes": {
                "master": {"state": "running", "since_unix": 5},
                "worker one": {"state": "active", "since_unix": 6, "requests": 9,
                    "connections": 4, "cpu_ms": 11, "memory_bytes": 12},
                "worker two": {"state": "standby", "requests": 1},
            },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_sample_is_short_whatever_the_gateway_says() {
        let process = |number: usize| {
            json!({"process": format!("p{number}"), "state": "running", "since_unix": u64::MAX,
                "connections": u64::MAX, "requests": u64::MAX, "adopted": u64::MAX,
                "restarts": u64::MAX, "memory_bytes": u64::MAX, "cpu_ms": u64::MAX})
        };
        let status = json!({"processes": (0..1000).map(process).collect::<Vec<_>>()});
        let look = Look { generation: 3, status, text: Vec::new() };
        assert!(event(&look, 99).body.len() < 4096);
    }
}
