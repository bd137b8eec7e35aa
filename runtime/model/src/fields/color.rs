//! `color`: red, green and blue, as in CSS; stored in lower case. Example: `"#ff8800"`.

use serde_json::{Value, json};

use super::FieldType;
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct Color;

impl FieldType for Color {
    fn name(&self) -> &'static str {
        "color"
    }

    fn summary(&self) -> &'static str {
        "A color."
    }

    fn storage(&self) -> &'static str {
        "A JSON string, #rrggbb in lower case."
    }

    fn example(&self) -> Value {
        json!("#ff8800")
    }

    fn rendering(&self) -> &'static str {
        "color"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "pattern": "^#[0-9a-f]{6}$" })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(text.trim().to_ascii_lowercase()),
            other => other,
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        " ?#[0-9a-fA-F]{6}".prop_map(|text| json!(text)).boxed()
    }
}
