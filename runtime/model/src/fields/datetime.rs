//! `datetime`: a moment, RFC 3339 with an offset; stored in UTC. Example:
//! `"2026-11-22T09:30:00Z"`.

use chrono::{Datelike, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{FieldType, Problem, bounds};
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

    fn storage(&self) -> &'static str {
        "A JSON string, RFC 3339 in UTC."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
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
        match read(&value) {
            Some(moment) => Value::String(moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => value,
        }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        bounds::check_definition(field, "moments as RFC 3339", read)
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let moment = read(value).ok_or_else(|| {
            let message = "is not a moment as RFC 3339, such as 2026-11-22T09:30:00Z";
            Problem::new("format", message)
        })?;
        bounds::check(field.min.as_ref(), field.max.as_ref(), &moment, read)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (
            -60_000_000_000i64..250_000_000_000,
            0u32..1_000_000_000,
            -12i32..15,
        )
            .prop_filter_map("a moment of that zone", |(seconds, nanos, hours)| {
                let zone = chrono::FixedOffset::east_opt(hours * 3600)?;
                let moment = chrono::DateTime::from_timestamp(seconds, nanos)?;
                Some(json!(moment.with_timezone(&zone).to_rfc3339()))
            })
            .boxed()
    }
}

/// The years in UTC that both RFC 3339 and PostgreSQL have.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;

fn read(value: &Value) -> Option<chrono::DateTime<Utc>> {
    let moment = chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
    let moment = moment.with_timezone(&Utc);
    YEARS.contains(&moment.year()).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_year_of_four_digits_in_utc() {
        for bad in [
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert!(read(&json!(bad)).is_none(), "{bad}");
        }
        for good in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            assert!(read(&json!(good)).is_some(), "{good}");
        }
    }
}
