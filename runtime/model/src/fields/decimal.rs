//! `decimal`: an exact number under `precision` and `scale`, a JSON string. A JSON number is
//! accepted where its text is exact. Example: `"0.23"`.

use rust_decimal::Decimal as Exact;
use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::DECIMAL_MAX_DIGITS;

/// Digits after the point, unless the field says otherwise.
const SCALE_DEFAULT_DIGITS: u32 = 2;
/// Digits that a JSON number surely carries through a double (IEEE 754 binary64: 15).
const NUMBER_EXACT_MAX_DIGITS: usize = 15;
/// What a decimal looks like.
pub(super) const PATTERN: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$";

pub(crate) struct Decimal;

impl FieldType for Decimal {
    fn name(&self) -> &'static str {
        "decimal"
    }

    fn summary(&self) -> &'static str {
        "An exact number."
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
        let (precision, scale) = digits(field);
        if precision == 0 || precision > DECIMAL_MAX_DIGITS || scale > precision {
            return Err(format!(
                "precision is 1 to {DECIMAL_MAX_DIGITS} digits, scale at most precision"
            ));
        }
        check_bounds(field)
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({
            "type": "string",
            "format": "decimal",
            "pattern": PATTERN,
            "maxLength": DECIMAL_MAX_DIGITS + 2,
        })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        normalize(value)
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let (precision, scale) = digits(field);
        let number = parse(value)?;
        if number.normalize().scale() > scale {
            return Err(Problem::new(
                "scale",
                format!("has more than {scale} decimal places"),
            ));
        }
        if whole_digits(number) > precision - scale {
            let most = precision - scale;
            return Err(Problem::new(
                "precision",
                format!("has more than {most} whole digits"),
            ));
        }
        check_range(field, number)
    }
}

fn digits(field: &FieldDefinition) -> (u32, u32) {
    let scale = field.scale.unwrap_or(SCALE_DEFAULT_DIGITS);
    (field.precision.unwrap_or(DECIMAL_MAX_DIGITS), scale)
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

/// `min` and `max` as exact numbers, given as strings or whole numbers.
pub(super) fn check_bounds(field: &FieldDefinition) -> Result<(), String> {
    for bound in [&field.min, &field.max].into_iter().flatten() {
        if parse(&normalize(bound.clone())).is_err() {
            return Err("min and max are decimals in JSON strings".to_owned());
        }
    }
    Ok(())
}

pub(super) fn check_range(field: &FieldDefinition, number: Exact) -> Result<(), Problem> {
    let bound = |given: &Option<Value>| {
        given
            .as_ref()
            .and_then(|bound| parse(&normalize(bound.clone())).ok())
    };
    if let Some(min) = bound(&field.min)
        && number < min
    {
        return Err(Problem::new("min", format!("is less than {min}")));
    }
    if let Some(max) = bound(&field.max)
        && number > max
    {
        return Err(Problem::new("max", format!("is more than {max}")));
    }
    Ok(())
}
