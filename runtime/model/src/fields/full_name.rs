//! `full_name`: a person's name in parts. Example:
//! `{"first_name": "Ada", "last_name": "Lovelace"}`.

use serde_json::{Value, json};

use super::{FieldType, Problem, members};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::NAME_PART_MAX_CHARACTERS;

const MEMBERS: [&str; 4] = ["prefix", "first_name", "middle", "last_name"];

pub(crate) struct FullName;

impl FieldType for FullName {
    fn name(&self) -> &'static str {
        "full_name"
    }

    fn summary(&self) -> &'static str {
        "A person's name: prefix and middle may be left out. The bare name of the field means the \
         last name."
    }

    fn storage(&self) -> &'static str {
        "A JSON object of strings."
    }

    fn example(&self) -> Value {
        json!({"prefix": "Countess", "first_name": "Ada", "last_name": "Lovelace"})
    }

    fn rendering(&self) -> &'static str {
        "full_name"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const {
            &[
                Part::member("last_name", Form::Text),
                Part::member("first_name", Form::Text),
                Part::member("middle", Form::Text),
                Part::member("prefix", Form::Text),
            ]
        }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        members::schema(
            &MEMBERS,
            &["first_name", "last_name"],
            NAME_PART_MAX_CHARACTERS,
        )
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        members::normalize(value)
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        members::check(value)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (" ?[A-ZÄ][a-zß]{0,8} ?", "[a-z]{0,4}", "[A-Z][a-z' -]{0,8}")
            .prop_map(|(first, middle, last)| {
                json!({"first_name": first, "middle": middle, "last_name": last})
            })
            .boxed()
    }
}
