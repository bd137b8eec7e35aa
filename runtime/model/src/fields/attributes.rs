//! Which attributes of a definition mean something for which type. An attribute that would do
//! nothing is refused, so that a mistake does not pass for a rule. Never looks at an attribute's
//! value: its type does.

use serde_json::Value;

use super::FieldType;
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

/// Attributes that every field takes.
pub(super) const EVERY: &[&str] = &[
    "key",
    "label",
    "type",
    "help",
    "group",
    "visible_if",
    "personal_data",
    "retired",
];
/// Attributes that every field takes which somebody writes.
pub(super) const WRITTEN: &[&str] = &[
    "required",
    "required_if",
    "default",
    "default_expression",
    "read_only",
    "read_only_if",
];

/// The attributes that this field takes, beside those of [`EVERY`]: those of whatever is
/// written, those of its type, and those that follow from how its values compare.
pub(super) fn accepted(kind: &dyn FieldType, field: &FieldDefinition) -> Vec<&'static str> {
    let mut accepted = kind.attributes().to_vec();
    if !kind.is_computed() {
        accepted.extend(WRITTEN);
    }
    let parts = kind.parts(field);
    let main = parts.first().map_or(Form::Opaque, |part| part.form);
    if main != Form::Opaque {
        accepted.push("indexed");
    }
    if is_always_comparable(parts, &kind.schema(field)) {
        accepted.push("unique");
        if parts.iter().any(|part| is_text(part.form)) {
            accepted.push("case_insensitive");
        }
    }
    if main == Form::Opaque
        || parts
            .iter()
            .any(|part| is_text(part.form) || part.form == Form::List)
    {
        accepted.push("searchable");
    }
    accepted
}

/// Refuses the first attribute that means nothing here.
pub(super) fn check(kind: &dyn FieldType, field: &FieldDefinition) -> Result<(), String> {
    let accepted = accepted(kind, field);
    let Ok(Value::Object(given)) = serde_json::to_value(field) else {
        return Ok(());
    };
    let meaningless = given
        .keys()
        .find(|name| !EVERY.contains(&name.as_str()) && !accepted.contains(&name.as_str()));
    if let Some(name) = meaningless {
        let type_name = kind.name();
        let takes = accepted.join(", ");
        return Err(format!(
            "“{name}” means nothing for a field of type {type_name}, which takes {takes}; leave it out"
        ));
    }
    if field.case_insensitive && !field.unique {
        return Err(
            "case_insensitive says how unique compares: add unique, or leave it out".to_owned(),
        );
    }
    Ok(())
}

fn is_text(form: Form) -> bool {
    matches!(form, Form::Text | Form::Exact)
}

/// Unique values are compared by all of their parts, so each has to be there and to compare.
fn is_always_comparable(parts: &[Part], schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    parts.iter().all(|part| {
        let is_there = part.name.is_none_or(|name| {
            required.is_some_and(|members| members.iter().any(|member| member == name))
        });
        is_there && !matches!(part.form, Form::Opaque | Form::List)
    })
}
