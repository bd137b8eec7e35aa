//! The texts that types of several parts consist of: trimmed, one line each, absent rather than
//! blank. Never a type of its own.

use serde_json::{Map, Value, json};

use super::Problem;

/// Trims texts, and leaves out what is blank or null.
pub(super) fn normalize(value: Value) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let trimmed = members.into_iter().map(|(name, member)| match member {
        Value::String(text) => (name, Value::from(text.trim())),
        other => (name, other),
    });
    let there = trimmed.filter(|(_, member)| !member.is_null() && member != "");
    Value::Object(there.collect())
}

/// JSON Schema of an object of texts, some of them required, at least one there.
pub(super) fn schema(names: &[&str], required: &[&str], max_characters: u64) -> Value {
    let properties: Map<String, Value> = names
        .iter()
        .map(|name| {
            let text = json!({ "type": "string", "minLength": 1, "maxLength": max_characters });
            ((*name).to_owned(), text)
        })
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "minProperties": 1,
        "additionalProperties": false,
    })
}

/// Refuses line breaks and other control characters.
pub(super) fn check(value: &Value) -> Result<(), Problem> {
    let mut members = value.as_object().into_iter().flatten();
    let broken = members.find(|(_, member)| {
        let text = member.as_str().unwrap_or_default();
        text.chars().any(char::is_control)
    });
    match broken {
        Some((name, _)) => Err(Problem::new(
            "format",
            format!("{name} is one line: no line breaks or control characters"),
        )),
        None => Ok(()),
    }
}
