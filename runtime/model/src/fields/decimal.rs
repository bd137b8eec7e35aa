//! `decimal`: an exact number under `precision` and `scale`, a JSON string. A JSON number is
//! accepted where its text is exact. Example: `"0.23"`.

use rust_decimal::Decimal as Exact;
use serde_json::{Value, json};

use super::{FieldType, Problem, bounds};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::DECIMAL_MAX_DIGITS;

/// Digits after the point, unless the field says otherwise.
const SCALE_DEFAULT_DIGITS: u32 = 2;
/// Digits that a JSON number surely carries through a double (IEEE 754 binary64: 15).
const NUMBER_EXACT_MAX_DIGITS: usize = 15;
/// What a decimal looks like.
const PATTERN: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$";

pub(crate) struct Decimal;

impl FieldType for Decimal {
    fn name(&self) -> &'static str {
        "decimal"
    }

    fn summary(&self) -> &'static str {
        "An exact number."
    }

    fn storage(&self) -> &'static str {
        "A JSON string, so that every digit stays."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["precision", "scale", "min", "max"]
    }

    fn example(&self) -> Value {
        json!("0.23")
    }

    fn rendering(&self) -> &'static str {
        "number"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Number)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        check_digits(field)?;
        check_bounds(field)
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        schema()
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        normalize(value)
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let number = parse(value)?;
        check_digits_of(field, number)?;
        check_range(field, number)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let text = (any::<i64>(), 0u32..3)
            .prop_map(|(number, scale)| json!(Exact::new(number, scale).to_string()));
        let number =
            (-1_000_000i32..1_000_000).prop_map(|hundredths| json!(f64::from(hundredths) / 100.0));
        prop_oneof![text, number].boxed()
    }
}

/// JSON Schema of a decimal.
pub(super) fn schema() -> Value {
    json!({
        "type": "string",
        "format": "decimal",
        "pattern": PATTERN,
        "maxLength": DECIMAL_MAX_DIGITS + 3,
    })
}

/// Digits in all, and after the point.
fn digits(field: &FieldDefinition) -> (u32, u32) {
    let precision = field.precision.unwrap_or(DECIMAL_MAX_DIGITS);
    let scale = field.scale.unwrap_or(SCALE_DEFAULT_DIGITS.min(precision));
    (precision, scale)
}

/// `precision` and `scale` of a definition.
pub(super) fn check_digits(field: &FieldDefinition) -> Result<(), String> {
    let (precision, scale) = digits(field);
    if precision == 0 || precision > DECIMAL_MAX_DIGITS || scale > precision {
        return Err(format!(
            "precision is 1 to {DECIMAL_MAX_DIGITS} digits, scale at most precision"
        ));
    }
    Ok(())
}

/// `precision` and `scale` of a number.
pub(super) fn check_digits_of(field: &FieldDefinition, number: Exact) -> Result<(), Problem> {
    let (precision, scale) = digits(field);
    if number.normalize().scale() > scale {
        let message = format!("has more than {scale} decimal places");
        return Err(Problem::new("scale", message));
    }
    let most = precision.saturating_sub(scale);
    if whole_digits(number) > most {
        let message = format!("has more than {most} whole digits");
        return Err(Problem::new("precision", message));
    }
    Ok(())
}

fn whole_digits(number: Exact) -> u32 {
    let whole = number.trunc().abs().mantissa();
    whole.checked_ilog10().map_or(0, |digits| digits + 1)
}

/// A JSON number whose text is exact becomes that text; numbers that may have lost digits stay
/// numbers, and the schema refuses them.
pub(super) fn normalize(value: Value) -> Value {
    let Value::Number(number) = &value else {
        return value;
    };
    let text = number.to_string();
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if digits > NUMBER_EXACT_MAX_DIGITS {
        return value;
    }
    match Exact::from_str_exact(&text).or_else(|_| Exact::from_scientific(&text)) {
        Ok(exact) => Value::String(exact.normalize().to_string()),
        Err(_) => value,
    }
}

pub(super) fn parse(value: &Value) -> Result<Exact, Problem> {
    value
        .as_str()
        .and_then(|text| Exact::from_str_exact(text).ok())
        .ok_or_else(|| Problem::new("type", "is not a decimal number in a JSON string"))
}

/// An exact number as a definition or a client may write it.
pub(super) fn read(value: &Value) -> Option<Exact> {
    parse(&normalize(value.clone())).ok()
}

/// `min` and `max` as exact numbers, given as strings or whole numbers.
pub(super) fn check_bounds(field: &FieldDefinition) -> Result<(), String> {
    bounds::check_definition(field, "decimals in JSON strings", read)
}

pub(super) fn check_range(field: &FieldDefinition, number: Exact) -> Result<(), Problem> {
    bounds::check(field.min.as_ref(), field.max.as_ref(), &number, read)
}
