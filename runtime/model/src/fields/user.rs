//! `user`: a person who logs in, by the login's id. Example: `"u-42"`.

use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::USER_ID_MAX_CHARACTERS;
use crate::names::UserId;

pub(crate) struct User;

impl FieldType for User {
    fn name(&self) -> &'static str {
        "user"
    }

    fn summary(&self) -> &'static str {
        "A person who logs in; filters know is_me."
    }

    fn storage(&self) -> &'static str {
        "A JSON string: the login's id, as the token's sub gives it."
    }

    fn example(&self) -> Value {
        json!("u-42")
    }

    fn rendering(&self) -> &'static str {
        "user"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": USER_ID_MAX_CHARACTERS })
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        match value.as_str().map(str::parse::<UserId>) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Problem::new("format", error.to_string())),
            None => Err(Problem::new("type", "is not the id of a user")),
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        "[a-zA-Z0-9|@._-]{1,40}"
            .prop_map(|text| json!(text))
            .boxed()
    }
}
