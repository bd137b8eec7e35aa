//! A module's fields as JSON Schema (draft 2020-12), and what its validator finds as violations.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

use crate::definition::{FieldDefinition, ModuleDefinition};
use crate::fields::field_type;
use crate::limits::PATTERN_COMPILED_MAX_BYTES;
use crate::model::Module;
use crate::rules::is_computed;
use crate::sight::Sight;
use crate::violation::{Violations, pointer_segment};

/// Where a record's data stands in the body of a request.
pub(crate) const DATA_POINTER: &str = "/data";

/// JSON Schema of a record's `data`.
pub(crate) fn module_schema(module: &ModuleDefinition) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let stored = |field: &&FieldDefinition| !field.retired && field.inverse_of.is_none();
    for field in module.fields.iter().filter(stored) {
        let kind = field_type(&field.kind);
        let mut schema = kind.map_or_else(|| json!({}), |kind| kind.schema(field));
        let is_computed = kind.is_some_and(|kind| is_computed(field, kind));
        if let Value::Object(schema) = &mut schema {
            schema.insert("title".to_owned(), json!(field.label));
            if let Some(help) = &field.help {
                schema.insert("description".to_owned(), json!(help));
            }
            if let Some(default) = &field.default {
                schema.insert("default".to_owned(), default.clone());
            }
            if is_computed || field.read_only {
                schema.insert("readOnly".to_owned(), json!(true));
            }
        }
        properties.insert(field.key.to_string(), schema);
        // Where a condition has a say, it is asked.
        if field.required && field.visible_if.is_none() && !is_computed {
            required.push(field.key.as_str());
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": module.label,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Compiles a schema; patterns run on the linear-time engine, so none can hang a request.
pub(crate) fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::draft202012::options()
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_COMPILED_MAX_BYTES))
        .build(schema)
        .map_err(|error| error.to_string())
}

/// Adds everything that the schema refuses in `data`.
/// Fields to choose from are those that the sender sees.
pub(crate) fn violations(
    module: &Module,
    sight: &Sight<'_>,
    data: &Value,
    violations: &mut Violations,
) {
    for error in module.validator().iter_errors(data) {
        let at = format!("{DATA_POINTER}{}", error.instance_path());
        let member = |name: &str| format!("{at}/{}", pointer_segment(name));
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                violations.add(member(name), "required", "is required");
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    violations.add(
                        member(name),
                        "unknown_field",
                        unknown_field(sight, error.instance_path().as_str(), name),
                    );
                }
            }
            kind => {
                let (code, message) = describe(kind);
                violations.add(at, code, message.unwrap_or_else(|| error.to_string()));
            }
        }
    }
}

/// Members of values have names too, but only those of the record are fields to choose from.
fn unknown_field(sight: &Sight<'_>, inside: &str, name: &str) -> String {
    match inside {
        "" => sight.unknown_field(name),
        _ => "there is no such field".to_owned(),
    }
}

/// A stable code, and a message where ours is clearer than the library's.
fn describe(kind: &ValidationErrorKind) -> (&'static str, Option<String>) {
    match kind {
        ValidationErrorKind::Type { kind } => ("type", Some(type_message(kind))),
        ValidationErrorKind::Enum { options } => {
            ("enum", Some(format!("is not one of {}", list(options))))
        }
        ValidationErrorKind::Pattern { pattern } => {
            ("pattern", Some(format!("does not match {pattern}")))
        }
        ValidationErrorKind::MinLength { limit: 1 } => ("required", Some("is blank".to_owned())),
        ValidationErrorKind::MinLength { limit } => (
            "min_length",
            Some(format!("is shorter than {limit} characters")),
        ),
        ValidationErrorKind::MaxLength { limit } => (
            "max_length",
            Some(format!("is longer than {limit} characters")),
        ),
        ValidationErrorKind::Minimum { limit } => ("min", Some(format!("is less than {limit}"))),
        ValidationErrorKind::Maximum { limit } => ("max", Some(format!("is more than {limit}"))),
        _ => ("invalid", None),
    }
}

fn type_message(kind: &jsonschema::error::TypeKind) -> String {
    match kind {
        jsonschema::error::TypeKind::Single(one) => format!("is not of type {one}"),
        jsonschema::error::TypeKind::Multiple(_) => "is of the wrong type".to_owned(),
    }
}

fn list(options: &Value) -> String {
    let texts = options.as_array().map(Vec::as_slice).unwrap_or_default();
    texts
        .iter()
        .map(|text| text.as_str().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(", ")
}
