//! `rating`: stars, 1 to `max`. Example: `4`.

use serde_json::{Value, json};

use super::{FieldType, integer};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::RATING_MAX_STARS;

const STARS_DEFAULT: u64 = 5;
const STARS_LEAST: u64 = 2;

pub(crate) struct Rating;

impl FieldType for Rating {
    fn name(&self) -> &'static str {
        "rating"
    }

    fn summary(&self) -> &'static str {
        "Stars, 1 to max; max is 2 to 10, and 5 unless it is given."
    }

    fn storage(&self) -> &'static str {
        "A JSON integer."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["max"]
    }

    fn example(&self) -> Value {
        json!(4)
    }

    fn rendering(&self) -> &'static str {
        "stars"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Number)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        match &field.max {
            Some(max) if !(STARS_LEAST..=RATING_MAX_STARS).contains(&max.as_u64().unwrap_or(0)) => {
                Err(format!(
                    "max of a rating is {STARS_LEAST} to {RATING_MAX_STARS}"
                ))
            }
            _ => Ok(()),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let max = field.max.as_ref().and_then(Value::as_u64);
        json!({ "type": "integer", "minimum": 1, "maximum": max.unwrap_or(STARS_DEFAULT) })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        integer::normalize(value)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (1..=STARS_DEFAULT).prop_map(|stars| json!(stars)).boxed()
    }
}
