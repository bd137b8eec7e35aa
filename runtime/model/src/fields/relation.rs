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

    fn parts(&self, field: &FieldDefinition) -> &'static [Part] {
        if field.many {
            return const { &[Part::whole(Form::List)] };
        }
        const { &[Part::whole(Form::Exact)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        match field.module {
            Some(_) => Ok(()),
            None => Err("a relation names its module".to_owned()),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let one = json!({ "type": "string", "format": "uuid", "maxLength": 36 });
        if field.many {
            return json!({ "type": "array", "items": one, "uniqueItems": true });
        }
        one
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let is_id = |value: &Value| {
            value
                .as_str()
                .is_some_and(|id| id.parse::<RecordId>().is_ok())
        };
        let fits = match value {
            Value::Array(values) => values.iter().all(is_id),
            one => is_id(one),
        };
        if fits {
            return Ok(());
        }
        Err(Problem::new("format", "is not the id of a record"))
    }
}
