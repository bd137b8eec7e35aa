//! What the types of fields are, for people and consoles. Never a second list of them.

use serde::Serialize;
use serde_json::{Value, json};

use super::{FieldType, TYPES, attributes};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::operator::Operator;

/// A type of field.
#[derive(Clone, Debug, Serialize)]
pub struct TypeDescription {
    #[serde(rename = "type")]
    pub name: &'static str,
    /// What it is for, in one sentence or two.
    pub summary: &'static str,
    /// JSON Schema (2020-12) of a value, where the definition says the least that it must.
    pub schema: Value,
    /// How a value is stored, in one sentence.
    pub storage: &'static str,
    /// How values compare where the field's bare name stands: in filters, in sorting and in the
    /// typed index.
    pub index_form: Form,
    pub parts: Vec<PartDescription>,
    /// How a console shows and asks for it: the name of a widget.
    pub rendering: &'static str,
    /// Whether the host computes the values, so that nobody may send one.
    pub computed: bool,
    /// The attributes that a definition may have.
    pub attributes: Vec<&'static str>,
    /// A definition that says the least that it must.
    pub definition: FieldDefinition,
    /// A value of that definition, as it is stored.
    pub example: Value,
}

/// A part of a type's values, and what filters may ask of it.
#[derive(Clone, Debug, Serialize)]
pub struct PartDescription {
    /// Its member in the stored object; none: the value itself.
    pub name: Option<&'static str>,
    pub form: Form,
    pub operators: &'static [Operator],
}

/// Every type that a field may have.
pub fn catalogue() -> Vec<TypeDescription> {
    TYPES.iter().filter_map(|kind| describe(*kind)).collect()
}

/// None where the sample is no definition; a test sees to it that each is one.
fn describe(kind: &dyn FieldType) -> Option<TypeDescription> {
    let field = sample(kind)?;
    let parts = kind.parts(&field);
    let mut accepted = attributes::EVERY.to_vec();
    accepted.extend(attributes::accepted(kind, &field));
    Some(TypeDescription {
        name: kind.name(),
        summary: kind.summary(),
        schema: kind.schema(&field),
        storage: kind.storage(),
        index_form: parts.first().map_or(Form::Opaque, |part| part.form),
        parts: parts.iter().map(describe_part).collect(),
        rendering: kind.rendering(),
        computed: kind.is_computed(),
        attributes: accepted,
        example: kind.example(),
        definition: field,
    })
}

fn describe_part(part: &Part) -> PartDescription {
    PartDescription {
        name: part.name,
        form: part.form,
        operators: part.form.operators(),
    }
}

/// A field of that type that says the least that it must.
pub(super) fn sample(kind: &dyn FieldType) -> Option<FieldDefinition> {
    let mut definition = json!({ "key": kind.name(), "label": kind.name(), "type": kind.name() });
    if let (Value::Object(definition), Value::Object(more)) = (&mut definition, kind.sample()) {
        definition.extend(more);
    }
    serde_json::from_value(definition).ok()
}
