//! `email`: an address `local@domain`. Example: `"ada@example.com"`.

use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::EMAIL_MAX_CHARACTERS;

pub(crate) struct Email;

impl FieldType for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn summary(&self) -> &'static str {
        "An e-mail address."
    }

    fn storage(&self) -> &'static str {
        "A JSON string."
    }

    fn example(&self) -> Value {
        json!("ada@example.com")
    }

    fn rendering(&self) -> &'static str {
        "email"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Text)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "format": "email", "maxLength": EMAIL_MAX_CHARACTERS })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(text.trim().to_owned()),
            other => other,
        }
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        if is_address(value.as_str().unwrap_or_default()) {
            Ok(())
        } else {
            Err(Problem::new("format", "is not an e-mail address"))
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        "[a-z0-9]{1,10}(\\.[a-z0-9]{1,5})?@[a-z0-9]{1,10}\\.[a-z]{2,5}"
            .prop_map(|text| json!(format!(" {text}")))
            .boxed()
    }
}

/// The shape that mail servers in use accept: whether the address exists, only a mail can tell.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let local_is_fine = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|character| {
            character.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(character)
        });
    let labels: Vec<&str> = domain.split('.').collect();
    let domain_is_fine = labels.len() >= 2
        && labels.iter().all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|character| character.is_alphanumeric() || character == '-')
        });
    local_is_fine && domain_is_fine
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn addresses_have_a_local_part_and_a_domain() {
        for good in [
            "ada@example.com",
            "a.b+c@mail.example.co.uk",
            "jürgen@exämple.de",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example",
            "a b@example.com",
            "a@-x.com",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
