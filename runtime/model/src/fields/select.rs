//! `select`: one of the field's options, stored by value. Example: `"AB+"`.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::FieldType;
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::limits::SELECT_MAX_OPTIONS;

pub(crate) struct Select;

impl FieldType for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn summary(&self) -> &'static str {
        "One of the options."
    }

    fn example(&self) -> Value {
        json!("AB+")
    }

    fn rendering(&self) -> &'static str {
        "select"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        let count = field.options.len();
        if count == 0 || count > SELECT_MAX_OPTIONS {
            return Err(format!("a select has 1 to {SELECT_MAX_OPTIONS} options"));
        }
        let mut seen = BTreeSet::new();
        match field
            .options
            .iter()
            .find(|option| !seen.insert(&option.value))
        {
            Some(option) => Err(format!("option “{}” stands there twice", option.value)),
            None => Ok(()),
        }
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let values: Vec<&str> = field
            .options
            .iter()
            .map(|option| option.value.as_str())
            .collect();
        json!({ "enum": values })
    }
}
