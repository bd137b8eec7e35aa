//! `created_at`, `created_by`, `updated_at`, `updated_by`: when and by whom the record was made
//! and last changed, as fields of it. Taken from the write, never from a client. Examples:
//! `"2026-11-22T09:30:00Z"`, `"u-42"`.

use serde_json::{Value, json};

use super::{FieldType, datetime::DateTime, user::User};
use crate::definition::FieldDefinition;
use crate::form::Part;

/// When, or by whom.
pub(crate) struct Stamp {
    name: &'static str,
    summary: &'static str,
    like: &'static dyn FieldType,
}

pub(crate) static CREATED_AT: Stamp = Stamp {
    name: "created_at",
    summary: "When the record was made.",
    like: &DateTime,
};
pub(crate) static CREATED_BY: Stamp = Stamp {
    name: "created_by",
    summary: "Who made the record.",
    like: &User,
};
pub(crate) static UPDATED_AT: Stamp = Stamp {
    name: "updated_at",
    summary: "When the record was last changed.",
    like: &DateTime,
};
pub(crate) static UPDATED_BY: Stamp = Stamp {
    name: "updated_by",
    summary: "Who last changed the record.",
    like: &User,
};

impl FieldType for Stamp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn storage(&self) -> &'static str {
        self.like.storage()
    }

    fn example(&self) -> Value {
        self.like.example()
    }

    fn rendering(&self) -> &'static str {
        self.like.rendering()
    }

    fn parts(&self, field: &FieldDefinition) -> &'static [Part] {
        self.like.parts(field)
    }

    fn is_computed(&self) -> bool {
        true
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        let mut schema = self.like.schema(field);
        if let Value::Object(schema) = &mut schema {
            schema.insert("readOnly".to_owned(), json!(true));
        }
        schema
    }

    fn normalize(&self, field: &FieldDefinition, value: Value) -> Value {
        self.like.normalize(field, value)
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        self.like.values()
    }
}
