//! `json`: any JSON, kept as it is. Nothing looks into it: filters ask only whether there is some.
//! Example: `{"source": {"campaign": 7}}`.

use serde_json::{Value, json};

use super::{FieldType, Problem};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::{JSON_MAX_BYTES, JSON_MAX_DEPTH};

pub(crate) struct Json;

impl FieldType for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn summary(&self) -> &'static str {
        "Any JSON, for what other systems send along."
    }

    fn storage(&self) -> &'static str {
        "Any JSON but null, as given."
    }

    fn example(&self) -> Value {
        json!({"source": {"campaign": 7}})
    }

    fn rendering(&self) -> &'static str {
        "json"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Opaque)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({})
    }

    fn check(&self, _field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        if is_deeper(value, JSON_MAX_DEPTH) {
            let message = format!("is nested deeper than {JSON_MAX_DEPTH} levels");
            return Err(Problem::new("depth", message));
        }
        // Printing a value of a bounded depth is linear, and the body was bounded before.
        if value.to_string().len() > JSON_MAX_BYTES {
            let message = format!("is longer than {JSON_MAX_BYTES} bytes");
            return Err(Problem::new("size", message));
        }
        Ok(())
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            any::<bool>().prop_map(|truth| json!(truth)),
            any::<i32>().prop_map(|number| json!(number)),
            "[a-z]{0,5}".prop_map(|text| json!(text)),
        ];
        let tree = leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                    .prop_map(|members| json!(members)),
            ]
        });
        tree.boxed()
    }
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let mut inner: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(members) => Box::new(members.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => return false,
    };
    match levels.checked_sub(1) {
        Some(levels) => inner.any(|member| is_deeper(member, levels)),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_size_have_limits() {
        let field = super::super::tests::sample_of("json");
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(Json.check(&field, &nested(JSON_MAX_DEPTH)).is_ok());
        let deep = Json.check(&field, &nested(JSON_MAX_DEPTH + 1));
        assert_eq!(deep.unwrap_err().code, "depth");
        // Two bytes are the quotation marks.
        let long = |bytes: usize| json!("x".repeat(bytes - 2));
        assert!(Json.check(&field, &long(JSON_MAX_BYTES)).is_ok());
        let large = Json.check(&field, &long(JSON_MAX_BYTES + 1));
        assert_eq!(large.unwrap_err().code, "size");
    }
}
