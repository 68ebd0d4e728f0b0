//! What an operator is told of an agent.

use mainstay_config::agent::Agent;
use serde::Serialize;
use serde_json::Value;

use crate::figures::Figures;
use crate::state::{Offer, State, SwitchNote};

/// All that there is to tell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) running: bool,
    pub(crate) agent: String,
    /// The database's name; none: it has not joined.
    pub(crate) registered_with: Option<String>,
    pub(crate) group: String,
    pub(crate) managers: Vec<String>,
    pub(crate) current: Option<String>,
    pub(crate) last_exchange_unix: Option<u64>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_switch: Option<SwitchNote>,
    pub(crate) next_failback_s: Option<u64>,
    pub(crate) pin: Option<String>,
    /// All that it accepts.
    pub(crate) pins: Vec<String>,
    pub(crate) queued: usize,
    pub(crate) dropped: u64,
    pub(crate) durable_through: u64,
    pub(crate) sequence: u64,
    pub(crate) generation: Option<u64>,
    pub(crate) offer: Option<Offer>,
    pub(crate) drifted: bool,
    /// None: it does not run.
    pub(crate) figures: Option<Figures>,
}

impl Status {
    /// What is on the disk.
    pub(crate) fn of(settings: &Agent, state: &State) -> Self {
        Self {
            running: true,
            agent: state.uid.clone(),
            registered_with: state.joining.is_none().then(|| state.database.clone()),
            group: state.group.clone(),
            managers: settings.managers.iter().map(ToString::to_string).collect(),
            current: None,
            last_exchange_unix: None,
            last_error: None,
            last_switch: state.last_switch.clone(),
            next_failback_s: None,
            pin: None,
            pins: Vec::new(),
            queued: 0,
            dropped: 0,
            durable_through: state.durable_through,
            sequence: state.sequence,
            generation: None,
            offer: state.offer.clone(),
            drifted: false,
            figures: None,
        }
    }
}

pub(crate) fn json(status: &Status) -> Value {
    serde_json::to_value(status).expect("a status is JSON")
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Short,
    Long,
}

/// A status for people; `now_unix` is what times are told by.
pub(crate) fn text(status: &Value, detail: Detail, now_unix: u64) -> String {
    let word = |key: &str| status.get(key).and_then(Value::as_str);
    let number = |key: &str| status.get(key).and_then(Value::as_u64);
    let is = |key: &str| status.get(key).and_then(Value::as_bool).unwrap_or_default();
    let ago = |unix: u64| format!("{} s ago", now_unix.saturating_sub(unix));
    let mut lines = Vec::new();
    let mut line = |name: &str, said: String| lines.push(format!("{name:<17} {said}"));
    line("agent", word("agent").unwrap_or_default().to_owned());
    line("registered with", word("registered_with").unwrap_or("nobody so far").to_owned());
    let connected = if is("running") {
        word("current").unwrap_or_default()
    } else {
        "nobody: the agent does not run"
    };
    let when = number("last_exchange_unix").map(|unix| format!(", last exchange {}", ago(unix)));
    line("connected to", format!("{connected}{}", when.unwrap_or_default()));
    if let Some(error) = word("last_error") {
        line("last error", error.to_owned());
    }
    if detail == Detail::Short {
        return lines.join("\n");
    }
    line("group", word("group").unwrap_or_default().to_owned());
    let managers = status.get("managers").and_then(Value::as_array).into_iter().flatten();
    for (index, manager) in managers.filter_map(Value::as_str).enumerate() {
        line(if index == 0 { "list" } else { "" }, format!("{}. {manager}", index + 1));
    }
    let switch = status.get("last_switch").filter(|switch| !switch.is_null());
    line(
        "last switch",
        switch.map_or_else(
            || "none".to_owned(),
            |switch| {
                let part =
                    |key: &str| switch.get(key).and_then(Value::as_str).unwrap_or("another list");
                let at = switch.get("unix_ms").and_then(Value::as_u64).unwrap_or_default() / 1_000;
                format!("{}: {} -> {}: {}", ago(at), part("from"), part("to"), part("reason"))
            },
        ),
    );
    let failback = number("next_failback_s").map(|s| format!("in {s} s"));
    line("next failback", failback.unwrap_or_else(|| "none due".to_owned()));
    line("pin in use", word("pin").unwrap_or("none").to_owned());
    let pins = status.get("pins").and_then(Value::as_array).into_iter().flatten();
    for (index, pin) in pins.filter_map(Value::as_str).enumerate() {
        line(if index == 0 { "accepts" } else { "" }, pin.to_owned());
    }
    let (queued, dropped) = (number("queued").unwrap_or(0), number("dropped").unwrap_or(0));
    line("events", format!("{queued} waiting, {dropped} dropped"));
    if let Some(figures) = status.get("figures").filter(|figures| !figures.is_null()) {
        let figure = |key: &str| figures.get(key).and_then(Value::as_u64);
        let took = figure("last_exchange_ms").map(|ms| format!(", the last took {ms} ms"));
        let (answered, failed) =
            (figure("exchanges").unwrap_or(0), figure("failures").unwrap_or(0));
        let took = took.unwrap_or_default();
        line("exchanges", format!("{answered} answered, {failed} failed{took}"));
    }
    let generation = number("generation").map(|number| format!("generation {number}"));
    line("gateway", generation.unwrap_or_else(|| "not seen".to_owned()));
    if let Some(offer) = status.get("offer").filter(|offer| !offer.is_null()) {
        let part = |key: &str| offer.get(key).and_then(Value::as_str).unwrap_or_default();
        let drifted = if is("drifted") { ", the gateway serves something else" } else { "" };
        let reason = if part("message").is_empty() {
            String::new()
        } else {
            format!(": {}", part("message"))
        };
        line("configuration", format!("{}{drifted}{reason}", part("outcome")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_an_operator_asks_for_is_shown() {
        let status = json!({
            "running": true, "agent": "A", "registered_with": "D", "group": "edge",
            "managers": ["https://a:1", "https://b:1"], "current": "https://b:1",
            "last_exchange_unix": 95, "last_error": null, "pin": "AB:CD", "queued": 2,
            "last_switch": {"unix_ms": 90_000, "from": "https://a:1", "to": "https://b:1", "reason": "no answer in time"},
            "next_failback_s": 60, "dropped": 0, "generation": 3, "drifted": true,
            "figures": {"exchanges": 7, "failures": 1, "last_exchange_ms": 12},
            "offer": {"hash": "x", "outcome": "applied", "message": ""},
        });
        let text = text(&status, Detail::Long, 100);
        for said in [
            "registered with   D",
            "connected to      https://b:1, last exchange 5 s ago",
            "list              1. https://a:1",
            "                  2. https://b:1",
            "last switch       10 s ago: https://a:1 -> https://b:1: no answer in time",
            "next failback     in 60 s",
            "pin in use        AB:CD",
            "exchanges         7 answered, 1 failed, the last took 12 ms",
            "configuration     applied, the gateway serves something else",
        ] {
            assert!(text.contains(said), "{said}:\n{text}");
        }
    }
}
