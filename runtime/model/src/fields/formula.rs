//! `formula`: computed on every write from the record and the records that it points to. Its
//! values are like those of the type that `result` names. Never computes: the engine's
//! expressions do. Example: `"652.00"`.

use serde_json::{Value, json};

use super::{FieldType, field_type};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

/// Types whose values an expression can have.
const RESULTS: [&str; 6] = ["text", "decimal", "integer", "boolean", "date", "datetime"];

pub(crate) struct Formula;

impl FieldType for Formula {
    fn name(&self) -> &'static str {
        "formula"
    }

    fn summary(&self) -> &'static str {
        "Computed on every write by expression, from the record and its to-one relations."
    }

    fn storage(&self) -> &'static str {
        "As the type that result names stores it."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["expression", "result", "scale"]
    }

    fn sample(&self) -> Value {
        json!({ "expression": "number(record.price.amount) * 2", "result": "decimal" })
    }

    fn example(&self) -> Value {
        json!("652.00")
    }

    fn rendering(&self) -> &'static str {
        "formula"
    }

    fn parts(&self, field: &FieldDefinition) -> &'static [Part] {
        match result(field) {
            Some(kind) => kind.parts(field),
            None => const { &[Part::whole(Form::Opaque)] },
        }
    }

    fn is_computed(&self) -> bool {
        true
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        if field
            .expression
            .as_deref()
            .unwrap_or_default()
            .trim()
            .is_empty()
        {
            return Err("a formula has an expression".to_owned());
        }
        match result(field) {
            Some(_) => Ok(()),
            None => Err(format!(
                "result of a formula is one of: {}",
                RESULTS.join(", ")
            )),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let mut schema = result(field).map_or_else(|| json!({}), |kind| kind.schema(field));
        if let Value::Object(schema) = &mut schema {
            schema.insert("readOnly".to_owned(), json!(true));
        }
        schema
    }

    fn normalize(&self, field: &FieldDefinition, value: Value) -> Value {
        match result(field) {
            Some(kind) => kind.normalize(field, value),
            None => value,
        }
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        super::decimal::Decimal.values()
    }
}

fn result(field: &FieldDefinition) -> Option<&'static dyn FieldType> {
    let name = field.result.as_deref()?;
    RESULTS.contains(&name).then(|| field_type(name)).flatten()
}
