//! `date`: a day of the calendar without time or zone. Example: `"2026-11-22"`.

use chrono::{Datelike, NaiveDate};
use serde_json::{Value, json};

use super::{FieldType, Problem, bounds};
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

    fn storage(&self) -> &'static str {
        "A JSON string, YYYY-MM-DD."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
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

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        bounds::check_definition(field, "dates as YYYY-MM-DD", read)
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let date =
            read(value).ok_or_else(|| Problem::new("format", "is not a date as YYYY-MM-DD"))?;
        bounds::check(field.min.as_ref(), field.max.as_ref(), &date, read)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (1i32..10_000, 1u32..367)
            .prop_filter_map("a day of that year", |(year, day)| {
                NaiveDate::from_yo_opt(year, day).map(|date| json!(date.to_string()))
            })
            .boxed()
    }
}

/// chrono takes "2026-1-2" and "+12026-1-2" too; stored dates sort as text only in one form. The
/// year 0 is chrono's alone: PostgreSQL has none.
fn read(value: &Value) -> Option<NaiveDate> {
    let text = value.as_str()?;
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.to_string() == text && date.year() > 0).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_of_the_calendar_at_full_width() {
        for bad in [
            "2026-1-2",
            "2026-02-30",
            "+12026-1-2",
            "-026-01-02",
            "26-01-02",
            "0000-01-01",
            "",
        ] {
            assert!(read(&json!(bad)).is_none(), "{bad}");
        }
        assert!(read(&json!("2024-02-29")).is_some());
        assert!(read(&json!("0001-01-01")).is_some());
    }
}
