//! `duration`: a length of time in whole seconds. ISO 8601 is accepted (`PT1H30M`), except years
//! and months, which are not equally long. Example: `5400`.

use serde_json::{Value, json};

use super::{FieldType, Problem, bounds, integer};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::DURATION_MAX_SECONDS;

/// Designators of ISO 8601 before and after the `T`, in order, and their seconds.
const DAYS: [(char, i64); 2] = [('W', 604_800), ('D', 86_400)];
const TIMES: [(char, i64); 3] = [('H', 3_600), ('M', 60), ('S', 1)];

pub(crate) struct Duration;

impl FieldType for Duration {
    fn name(&self) -> &'static str {
        "duration"
    }

    fn summary(&self) -> &'static str {
        "A length of time. ISO 8601 (PT1H30M) is accepted too."
    }

    fn storage(&self) -> &'static str {
        "A JSON integer: whole seconds."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
    }

    fn example(&self) -> Value {
        json!(5400)
    }

    fn rendering(&self) -> &'static str {
        "duration"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Number)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        bounds::check_definition(field, "whole seconds, or ISO 8601 such as PT1H30M", read)
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "integer", "minimum": 0, "maximum": DURATION_MAX_SECONDS })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match value.as_str().map(seconds) {
            Some(Some(seconds)) => Value::from(seconds),
            Some(None) => value,
            None => integer::normalize(value),
        }
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let seconds =
            read(value).ok_or_else(|| Problem::new("type", "is not a whole number of seconds"))?;
        bounds::check(field.min.as_ref(), field.max.as_ref(), &seconds, read)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let whole = (0..=DURATION_MAX_SECONDS).prop_map(|seconds| json!(seconds));
        let text = "P([0-9]{1,3}D)?T[0-9]{1,2}H[0-9]{1,2}M".prop_map(|text| json!(text));
        prop_oneof![whole, text].boxed()
    }
}

fn read(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| seconds(value.as_str()?))
}

/// Seconds of an ISO 8601 duration; none for years, months, fractions and what is none.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim().strip_prefix('P')?;
    let (days, times) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, times)) => (days, times),
        None if text.is_empty() => return None,
        None => (text, ""),
    };
    sum(days, &DAYS)?.checked_add(sum(times, &TIMES)?)
}

/// Adds up numbers with designators, each at most once and in order.
fn sum(mut text: &str, designators: &[(char, i64)]) -> Option<i64> {
    let mut total = 0i64;
    for (designator, unit) in designators {
        let Some((number, rest)) = text.split_once(*designator) else {
            continue;
        };
        if !number.chars().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*unit)?)?;
        text = rest;
    }
    text.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn iso_8601_without_years_and_months() {
        for (text, expected) in [
            ("PT1H30M", 5_400),
            ("P1D", 86_400),
            ("P2W", 1_209_600),
            ("P1DT1S", 86_401),
            ("PT0S", 0),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "P",
            "PT",
            "P1Y",
            "P1M",
            "PT1.5S",
            "PT1M1H",
            "1H",
            "P1H",
            "PT-1S",
            "PTS",
            "P99999999999999999999D",
            "PT1H1H",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
