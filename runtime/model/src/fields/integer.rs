//! `integer`: a whole number that JSON readers keep exact (±2^53). Example: `30`.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{FieldType, bounds, decimal};
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

    fn storage(&self) -> &'static str {
        "A JSON integer."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
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
        bounds::check_definition(field, "whole numbers", Value::as_i64)
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

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        normalize(value)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let whole = (-EXACT_MAX..=EXACT_MAX).prop_map(|number| json!(number));
        let float = any::<i32>().prop_map(|number| json!(f64::from(number)));
        prop_oneof![whole, float].boxed()
    }
}

/// JSON does not tell `5.0` from `5`; stored, they are one.
pub(super) fn normalize(value: Value) -> Value {
    let whole = match value.as_i64() {
        Some(_) => None,
        None => decimal::read(&value).filter(|_| value.is_number()),
    };
    match whole.filter(Decimal::is_integer).map(i64::try_from) {
        Some(Ok(number)) => Value::from(number),
        _ => value,
    }
}
