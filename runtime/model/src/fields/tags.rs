//! `tags`: free short texts, trimmed, each once without regard to case. Example:
//! `["vip", "spring fair"]`.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::{FieldType, Problem, check_required_list};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};
use crate::key;
use crate::limits::{TAG_MAX_CHARACTERS, TAGS_MAX_COUNT};

pub(crate) struct Tags;

impl FieldType for Tags {
    fn name(&self) -> &'static str {
        "tags"
    }

    fn summary(&self) -> &'static str {
        "Free short texts. The first spelling of each counts."
    }

    fn storage(&self) -> &'static str {
        "A JSON array of strings, trimmed, each once without regard to case."
    }

    fn example(&self) -> Value {
        json!(["vip", "spring fair"])
    }

    fn rendering(&self) -> &'static str {
        "tags"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::List)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({
            "type": "array",
            "maxItems": TAGS_MAX_COUNT,
            "uniqueItems": true,
            "items": { "type": "string", "minLength": 1, "maxLength": TAG_MAX_CHARACTERS },
        })
    }

    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        let Value::Array(members) = value else {
            return value;
        };
        let mut seen = BTreeSet::new();
        let trimmed = members.into_iter().map(|member| match member {
            Value::String(text) => Value::from(text.trim()),
            other => other,
        });
        // What is no text stays, for the schema to refuse.
        trimmed
            .filter(|member| {
                member
                    .as_str()
                    .is_none_or(|text| seen.insert(key::fold(text)))
            })
            .collect()
    }

    fn check(&self, field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
        let mut tags = value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        if tags.any(|tag| tag.chars().any(char::is_control)) {
            return Err(Problem::new(
                "format",
                "tags are one line each, without control characters",
            ));
        }
        check_required_list(field, value)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        proptest::collection::vec(" ?[a-zA-ZäÄßİ]{1,3} ?", 0..20)
            .prop_map(|tags| json!(tags))
            .boxed()
    }
}
