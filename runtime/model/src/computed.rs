//! Values that the host gives: auto numbers, who and when, formulas. How an expression's answer
//! becomes a value of a field stands here; who asks, and when, in [`crate::validate`].

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

use crate::definition::FieldDefinition;
use crate::form;
use crate::limits::{FORMULA_DEFAULT_SCALE_DIGITS, TEXT_MAX_CHARACTERS};

/// A moment as fields store it.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// What a formula's answer is as a value of the type that it says; none for no value, and for one
/// that is not of the type.
///
/// Decimals are rounded to the field's `scale`, halves away from zero, and have so many digits
/// always; without one they have as many as they need, at most ten. An `integer` is rounded
/// likewise. A `date` is the day of a moment, in UTC.
pub(crate) fn formula_value(field: &FieldDefinition, answer: Value) -> Option<Value> {
    match field.result.as_deref().unwrap_or_default() {
        "boolean" => answer.is_boolean().then_some(answer),
        "decimal" => decimal(field, &answer),
        "integer" => {
            let whole: i64 = rounded(&answer, 0)?.try_into().ok()?;
            Some(Value::from(whole))
        }
        "date" => date(answer.as_str()?),
        "datetime" => {
            let at = DateTime::parse_from_rfc3339(answer.as_str()?).ok()?;
            Some(Value::String(moment(at.with_timezone(&Utc))))
        }
        _ => text(field, answer),
    }
}

/// The same number has the same text, however its operands were spelt.
fn decimal(field: &FieldDefinition, answer: &Value) -> Option<Value> {
    let number = match field.scale {
        Some(scale) => {
            let mut number = rounded(answer, scale)?;
            number.rescale(scale);
            number
        }
        None => rounded(answer, FORMULA_DEFAULT_SCALE_DIGITS)?.normalize(),
    };
    let number = if number.is_zero() {
        number.abs()
    } else {
        number
    };
    Some(Value::String(number.to_string()))
}

fn rounded(answer: &Value, scale: u32) -> Option<Decimal> {
    let number = form::number(answer)?;
    Some(number.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero))
}

fn date(text: &str) -> Option<Value> {
    let day = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.with_timezone(&Utc).date_naive(),
        Err(_) => text.parse().ok()?,
    };
    Some(Value::String(day.to_string()))
}

/// Numbers and truth values read well as text; lists and objects do not.
fn text(field: &FieldDefinition, answer: Value) -> Option<Value> {
    let text = match answer {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let most = field.max_length.unwrap_or(TEXT_MAX_CHARACTERS);
    let fits = u64::try_from(text.chars().count()).is_ok_and(|length| length <= most);
    (fits && !text.is_empty()).then_some(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(attributes: Value) -> FieldDefinition {
        let mut field = json!({"key": "a", "label": "A", "type": "formula"});
        let members = attributes.as_object().unwrap().clone();
        field.as_object_mut().unwrap().extend(members);
        serde_json::from_value(field).unwrap()
    }

    #[test]
    fn an_answer_becomes_a_value_of_the_type_or_none() {
        let long = "x".repeat(1001);
        for (result, answer, value) in [
            ("decimal", json!("24.50"), json!("24.5")),
            ("decimal", json!("-0.00000000001"), json!("0")),
            ("decimal", json!(3), json!("3")),
            (
                "decimal",
                json!("0.3333333333333333333333333333"),
                json!("0.3333333333"),
            ),
            ("decimal", json!("x"), Value::Null),
            ("integer", json!("2.5"), json!(3)),
            ("integer", json!("-2.5"), json!(-3)),
            ("integer", json!("9223372036854775808"), Value::Null),
            ("boolean", json!(true), json!(true)),
            ("boolean", json!(1), Value::Null),
            ("date", json!("2026-11-22"), json!("2026-11-22")),
            ("date", json!("2026-11-22T23:30:00Z"), json!("2026-11-22")),
            ("date", json!("soon"), Value::Null),
            (
                "datetime",
                json!("2026-11-22T10:00:00+01:00"),
                json!("2026-11-22T09:00:00Z"),
            ),
            ("text", json!("a"), json!("a")),
            ("text", json!(5), json!("5")),
            ("text", json!([5]), Value::Null),
            ("text", json!(long), Value::Null),
            ("text", Value::Null, Value::Null),
        ] {
            let found = formula_value(&field(json!({"result": result})), answer.clone());
            assert_eq!(found.unwrap_or(Value::Null), value, "{result}: {answer}");
        }
        let money = field(json!({"result": "decimal", "scale": 2}));
        for (answer, value) in [("0.125", "0.13"), ("7", "7.00"), ("-0.001", "0.00")] {
            assert_eq!(formula_value(&money, json!(answer)), Some(json!(value)));
        }
    }
}
