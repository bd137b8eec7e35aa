//! `date`: a day of the calendar without time or zone. Example: `"2026-11-22"`.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct Date;

impl FieldType for Date {
    fn name(&self) -> &'static str {
        "date"
    }

    fn summary(&self) -> &'static str {
        "A day of the calendar, without time or zone."
    }

    fn example(&self) -> Value {
        json!("2026-11-22")
    }

    fn rendering(&self) -> &'static str {
        "date"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "format": "date", "maxLength": 10 })
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let text = value.as_str().unwrap_or_default();
        // chrono takes "2026-1-2" too; stored dates sort as text only at full width.
        match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(_) if text.len() == 10 => Ok(()),
            _ => Err(Problem::new("format", "is not a date as YYYY-MM-DD")),
        }
    }
}
