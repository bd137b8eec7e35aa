//! `multi_select`: some of the field's options, each once, stored in the order of the options.
//! Example: `["red", "blue"]`.

use serde_json::{Value, json};

use super::{FieldType, Problem, check_required_list, choices};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct MultiSelect;

impl FieldType for MultiSelect {
    fn name(&self) -> &'static str {
        "multi_select"
    }

    fn summary(&self) -> &'static str {
        "Some of the options."
    }

    fn storage(&self) -> &'static str {
        "A JSON array of the options' values, each once, in the order of the options."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["options"]
    }

    fn sample(&self) -> Value {
        choices::sample()
    }

    fn example(&self) -> Value {
        json!(["red", "blue"])
    }

    fn rendering(&self) -> &'static str {
        "multi_select"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::List)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        choices::check(field)?;
        let mut options = field.options.iter();
        let of_select = options.find(|option| {
            !option.parents.is_empty()
                || option.probability.is_some()
                || option.transitions.is_some()
                || !option.required_fields.is_empty()
        });
        match of_select {
            Some(option) => Err(format!(
                "option “{}”: parents, probability, transitions and required_fields belong to a select",
                option.value
            )),
            None => Ok(()),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let values = choices::values(field);
        json!({
            "type": "array",
            "maxItems": values.len(),
            "uniqueItems": true,
            "items": { "enum": values },
        })
    }

    fn normalize(&self, field: &FieldDefinition, value: Value) -> Value {
        let Value::Array(members) = &value else {
            return value;
        };
        let known = choices::values(field);
        let is_known = |member: &Value| member.as_str().is_some_and(|text| known.contains(&text));
        if !members.iter().all(is_known) {
            return value;
        }
        let chosen = known
            .iter()
            .filter(|option| members.iter().any(|member| member == **option));
        chosen.map(|option| Value::from(*option)).collect()
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        check_required_list(field, value)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        let option = proptest::sample::select(vec!["red", "green", "blue"]);
        proptest::collection::vec(option, 0..6)
            .prop_map(|values| json!(values))
            .boxed()
    }
}
