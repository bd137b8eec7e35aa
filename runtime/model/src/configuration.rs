//! JSON Schemas with which plugins say what they are configured with: what the console makes
//! forms of, and what a configuration is checked against.

use serde_json::Value;

use crate::definition::WorkflowDefinition;
use crate::flow::{all_steps, expressions_in};
use crate::names::PluginName;
use crate::violation::{Violation, Violations};

/// Whether the schema is one: Draft 2020-12, of an object, and complete in itself.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn schema_check(schema: &Value) -> Result<(), String> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("has to be of an object: `\"type\": \"object\"`".to_owned());
    }
    if let Some(outside) = reference_outside(schema) {
        return Err(format!(
            "refers to “{outside}”, but only what stands in it can be referred to: `#/$defs/…`"
        ));
    }
    if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
        let place = error.instance_path().to_string();
        return Err(format!("is not a JSON Schema at “{place}”: {error}"));
    }
    crate::schema::compile(schema)
        .map(|_| ())
        .map_err(|error| format!("cannot be used: {error}"))
}

/// Whether a configuration is as the schema, which was checked before, wants it.
///
/// # Errors
/// Everything that is wrong with it; `pointer` is where it stands in what was sent.
pub fn configuration_check(
    schema: &Value,
    configuration: &Value,
    pointer: &str,
) -> Result<(), Violations> {
    let validator = crate::schema::compile(schema)
        .map_err(|error| Violations::one(pointer, "schema", error))?;
    let mut violations = Violations::default();
    for error in validator.iter_errors(configuration) {
        let pointer = format!("{pointer}{}", error.instance_path());
        violations.add(pointer, "schema", error.to_string());
    }
    violations.into_result()
}

/// Whether the configuration of each of a workflow's steps is as its action's `config_schema`
/// wants it, as far as the action is known and has one.
///
/// # Errors
/// Everything that is wrong, with pointers into the workflow: `/steps/0/config/…`.
pub fn steps_check<'a>(
    workflow: &WorkflowDefinition,
    schema_of: impl Fn(&PluginName) -> Option<&'a Value>,
) -> Result<(), Violations> {
    let mut violations = Violations::default();
    for (place, step) in all_steps(&workflow.steps) {
        let Some(action) = step.action() else {
            continue;
        };
        let Some(schema) = schema_of(&action.action) else {
            continue;
        };
        let pointer = format!("/{place}/config");
        let Err(wrong) = configuration_check(schema, &action.config, &pointer) else {
            continue;
        };
        // What an expression will give is not known yet.
        let mut open = Vec::new();
        expressions_in(&pointer, &action.config, &mut open);
        let is_open = |one: &Violation| open.iter().any(|open| one.pointer.starts_with(open));
        let wrong = wrong.as_slice().iter().filter(|one| !is_open(one));
        for one in wrong.cloned() {
            violations.add(one.pointer, &one.code, one.message);
        }
    }
    violations.into_result()
}

/// The first reference that leaves the document. What stands in `const`, `default`, `enum` and
/// `examples` is data, but a reference there would be a strange thing to want.
fn reference_outside(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| match name.as_str() {
                "$ref" | "$dynamicRef" => value.as_str().filter(|target| !target.starts_with('#')),
                // Another base or another dialect would make `#` mean something else.
                "$id" => value.as_str(),
                _ => reference_outside(value),
            }),
        Value::Array(items) => items.iter().find_map(reference_outside),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_configuration_fits_or_says_where_it_does_not() {
        let schema = json!({
            "type": "object",
            "required": ["field"],
            "properties": { "field": { "type": "string" }, "points": { "type": "integer" } },
            "additionalProperties": false,
        });
        let fits = json!({ "field": "score", "points": 3 });
        assert_eq!(configuration_check(&schema, &fits, "/config"), Ok(()));
        let wrong = json!({ "points": "3", "more": 1 });
        let wrong = configuration_check(&schema, &wrong, "/config").unwrap_err();
        let mut pointers: Vec<&str> = wrong
            .as_slice()
            .iter()
            .map(|violation| violation.pointer.as_str())
            .collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/config", "/config", "/config/points"]);
    }

    #[test]
    fn a_schema_is_of_an_object_and_complete_in_itself() {
        let sound = json!({
            "type": "object",
            "properties": { "set": { "$ref": "#/$defs/set" } },
            "$defs": { "set": { "type": "object", "additionalProperties": { "type": "string" } } },
            "additionalProperties": false,
        });
        assert_eq!(schema_check(&sound), Ok(()));
        for (schema, reason) in [
            (json!({}), "has to be of an object"),
            (json!({ "type": "array" }), "has to be of an object"),
            (
                json!({ "type": "object", "properties": { "a": { "type": "txt" } } }),
                "is not a JSON Schema at “/properties/a/type”",
            ),
            (
                json!({ "type": "object", "properties": { "a": { "$ref": "https://example.com/a" } } }),
                "refers to “https://example.com/a”",
            ),
            (
                json!({ "type": "object", "allOf": [{ "$ref": "other.json#/a" }] }),
                "refers to “other.json#/a”",
            ),
            (
                json!({ "type": "object", "$id": "https://example.com/" }),
                "refers to “https://example.com/”",
            ),
            (
                json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/none" } } }),
                "cannot be used",
            ),
            (
                json!({ "type": "object", "properties": { "a": { "pattern": "(?=a)b" } } }),
                "cannot be used",
            ),
        ] {
            let error = schema_check(&schema).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
