//! `auto_number`: a number that the host counts up, per tenant and field, behind a prefix.
//! Example: `"INV-000042"`.

use serde_json::{Value, json};

use super::FieldType;
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::{AUTO_NUMBER_MAX_DIGITS, AUTO_NUMBER_PREFIX_MAX_CHARACTERS};

const DIGITS_DEFAULT: u32 = 6;

pub(crate) struct AutoNumber;

impl FieldType for AutoNumber {
    fn name(&self) -> &'static str {
        "auto_number"
    }

    fn summary(&self) -> &'static str {
        "A number that counts up with each new record, behind a prefix. It sorts as text, so give \
         it digits enough."
    }

    fn storage(&self) -> &'static str {
        "A JSON string: the prefix, then the digits, padded with zeros."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["prefix", "digits"]
    }

    fn sample(&self) -> Value {
        json!({ "prefix": "INV-" })
    }

    fn example(&self) -> Value {
        json!("INV-000042")
    }

    fn rendering(&self) -> &'static str {
        "auto_number"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn is_computed(&self) -> bool {
        true
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        let prefix = prefix(field);
        if prefix.chars().count() > AUTO_NUMBER_PREFIX_MAX_CHARACTERS
            || prefix.chars().any(char::is_control)
        {
            return Err(format!(
                "prefix has at most {AUTO_NUMBER_PREFIX_MAX_CHARACTERS} characters, none of them \
                 control characters"
            ));
        }
        if !(1..=AUTO_NUMBER_MAX_DIGITS).contains(&digits(field)) {
            return Err(format!("digits is 1 to {AUTO_NUMBER_MAX_DIGITS}"));
        }
        Ok(())
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "readOnly": true })
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let field = super::tests::sample_of(self.name());
        (1i64..1_000_000)
            .prop_map(move |number| json!(format_number(&field, number)))
            .boxed()
    }
}

fn prefix(field: &FieldDefinition) -> &str {
    field.prefix.as_deref().unwrap_or_default()
}

fn digits(field: &FieldDefinition) -> u32 {
    field.digits.unwrap_or(DIGITS_DEFAULT)
}

/// The value of an auto number. A number of more digits than the field has is not cut.
pub(crate) fn format_number(field: &FieldDefinition, number: i64) -> String {
    let width = usize::try_from(digits(field)).unwrap_or_default();
    format!("{}{number:0width$}", prefix(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_padded_and_never_cut() {
        let mut field = super::super::tests::sample_of("auto_number");
        assert_eq!(format_number(&field, 42), "INV-000042");
        assert_eq!(format_number(&field, 12_345_678), "INV-12345678");
        field.digits = Some(2);
        field.prefix = None;
        assert_eq!(format_number(&field, 7), "07");
    }
}
