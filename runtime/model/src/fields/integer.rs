//! `integer`: a whole number that JSON readers keep exact (±2^53). Example: `30`.

use serde_json::{Value, json};

use super::FieldType;
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

/// Largest whole number that every JSON reader keeps exact (RFC 8259, section 6).
const EXACT_MAX: i64 = (1 << 53) - 1;

pub(crate) struct Integer;

impl FieldType for Integer {
    fn name(&self) -> &'static str {
        "integer"
    }

    fn summary(&self) -> &'static str {
        "A whole number."
    }

    fn example(&self) -> Value {
        json!(30)
    }

    fn rendering(&self) -> &'static str {
        "number"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Number)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        for bound in [&field.min, &field.max].into_iter().flatten() {
            if bound.as_i64().is_none() {
                return Err("min and max of an integer are whole numbers".to_owned());
            }
        }
        Ok(())
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let bound =
            |given: &Option<Value>, or: i64| given.as_ref().and_then(Value::as_i64).unwrap_or(or);
        json!({
            "type": "integer",
            "minimum": bound(&field.min, -EXACT_MAX),
            "maximum": bound(&field.max, EXACT_MAX),
        })
    }
}
