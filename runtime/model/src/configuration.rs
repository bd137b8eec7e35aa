//! JSON Schemas with which plugins say what they are configured with: what the console makes
//! forms of, and what a configuration is checked against.

use serde_json::Value;

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
/// Everything that is wrong with it, with the place, one sentence each.
pub fn configuration_check(schema: &Value, configuration: &Value) -> Result<(), Vec<String>> {
    let validator = crate::schema::compile(schema).map_err(|error| vec![error])?;
    let wrong: Vec<String> = validator
        .iter_errors(configuration)
        .map(|error| match error.instance_path().to_string() {
            place if place.is_empty() => error.to_string(),
            place => format!("at “{place}”: {error}"),
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
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
        assert_eq!(configuration_check(&schema, &fits), Ok(()));
        let wrong = configuration_check(&schema, &json!({ "points": "3", "more": 1 })).unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(
            wrong.iter().any(|one| one.starts_with("at “/points”: ")),
            "{wrong:?}"
        );
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
