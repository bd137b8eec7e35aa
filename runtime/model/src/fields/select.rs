//! `select`: one of the field's options, stored by value. With `depends_on`, only the options
//! whose `parents` hold the value of that other select count. With stages, it is a pipeline.
//! Example: `"red"`.

use serde_json::{Value, json};

use super::{FieldType, choices};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) const NAME: &str = "select";

pub(crate) struct Select;

impl FieldType for Select {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "One of the options. Dependent, with `depends_on: country`, an option with \
         `parents: [de, at]` counts only where the select `country` has one of these values. As a \
         pipeline, options are stages, in order, with `probability`, `transitions` and \
         `required_fields`."
    }

    fn storage(&self) -> &'static str {
        "A JSON string: the option's value."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["options", "depends_on"]
    }

    fn sample(&self) -> Value {
        choices::sample()
    }

    fn example(&self) -> Value {
        json!("red")
    }

    fn rendering(&self) -> &'static str {
        "select"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        choices::check(field)
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        json!({ "enum": choices::values(field) })
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        proptest::sample::select(vec!["red", "green", "blue"])
            .prop_map(|value| json!(value))
            .boxed()
    }
}
