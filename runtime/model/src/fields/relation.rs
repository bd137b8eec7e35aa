//! `relation`: a record of another module (or the same), or with `many` several, stored by id.
//! That the records exist is checked by the engine, which can look. With `inverse_of`, it is the
//! other side of a relation of that module: read from there, never stored here. Example:
//! `"0191d0f2-4c1e-7b51-9c2e-6f2a3b4c5d6e"`.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::{FieldType, Problem, check_required_list};
use crate::definition::{FieldDefinition, OnDelete};
use crate::form::{Form, Part};
use crate::ids::RecordId;
use crate::limits::RELATION_MAX_RECORDS;

pub(crate) const NAME: &str = "relation";

pub(crate) struct Relation;

impl FieldType for Relation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "A record of a module; with many, several; with inverse_of, those that point here."
    }

    fn storage(&self) -> &'static str {
        "A JSON string, the record's id; with many, an array of ids, each once; with inverse_of, \
         nothing."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["module", "many", "inverse_of", "on_delete"]
    }

    fn sample(&self) -> Value {
        json!({ "module": "patients" })
    }

    fn example(&self) -> Value {
        json!("0191d0f2-4c1e-7b51-9c2e-6f2a3b4c5d6e")
    }

    fn rendering(&self) -> &'static str {
        "relation"
    }

    fn parts(&self, field: &FieldDefinition) -> &'static [Part] {
        if holds_list(field) {
            const { &[Part::whole(Form::List)] }
        } else {
            const { &[Part::whole(Form::Exact)] }
        }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        if field.module.is_none() {
            return Err("a relation names its module".to_owned());
        }
        if field.required && field.on_delete == Some(OnDelete::SetNull) {
            return Err(
                "a required relation cannot become empty: on_delete is restrict or cascade"
                    .to_owned(),
            );
        }
        match written_attribute(field) {
            Some(name) if field.inverse_of.is_some() => Err(format!(
                "“{name}” means nothing beside inverse_of: say it of the field that is the other side"
            )),
            _ => Ok(()),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let id = json!({ "type": "string", "format": "uuid", "maxLength": 36 });
        if field.inverse_of.is_some() {
            return json!({ "type": "array", "items": id, "readOnly": true });
        }
        if field.many {
            return json!({
                "type": "array",
                "items": id,
                "maxItems": RELATION_MAX_RECORDS,
                "uniqueItems": true,
            });
        }
        id
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        let Value::Array(members) = value else {
            return canonical(value);
        };
        let mut seen = BTreeSet::new();
        let members = members.into_iter().map(canonical);
        members
            .filter(|id| id.as_str().is_none_or(|id| seen.insert(id.to_owned())))
            .collect()
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        if let Some(other) = &field.inverse_of {
            return Err(Problem::new(
                "read_only",
                format!("is the other side of “{other}”: write it there"),
            ));
        }
        let is_id = |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            text.parse::<RecordId>().is_ok()
        };
        match value {
            Value::Array(ids) if !ids.iter().all(is_id) => {
                Err(Problem::new("format", "is not a list of ids of records"))
            }
            Value::Array(_) => check_required_list(field, value),
            one if is_id(one) => Ok(()),
            _ => Err(Problem::new("format", "is not the id of a record")),
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (any::<u128>(), any::<bool>())
            .prop_map(|(number, loud)| {
                let id = uuid::Uuid::from_u128(number).to_string();
                json!(if loud { id.to_uppercase() } else { id })
            })
            .boxed()
    }
}

fn holds_list(field: &FieldDefinition) -> bool {
    field.many || field.inverse_of.is_some()
}

/// An attribute that only the side which is stored can have.
fn written_attribute(field: &FieldDefinition) -> Option<&'static str> {
    [
        ("many", field.many),
        ("on_delete", field.on_delete.is_some()),
        ("required", field.required),
        ("required_if", field.required_if.is_some()),
        ("default", field.default.is_some()),
        ("default_expression", field.default_expression.is_some()),
        ("read_only", field.read_only),
        ("read_only_if", field.read_only_if.is_some()),
        ("indexed", field.indexed),
        ("searchable", field.searchable),
    ]
    .into_iter()
    .find_map(|(name, is_given)| is_given.then_some(name))
}

/// An id in the one form that ids are compared in.
fn canonical(value: Value) -> Value {
    match value.as_str().map(str::parse::<RecordId>) {
        Some(Ok(id)) => Value::String(id.to_string()),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(attributes: Value) -> FieldDefinition {
        let mut field = json!({
            "key": "friends", "label": "Friends", "type": "relation", "module": "people",
        });
        let more = attributes.as_object().unwrap().clone();
        field.as_object_mut().unwrap().extend(more);
        serde_json::from_value(field).unwrap()
    }

    #[test]
    fn many_ids_are_a_list_without_duplicates() {
        let field = field(json!({"many": true, "required": true}));
        let id = "0191d0f2-4c1e-7b51-9c2e-6f2a3b4c5d6e";
        let twice = json!([id, id.to_uppercase()]);
        assert_eq!(Relation.normalize(&field, twice), json!([id]));
        assert!(Relation.check(&field, &json!([id])).is_ok());
        assert_eq!(
            Relation.check(&field, &json!([])).unwrap_err().code,
            "required"
        );
        assert_eq!(
            Relation.check(&field, &json!(["x"])).unwrap_err().code,
            "format"
        );
        let schema = crate::schema::compile(&Relation.schema(&field)).unwrap();
        assert!(schema.is_valid(&json!([id])));
        assert!(!schema.is_valid(&json!(id)));
        let ids = |count: usize| -> Value {
            let ids = (0..count as u128).map(|number| uuid::Uuid::from_u128(number).to_string());
            ids.collect()
        };
        assert!(schema.is_valid(&ids(RELATION_MAX_RECORDS)));
        assert!(!schema.is_valid(&ids(RELATION_MAX_RECORDS + 1)));
    }

    #[test]
    fn a_required_relation_is_never_set_to_nothing() {
        let check = |on_delete: &str, required: bool| {
            let field = field(json!({"on_delete": on_delete, "required": required}));
            Relation.check_definition(&field).is_ok()
        };
        assert!(check("set_null", false) && check("restrict", true) && check("cascade", true));
        assert!(!check("set_null", true));
    }

    #[test]
    fn the_other_side_is_written_on_its_own_side() {
        let other = field(json!({"inverse_of": "mentor"}));
        assert_eq!(
            Relation.check(&other, &json!([])).unwrap_err().code,
            "read_only"
        );
        assert_eq!(Relation.check_definition(&other), Ok(()));
        for attribute in [json!({"required": true}), json!({"on_delete": "cascade"})] {
            let mut wrong = attribute;
            wrong["inverse_of"] = json!("mentor");
            let refused = Relation.check_definition(&field(wrong)).unwrap_err();
            assert!(refused.contains("beside inverse_of"), "{refused}");
        }
    }
}
