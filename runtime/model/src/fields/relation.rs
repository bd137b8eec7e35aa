//! `relation`: one record of another module (or the same), stored by id. That the record exists
//! is checked by the engine, which can look. Example: `"0191d0f2-4c1e-7b51-9c2e-6f2a3b4c5d6e"`.

use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::ids::RecordId;

pub(crate) const NAME: &str = "relation";

pub(crate) struct Relation;

impl FieldType for Relation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "One record of a module."
    }

    fn example(&self) -> Value {
        json!("0191d0f2-4c1e-7b51-9c2e-6f2a3b4c5d6e")
    }

    fn rendering(&self) -> &'static str {
        "relation"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        match field.module {
            Some(_) => Ok(()),
            None => Err("a relation names its module".to_owned()),
        }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "string", "format": "uuid", "maxLength": 36 })
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        match value.as_str().map(str::parse::<RecordId>) {
            Some(Ok(_)) => Ok(()),
            _ => Err(Problem::new("format", "is not the id of a record")),
        }
    }
}
