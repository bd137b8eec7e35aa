//! `currency`: an exact amount with its ISO 4217 code. Example:
//! `{"amount": "326.00", "currency": "USD"}`.

use serde_json::{Value, json};

use super::{FieldType, Problem, decimal};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct Currency;

impl FieldType for Currency {
    fn name(&self) -> &'static str {
        "currency"
    }

    fn summary(&self) -> &'static str {
        "An exact amount of money with its currency."
    }

    fn storage(&self) -> &'static str {
        "A JSON object: the amount as an exact decimal in a string, the code beside it."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["min", "max"]
    }

    fn example(&self) -> Value {
        json!({"amount": "326.00", "currency": "USD"})
    }

    fn rendering(&self) -> &'static str {
        "money"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const {
            &[
                Part::member("amount", Form::Number),
                Part::member("currency", Form::Exact),
            ]
        }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        decimal::check_bounds(field)
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({
            "type": "object",
            "properties": {
                "amount": decimal::schema(),
                "currency": { "type": "string", "pattern": "^[A-Z]{3}$" },
            },
            "required": ["amount", "currency"],
            "additionalProperties": false,
        })
    }

    fn normalize(&self, _field: &FieldDefinition, mut value: Value) -> Value {
        if let Some(amount) = value.get_mut("amount") {
            *amount = decimal::normalize(amount.take());
        }
        if let Some(Value::String(code)) = value.get_mut("currency") {
            code.make_ascii_uppercase();
        }
        value
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let code = value
            .get("currency")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(currency) = iso_currency::Currency::from_code(code) else {
            return Err(Problem::new(
                "currency",
                format!("“{code}” is not an ISO 4217 code"),
            ));
        };
        let amount = decimal::parse(value.get("amount").unwrap_or(&Value::Null))?;
        let places = u32::from(currency.exponent().unwrap_or(0));
        if amount.normalize().scale() > places {
            let message = format!("{code} has at most {places} decimal places");
            return Err(Problem::new("scale", message));
        }
        decimal::check_range(field, amount)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let code = prop_oneof![Just("USD"), Just("EUR"), Just("GBP")];
        (any::<i32>(), code)
            .prop_map(|(cents, code)| {
                let amount = rust_decimal::Decimal::new(i64::from(cents), 2);
                json!({"amount": amount.to_string(), "currency": code})
            })
            .boxed()
    }
}
