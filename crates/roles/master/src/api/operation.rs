//! What can be asked: method and path, and what they mean. `openapi.json` describes each.

use hyper::Method;
use mainstay_model::Generation;

use super::problem::Problem;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Describe,
    Status,
    Health,
    Generations,
    /// The text of one.
    Generation(Generation),
    Apply,
    Rollback,
    Swap,
    Purge,
    PolicyRefresh,
    EspStatus,
}

/// Everything that is there: what only looks is `GET`, what changes something is `POST`.
const PATHS: [(&str, &str); 11] = [
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/status"),
    ("GET", "/v1/health"),
    ("GET", "/v1/generations"),
    ("GET", "/v1/generations/{generation}"),
    ("GET", "/v1/esp-status"),
    ("POST", "/v1/apply"),
    ("POST", "/v1/rollback"),
    ("POST", "/v1/swap"),
    ("POST", "/v1/purge"),
    ("POST", "/v1/policy-refresh"),
];

/// What a method and a path mean.
pub(super) fn find(method: &Method, path: &str) -> Result<Operation, Problem> {
    let is_there = |(_, pattern): &&(&str, &str)| matches(pattern, path);
    let Some((allowed, pattern)) = PATHS.iter().find(is_there) else {
        return Err(Problem::not_found("/v1/openapi.json describes what is here"));
    };
    let is_allowed = match *allowed {
        "GET" => method == Method::GET || method == Method::HEAD,
        allowed => method.as_str() == allowed,
    };
    if !is_allowed {
        return Err(Problem::not_allowed(if *allowed == "GET" { "GET, HEAD" } else { allowed }));
    }
    Ok(match *pattern {
        "/v1/openapi.json" => Operation::Describe,
        "/v1/status" => Operation::Status,
        "/v1/health" => Operation::Health,
        "/v1/generations" => Operation::Generations,
        "/v1/esp-status" => Operation::EspStatus,
        "/v1/apply" => Operation::Apply,
        "/v1/rollback" => Operation::Rollback,
        "/v1/swap" => Operation::Swap,
        "/v1/purge" => Operation::Purge,
        "/v1/policy-refresh" => Operation::PolicyRefresh,
        _ => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let number = name.parse::<Generation>();
            Operation::Generation(number.map_err(|error| Problem::not_found(error.to_string()))?)
        }
    })
}

/// Whether a path is one of a pattern's, whose last part may stand for any.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('{') {
        None => pattern == path,
        Some((before, _)) => {
            path.strip_prefix(before).is_some_and(|name| !name.is_empty() && !name.contains('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::answer::DESCRIPTION;
    use super::*;

    #[test]
    fn what_is_there_is_found_and_nothing_else() {
        let found = |method, path| find(&method, path).map_err(|problem| problem.status.as_u16());
        assert_eq!(found(Method::GET, "/v1/status"), Ok(Operation::Status));
        assert_eq!(found(Method::HEAD, "/v1/health"), Ok(Operation::Health));
        let seven = "7".parse().unwrap();
        assert_eq!(found(Method::GET, "/v1/generations/7"), Ok(Operation::Generation(seven)));
        assert_eq!(found(Method::POST, "/v1/apply"), Ok(Operation::Apply));
        assert_eq!(found(Method::GET, "/v1/apply"), Err(405));
        assert_eq!(found(Method::HEAD, "/v1/swap"), Err(405));
        assert_eq!(found(Method::POST, "/v1/status"), Err(405));
        for path in ["/", "/v1", "/v1/", "/v1/status/", "/v1/generations/", "/v1/generations/01"] {
            assert_eq!(found(Method::GET, path), Err(404), "{path}");
        }
        assert_eq!(found(Method::GET, "/v1/generations/../status"), Err(404));
    }

    /// The rules that every description has to follow, by a reader of OpenAPI 3.1.
    #[test]
    fn the_description_is_one() {
        let spec = oas3::from_json(DESCRIPTION).unwrap();
        assert_eq!(spec.openapi, "3.1.0");
        spec.validate_version().unwrap();
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut references = Vec::new();
        collect_references(&description, &mut references);
        for reference in &references {
            let pointer = reference.strip_prefix('#').expect("it refers to itself");
            assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        // What nobody refers to describes nothing.
        for kind in ["schemas", "responses"] {
            for name in description["components"][kind].as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(references.contains(&reference), "{reference} is not used");
            }
        }
    }

    #[test]
    fn everything_that_is_there_is_described_and_the_reverse() {
        let spec = oas3::from_json(DESCRIPTION).unwrap();
        let mut ids = BTreeSet::new();
        let mut described = BTreeSet::new();
        for (path, method, operation) in spec.operations() {
            described.insert((method.to_string(), path.clone()));
            let id = operation.operation_id.clone().unwrap();
            assert!(ids.insert(id), "two operations of one name: {operation:?}");
            assert!(operation.summary.is_some(), "{method} {path} has no summary");
            let responses = operation.responses(&spec);
            assert!(responses.contains_key("200"), "{method} {path} cannot go well");
            assert!(responses.contains_key("default"), "{method} {path} cannot fail");
            for response in responses.values() {
                let description = response.description.as_deref().unwrap_or_default();
                assert!(!description.is_empty(), "{method} {path}");
                let schemas: Vec<_> =
                    response.content.values().map(|media| media.schema.is_some()).collect();
                assert!(!schemas.is_empty() && schemas.iter().all(|is_there| *is_there), "{path}");
            }
            let parameters = operation.parameters(&spec).unwrap();
            let in_path =
                parameters.iter().filter(|one| path.contains(&format!("{{{}}}", one.name)));
            assert_eq!(in_path.count(), path.matches('{').count(), "{path}");
        }
        let there: BTreeSet<(String, String)> =
            PATHS.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, there);
    }

    fn collect_references(value: &Value, references: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (&**name, value) {
                        ("$ref", Value::String(reference)) => references.push(reference.clone()),
                        _ => collect_references(value, references),
                    }
                }
            }
            Value::Array(values) => {
                values.iter().for_each(|value| collect_references(value, references));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
