//! Whether a value is what a schema of the description says: as much of JSON Schema as is used
//! there.

use serde_json::Value;

/// What is wrong with a value, and where.
pub(super) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(document, schema, value, "$")
}

fn at(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        let schema = document.pointer(pointer).ok_or_else(|| format!("no {reference}"))?;
        return at(document, schema, value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| at(document, choice, value, place).is_ok();
        return match choices.iter().filter(fits).count() {
            1 => Ok(()),
            _ => Err(format!("{place}: {value} is not one of {schema}")),
        };
    }
    let is_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    };
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::String(name) => is_type(name),
        Value::Array(names) => names.iter().any(|name| is_type(name.as_str().unwrap())),
        other => panic!("no type {other}"),
    };
    if !fits {
        return Err(format!("{place}: {value} is no {}", schema["type"]));
    }
    if let Some(known) = schema["enum"].as_array()
        && !known.contains(value)
    {
        return Err(format!("{place}: {value} is none of {known:?}"));
    }
    parts(document, schema, value, place)
}

fn parts(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    match value {
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                at(document, &schema["items"], item, &format!("{place}[{number}]"))?;
            }
        }
        Value::Object(fields) => {
            for needed in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(needed.as_str().unwrap()) {
                    return Err(format!("{place}: {needed} is missing"));
                }
            }
            for (name, field) in fields {
                let place = format!("{place}.{name}");
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (Value::Null, Value::Bool(false)) => {
                        return Err(format!("{place} is not described"));
                    }
                    (Value::Null, Value::Null) => {}
                    (Value::Null, other) => at(document, other, field, &place)?,
                    (known, _) => at(document, known, field, &place)?,
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}
