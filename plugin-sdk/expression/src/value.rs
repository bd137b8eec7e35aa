//! JSON in, JSON out. Inside, every number is an exact decimal; outside, a whole number is a JSON
//! number and any other a JSON string, because the product never carries decimals in floats.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Number, Value};
use zen_expression::variable::Symbol;
use zen_expression::{DateValue, Variable};

use crate::error::ExpressionError;

/// A JSON value as the evaluator sees it. Numbers are read from their text, so `0.1` is exactly
/// a tenth.
pub(crate) fn variable_from_json(value: &Value) -> Result<Variable, ExpressionError> {
    Ok(match value {
        Value::Null => Variable::Null,
        Value::Bool(truth) => Variable::Bool(*truth),
        Value::Number(number) => Variable::Number(decimal_from_json(number)?),
        Value::String(text) => Variable::String(Symbol::from(text.as_str())),
        Value::Array(items) => Variable::from_array(
            items
                .iter()
                .map(variable_from_json)
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Variable::from_object(
            members
                .iter()
                .map(|(key, value)| Ok((Symbol::from(key.as_str()), variable_from_json(value)?)))
                .collect::<Result<_, ExpressionError>>()?,
        ),
    })
}

fn decimal_from_json(number: &Number) -> Result<Decimal, ExpressionError> {
    let text = number.to_string();
    Decimal::from_str_exact(&text)
        .or_else(|_| Decimal::from_scientific(&text))
        .map_err(|_| ExpressionError::evaluation(format!("the number {text} is out of range")))
}

/// What the evaluator answers, as JSON. A date is RFC 3339 text, one that could not be read null.
pub(crate) fn json_from_variable(variable: &Variable) -> Value {
    match variable {
        Variable::Null => Value::Null,
        Variable::Bool(truth) => Value::Bool(*truth),
        Variable::Number(number) => json_from_decimal(*number),
        Variable::String(text) => Value::String(text.to_string()),
        Variable::Array(items) => {
            Value::Array(items.borrow().iter().map(json_from_variable).collect())
        }
        Variable::Object(members) => Value::Object(
            members
                .borrow()
                .iter()
                .map(|(key, value)| (key.to_string(), json_from_variable(value)))
                .collect::<Map<_, _>>(),
        ),
        // A date without a text form is one that could not be read.
        Variable::Dynamic(date) if DateValue::is(variable) => date
            .as_text()
            .map_or(Value::Null, |text| Value::String(text.to_owned())),
        Variable::Dynamic(other) => Value::String(other.to_string()),
    }
}

/// Keeps trailing zeros of what is not whole: `"24.50"` stays a price.
pub(crate) fn json_from_decimal(number: Decimal) -> Value {
    match number.to_i64() {
        Some(whole) if number.is_integer() => Value::from(whole),
        _ if number.is_integer() => Value::String(number.normalize().to_string()),
        _ => Value::String(number.to_string()),
    }
}
