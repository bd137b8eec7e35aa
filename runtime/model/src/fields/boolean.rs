//! `boolean`. Example: `true`.

use serde_json::{Value, json};

use super::FieldType;
use crate::definition::FieldDefinition;

pub(crate) struct Boolean;

impl FieldType for Boolean {
    fn name(&self) -> &'static str {
        "boolean"
    }

    fn schema(&self, _field: &FieldDefinition) -> Value {
        json!({ "type": "boolean" })
    }
}
