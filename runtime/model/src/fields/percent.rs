//! `percent`: an exact number of hundredths, 0 to 100 unless the field says otherwise. Example:
//! `"12.5"`.

use serde_json::{Value, json};

use super::{FieldType, Problem, bounds, decimal};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

const MIN_DEFAULT: &str = "0";
const MAX_DEFAULT: &str = "100";

pub(crate) struct Percent;

impl FieldType for Percent {
    fn name(&self) -> &'static str {
        "percent"
    }

    fn summary(&self) -> &'static str {
        "An exact share of a hundred: 12.5 is an eighth. 0 to 100, unless min and max say otherwise."
    }

    fn storage(&self) -> &'static str {
        "A JSON string, so that every digit stays."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["precision", "scale", "min", "max"]
    }

    fn example(&self) -> Value {
        json!("12.5")
    }

    fn rendering(&self) -> &'static str {
        "percent"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Number)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        decimal::check_digits(field)?;
        let [min, max] = limits(field);
        let whole = FieldDefinition {
            min: Some(min),
            max: Some(max),
            ..field.clone()
        };
        decimal::check_bounds(&whole)
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        decimal::schema()
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        decimal::normalize(value)
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let number = decimal::parse(value)?;
        decimal::check_digits_of(field, number)?;
        let [min, max] = limits(field);
        bounds::check(Some(&min), Some(&max), &number, decimal::read)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let text = (0i64..=10_000)
            .prop_map(|hundredths| json!(rust_decimal::Decimal::new(hundredths, 2).to_string()));
        let number = (0i32..=10_000).prop_map(|hundredths| json!(f64::from(hundredths) / 100.0));
        prop_oneof![text, number].boxed()
    }
}

fn limits(field: &FieldDefinition) -> [Value; 2] {
    [
        field.min.clone().unwrap_or_else(|| json!(MIN_DEFAULT)),
        field.max.clone().unwrap_or_else(|| json!(MAX_DEFAULT)),
    ]
}
