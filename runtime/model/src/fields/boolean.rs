//! `boolean`. Example: `true`.

use serde_json::{Value, json};

use super::FieldType;
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) struct Boolean;

impl FieldType for Boolean {
    fn name(&self) -> &'static str {
        "boolean"
    }

    fn summary(&self) -> &'static str {
        "Yes or no."
    }

    fn storage(&self) -> &'static str {
        "A JSON boolean."
    }

    fn example(&self) -> Value {
        json!(true)
    }

    fn rendering(&self) -> &'static str {
        "checkbox"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Boolean)] }
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "boolean" })
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        any::<bool>().prop_map(|truth| json!(truth)).boxed()
    }
}
