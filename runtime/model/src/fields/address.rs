//! `address`: a postal address in parts, its country by ISO 3166-1 alpha-2. Example:
//! `{"street": "Unter den Linden 77", "city": "Berlin", "country": "DE"}`.

use celes::Country;
use serde_json::{Value, json};

use super::{FieldType, Problem, members};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::ADDRESS_PART_MAX_CHARACTERS;

const MEMBERS: [&str; 6] = [
    "street",
    "street2",
    "city",
    "region",
    "postal_code",
    "country",
];

pub(crate) struct Address;

impl FieldType for Address {
    fn name(&self) -> &'static str {
        "address"
    }

    fn summary(&self) -> &'static str {
        "A postal address; at least one of its parts. The bare name of the field means the city."
    }

    fn storage(&self) -> &'static str {
        "A JSON object of strings; the country is an ISO 3166-1 alpha-2 code."
    }

    fn example(&self) -> Value {
        json!({
            "street": "Unter den Linden 77",
            "city": "Berlin",
            "postal_code": "10117",
            "country": "DE",
        })
    }

    fn rendering(&self) -> &'static str {
        "address"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const {
            &[
                Part::member("city", Form::Text),
                Part::member("street", Form::Text),
                Part::member("street2", Form::Text),
                Part::member("region", Form::Text),
                Part::member("postal_code", Form::Exact),
                Part::member("country", Form::Exact),
            ]
        }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        let mut schema = members::schema(&MEMBERS, &[], ADDRESS_PART_MAX_CHARACTERS);
        if let Some(country) = schema.pointer_mut("/properties/country") {
            *country = json!({ "type": "string", "pattern": "^[A-Z]{2}$" });
        }
        schema
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        let mut value = members::normalize(value);
        if let Some(Value::String(country)) = value.get_mut("country") {
            country.make_ascii_uppercase();
        }
        value
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        members::check(value)?;
        match value.get("country").and_then(Value::as_str) {
            Some(code) if Country::from_alpha2(code).is_err() => Err(Problem::new(
                "country",
                format!("“{code}” is not an ISO 3166-1 alpha-2 code, such as DE"),
            )),
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let country = proptest::sample::select(vec!["DE", "us", " fr ", "BR", "jp"]);
        ("[^\\x00-\\x1f\\x7f-\\u{9f}]{0,20}", "[a-zA-ZäÖ]{0,10}", country)
            .prop_map(|(street, city, country)| {
                json!({"street": street, "street2": null, "city": city, "country": country})
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_one_of_iso_3166() {
        let field = super::super::tests::sample_of("address");
        for (code, is_one) in [("DE", true), ("XX", false), ("UK", false), ("GB", true)] {
            let checked = Address.check(&field, &json!({"country": code}));
            assert_eq!(checked.is_ok(), is_one, "{code}");
        }
        let lines = Address.check(&field, &json!({"street": "1\n2"}));
        assert_eq!(lines.unwrap_err().code, "format");
    }
}
