//! `phone`: an international number, stored as E.164. Spaces and punctuation are accepted.
//! Example: `"+442071838750"`.

use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct Phone;

impl FieldType for Phone {
    fn name(&self) -> &'static str {
        "phone"
    }

    fn summary(&self) -> &'static str {
        "An international phone number, E.164."
    }

    fn storage(&self) -> &'static str {
        "A JSON string, E.164."
    }

    fn example(&self) -> Value {
        json!("+442071838750")
    }

    fn rendering(&self) -> &'static str {
        "phone"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "format": "phone", "maxLength": 40 })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match value.as_str().and_then(e164) {
            Some(number) => Value::String(number),
            None => value,
        }
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        match value.as_str().and_then(e164) {
            Some(_) => Ok(()),
            None => Err(Problem::new(
                "format",
                "is not an international phone number, such as +44 20 7183 8750",
            )),
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (7_000_000u32..9_999_999)
            .prop_map(|number| {
                let (front, back) = (number / 10_000, number % 10_000);
                json!(format!("+44 20 7{front:03} {back:04}"))
            })
            .boxed()
    }
}

/// Without a `+` the country would be a guess, so there is none.
fn e164(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.starts_with('+') {
        return None;
    }
    let number = phonenumber::parse(None, text).ok()?;
    // E.164 has no place for an extension, and dropping it would lose what somebody typed.
    if number.extension().is_some() {
        return None;
    }
    Some(number.format().mode(phonenumber::Mode::E164).to_string())
}
