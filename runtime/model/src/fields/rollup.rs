//! `rollup`: count, sum, least, greatest or mean of the records that point to this one. Never
//! computes: the engine does. Example: `3`.

use serde_json::{Value, json};

use super::{FieldType, field_type};
use crate::definition::{FieldDefinition, RollupDefinition, RollupOperation};
use crate::form::{Form, Part};

/// What the least and the greatest may be, beside numbers, if `result` says so.
const ORDERED: [&str; 3] = ["decimal", "date", "datetime"];

pub(crate) struct Rollup;

impl FieldType for Rollup {
    fn name(&self) -> &'static str {
        "rollup"
    }

    fn summary(&self) -> &'static str {
        "Count, sum, min, max or avg of the records of another module that point here. For min \
         and max of dates, result says date or datetime."
    }

    fn storage(&self) -> &'static str {
        "A JSON integer for count, else an exact decimal in a JSON string; dates as their type."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["rollup", "module", "result"]
    }

    fn sample(&self) -> Value {
        json!({ "rollup": { "module": "appointments", "relation": "patient", "operation": "count" } })
    }

    fn example(&self) -> Value {
        json!(3)
    }

    fn rendering(&self) -> &'static str {
        "rollup"
    }

    fn parts(&self, field: &FieldDefinition) -> &'static [Part] {
        match result(field) {
            Some(kind) => kind.parts(field),
            None => const { &[Part::whole(Form::Number)] },
        }
    }

    fn is_computed(&self) -> bool {
        true
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        let Some(rollup) = &field.rollup else {
            return Err("a rollup says what it computes, in rollup".to_owned());
        };
        if field
            .module
            .as_ref()
            .is_some_and(|module| *module != rollup.module)
        {
            return Err("module is that of rollup: leave it out".to_owned());
        }
        check_operation(rollup)?;
        let Some(name) = field.result.as_deref() else {
            return Ok(());
        };
        if !is_extreme(rollup.operation) {
            return Err("result belongs to min and max: leave it out".to_owned());
        }
        if !ORDERED.contains(&name) {
            return Err(format!(
                "result of a rollup is one of: {}",
                ORDERED.join(", ")
            ));
        }
        Ok(())
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let mut schema = match (&field.rollup, result(field)) {
            (_, Some(kind)) => kind.schema(field),
            (Some(rollup), None) if rollup.operation == RollupOperation::Count => {
                json!({ "type": "integer", "minimum": 0 })
            }
            _ => super::decimal::schema(),
        };
        if let Value::Object(schema) = &mut schema {
            schema.insert("readOnly".to_owned(), json!(true));
        }
        schema
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        (0u32..1_000_000).prop_map(|count| json!(count)).boxed()
    }
}

fn check_operation(rollup: &RollupDefinition) -> Result<(), String> {
    match (rollup.operation, &rollup.field) {
        (RollupOperation::Count, Some(_)) => {
            Err("count is of records, not of a field: leave rollup.field out".to_owned())
        }
        (RollupOperation::Count, None) | (_, Some(_)) => Ok(()),
        (_, None) => Err("rollup.field says of which field".to_owned()),
    }
}

fn is_extreme(operation: RollupOperation) -> bool {
    matches!(operation, RollupOperation::Min | RollupOperation::Max)
}

fn result(field: &FieldDefinition) -> Option<&'static dyn FieldType> {
    let name = field.result.as_deref()?;
    ORDERED.contains(&name).then(|| field_type(name)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rollup: Value, result: Option<&str>) -> Result<Value, String> {
        let mut field = super::super::tests::sample_of("rollup");
        field.rollup = serde_json::from_value(rollup).unwrap();
        field.result = result.map(ToOwned::to_owned);
        Rollup.check_definition(&field)?;
        Ok(Rollup.schema(&field)["type"].clone())
    }

    #[test]
    fn a_rollup_is_of_records_or_of_a_field() {
        let rollup = |operation: &str, field: Option<&str>| json!({"module": "orders", "relation": "customer", "operation": operation, "field": field});
        assert_eq!(check(rollup("count", None), None), Ok(json!("integer")));
        assert_eq!(
            check(rollup("sum", Some("price")), None),
            Ok(json!("string"))
        );
        assert_eq!(
            check(rollup("max", Some("paid_on")), Some("date")),
            Ok(json!("string"))
        );
        assert!(check(rollup("count", Some("price")), None).is_err());
        assert!(check(rollup("sum", None), None).is_err());
        assert!(check(rollup("sum", Some("price")), Some("date")).is_err());
        assert!(check(rollup("min", Some("price")), Some("text")).is_err());
    }
}
