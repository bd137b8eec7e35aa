//! `datetime`: a moment, RFC 3339 with an offset; stored in UTC. Example:
//! `"2026-11-22T09:30:00Z"`.

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct DateTime;

impl FieldType for DateTime {
    fn name(&self) -> &'static str {
        "datetime"
    }

    fn summary(&self) -> &'static str {
        "A moment, stored in UTC."
    }

    fn example(&self) -> Value {
        json!("2026-11-22T09:30:00Z")
    }

    fn rendering(&self) -> &'static str {
        "datetime"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Moment)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "format": "date-time", "maxLength": 35 })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match value.as_str().map(chrono::DateTime::parse_from_rfc3339) {
            Some(Ok(moment)) => Value::String(
                moment
                    .with_timezone(&Utc)
                    .to_rfc3339_opts(SecondsFormat::AutoSi, true),
            ),
            _ => value,
        }
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        match chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap_or_default()) {
            Ok(_) => Ok(()),
            Err(_) => Err(Problem::new(
                "format",
                "is not a moment as RFC 3339, such as 2026-11-22T09:30:00Z",
            )),
        }
    }
}
