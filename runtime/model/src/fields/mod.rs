//! Field types: one file each and one line in [`TYPES`]. A type knows its JSON Schema, the form
//! in which a value is stored, and what JSON Schema cannot say about it.

mod boolean;
mod currency;
mod date;
mod datetime;
mod decimal;
mod email;
mod integer;
mod phone;
mod relation;
mod select;
mod stand_ins;
mod text;

use serde_json::Value;

use crate::definition::FieldDefinition;
use crate::form::Part;

pub(crate) use relation::NAME as RELATION;

/// Types whose values the host gives.
pub(crate) const AUTO_NUMBER: &str = "auto_number";
pub(crate) const FORMULA: &str = "formula";
pub(crate) const ROLLUP: &str = "rollup";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const CREATED_BY: &str = "created_by";
pub(crate) const UPDATED_AT: &str = "updated_at";
pub(crate) const UPDATED_BY: &str = "updated_by";

/// Every type that a field may have.
pub(crate) static TYPES: &[&dyn FieldType] = &[
    &text::TEXT,
    &text::LONG_TEXT,
    &integer::Integer,
    &decimal::Decimal,
    &currency::Currency,
    &boolean::Boolean,
    &date::Date,
    &datetime::DateTime,
    &select::Select,
    &email::Email,
    &phone::Phone,
    &relation::Relation,
    &stand_ins::AUTO_NUMBER,
    &stand_ins::FORMULA,
    &stand_ins::ROLLUP,
    &stand_ins::USER,
    &stand_ins::CREATED_AT,
    &stand_ins::CREATED_BY,
    &stand_ins::UPDATED_AT,
    &stand_ins::UPDATED_BY,
];

/// Why a value is refused: a stable code and a message.
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Problem {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// What a type of field knows.
pub(crate) trait FieldType: Send + Sync {
    /// Its name in definitions.
    fn name(&self) -> &'static str;

    /// What it is for, in one sentence.
    fn summary(&self) -> &'static str;

    /// A value as it is stored.
    fn example(&self) -> Value;

    /// How a console shows and asks for it: the name of a widget.
    fn rendering(&self) -> &'static str;

    /// How its values compare. The first part is what the field's bare name means in filters,
    /// in sorting and in the index; others are addressed as `price.currency`. Never empty.
    fn parts(&self, field: &FieldDefinition) -> &'static [Part];

    /// Whether the host computes the values, so that nobody may send one.
    fn is_computed(&self) -> bool {
        false
    }

    /// What of a definition only this type can judge, as a sentence.
    fn check_definition(&self, _field: &FieldDefinition) -> Result<(), String> {
        Ok(())
    }

    /// JSON Schema (2020-12) of a stored value.
    fn schema(&self, field: &FieldDefinition) -> Value;

    /// Brings a value that means the same into the stored form; leaves others as they are, for
    /// the schema to refuse.
    fn normalize(&self, _field: &FieldDefinition, value: Value) -> Value {
        value
    }

    /// What JSON Schema cannot say. Called only with values that the schema accepts.
    fn check(&self, _field: &FieldDefinition, _value: &Value) -> Result<(), Problem> {
        Ok(())
    }
}

/// The type of that name.
pub(crate) fn field_type(name: &str) -> Option<&'static dyn FieldType> {
    TYPES.iter().copied().find(|kind| kind.name() == name)
}

/// Names of all types, for messages and documentation.
pub fn type_names() -> Vec<&'static str> {
    TYPES.iter().map(|kind| kind.name()).collect()
}
