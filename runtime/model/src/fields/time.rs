//! `time`: a time of day without date or zone, stored with its seconds. Example: `"09:30:00"`.

use chrono::NaiveTime;
use serde_json::{Value, json};

use super::{FieldType, Problem, bounds};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct Time;

impl FieldType for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn summary(&self) -> &'static str {
        "A time of day, without date or zone. HH:MM is accepted too."
    }

    fn storage(&self) -> &'static str {
        "A JSON string, HH:MM:SS."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
    }

    fn example(&self) -> Value {
        json!("09:30:00")
    }

    fn rendering(&self) -> &'static str {
        "time"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        bounds::check_definition(field, "times as HH:MM or HH:MM:SS", read)
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        // Not format "time": that one has a zone (RFC 3339, full-time).
        json!({ "type": "string", "maxLength": 8 })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match read(&value) {
            Some(time) => Value::String(time.format("%H:%M:%S").to_string()),
            None => value,
        }
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let time = read(value)
            .ok_or_else(|| Problem::new("format", "is not a time as HH:MM or HH:MM:SS"))?;
        bounds::check(field.min.as_ref(), field.max.as_ref(), &time, read)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"
            .prop_map(|text| json!(text))
            .boxed()
    }
}

/// chrono takes "9:5" and leap seconds too; stored times sort as text only in one form.
fn read(value: &Value) -> Option<NaiveTime> {
    let text = value.as_str()?;
    let (time, format) = match text.len() {
        5 => (NaiveTime::parse_from_str(text, "%H:%M").ok()?, "%H:%M"),
        _ => (
            NaiveTime::parse_from_str(text, "%H:%M:%S").ok()?,
            "%H:%M:%S",
        ),
    };
    let is_plain = time.format(format).to_string() == text && !text.ends_with(":60");
    is_plain.then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_two_digits_each() {
        assert_eq!(read(&json!("09:30")), read(&json!("09:30:00")));
        for bad in ["9:30", "24:00", "23:60", "23:59:60", "09:30Z", "", "12"] {
            assert!(read(&json!(bad)).is_none(), "{bad}");
        }
    }
}
