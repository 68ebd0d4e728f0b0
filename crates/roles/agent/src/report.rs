//! What an agent says of itself and of its gateway.

use mainstay_opamp::message::{
    AgentConfigFile, AgentConfigMap, AgentDescription, AnyValue, ComponentHealth, EffectiveConfig,
    KeyValue, Value,
};
use serde_json::Value as Json;

use crate::gateway::Look;

/// The attribute with the SHA-256 of the pin by which this agent knows its manager.
const PIN: &str = "mainstay.pin";

/// The attribute with the list of managers and the last switch: JSON.
const CONTACT: &str = "mainstay.contact";

/// The name of the one file of a configuration.
pub(crate) const FILE: &str = "gateway.toml";

/// Figures of a process that managers are told.
pub(crate) const FIGURES: [&str; 6] =
    ["connections", "requests", "adopted", "restarts", "memory_bytes", "cpu_ms"];

/// Who this is and where it runs.
pub(crate) fn description(pin: Option<&str>, contact: Option<&Json>) -> AgentDescription {
    let mut other = vec![
        KeyValue::text("os.type", "linux"),
        KeyValue::text("host.name", mainstay_os::host_name()),
        KeyValue::text("host.arch", std::env::consts::ARCH),
    ];
    other.extend(pin.map(|pin| KeyValue::text(PIN, pin)));
    other.extend(contact.map(|contact| KeyValue::text(CONTACT, contact.to_string())));
    AgentDescription {
        identifying_attributes: vec![
            KeyValue::text("service.name", "mainstay"),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
        ],
        non_identifying_attributes: other,
    }
}

/// The configuration that is in service.
pub(crate) fn effective(look: &Look) -> EffectiveConfig {
    let file = AgentConfigFile {
        body: look.text.clone(),
        content_type: "application/toml".to_owned(),
        ..AgentConfigFile::default()
    };
    let files = AgentConfigMap { config_map: [(FILE.to_owned(), file)].into() };
    EffectiveConfig { config_map: Some(files) }
}

/// How the gateway and its processes are, with their figures. Without one, why there is none.
pub(crate) fn health(look: Result<&Look, &str>) -> ComponentHealth {
    let now_ns = mainstay_os::unix_millis().saturating_mul(1_000_000);
    let look = match look {
        Ok(look) => look,
        Err(reason) => {
            return ComponentHealth {
                healthy: false,
                last_error: reason.to_owned(),
                status: "away".to_owned(),
                status_time_unix_nano: now_ns,
                ..ComponentHealth::default()
            };
        }
    };
    let serves = look.status.get("active").is_some_and(|active| !active.is_null());
    let processes = look.status.get("processes").and_then(Json::as_array);
    let parts = processes.into_iter().flatten().map(|process| (name(process), part(process)));
    let failovers = look.status.get("failovers").and_then(Json::as_u64).unwrap_or_default();
    ComponentHealth {
        healthy: serves,
        status: if serves { "serves" } else { "serves nobody" }.to_owned(),
        status_time_unix_nano: now_ns,
        component_health_map: parts.collect(),
        attributes: vec![
            integer("mainstay.generation", look.generation),
            integer("mainstay.failovers", failovers),
        ],
        ..ComponentHealth::default()
    }
}

/// Health without what changes all the time: whether there is something new to say.
pub(crate) fn outline(health: &ComponentHealth) -> ComponentHealth {
    let parts = health.component_health_map.iter();
    ComponentHealth {
        status_time_unix_nano: 0,
        attributes: Vec::new(),
        component_health_map: parts.map(|(name, part)| (name.clone(), outline(part))).collect(),
        ..health.clone()
    }
}

/// What a process is called.
pub(crate) fn name(process: &Json) -> String {
    match process.get("process") {
        Some(Json::String(name)) => name.clone(),
        Some(other) => {
            let slot = other.get("worker").and_then(Json::as_str).unwrap_or_default();
            format!("worker {slot}")
        }
        None => String::new(),
    }
}

fn part(process: &Json) -> ComponentHealth {
    let state = process.get("state").and_then(Json::as_str).unwrap_or_default();
    let since = process.get("since_unix").and_then(Json::as_u64).unwrap_or_default();
    let figure = |name: &&str| Some(integer(name, process.get(*name)?.as_u64()?));
    ComponentHealth {
        healthy: state != "down",
        start_time_unix_nano: since.saturating_mul(1_000_000_000),
        status: state.to_owned(),
        attributes: FIGURES.iter().filter_map(figure).collect(),
        ..ComponentHealth::default()
    }
}

fn integer(key: &str, number: u64) -> KeyValue {
    let number = Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(number) }) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gateway_is_told_with_its_processes_and_their_figures() {
        let status = json!({"generation": 3, "active": "one", "failovers": 2, "processes": [
            {"process": "master", "state": "running", "since_unix": 5, "requests": 0},
            {"process": {"worker": "two"}, "state": "down", "since_unix": 0, "requests": 9},
        ]});
        let mut look = Look { generation: 3, status, text: Vec::new() };
        let told = health(Ok(&look));
        assert!(told.healthy);
        assert!(told.component_health_map["master"].healthy);
        assert!(!told.component_health_map["worker two"].healthy);
        assert_eq!(told.component_health_map["worker two"].attributes.len(), 1);

        look.status["processes"][1]["requests"] = json!(10);
        let later = health(Ok(&look));
        assert_ne!(later, told);
        assert_eq!(outline(&later), outline(&told), "more requests are no news");
        look.status["active"] = Json::Null;
        assert!(!health(Ok(&look)).healthy);
        assert_eq!(health(Err("gone")).last_error, "gone");
    }
}
