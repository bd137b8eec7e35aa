//! Field types: one file each and one line in [`TYPES`]. A type knows its JSON Schema, the form
//! in which a value is stored, and what JSON Schema cannot say about it. What they all are is
//! told by [`catalogue`], and in `FIELDS.md`, which is written from it. A type never looks beyond
//! its own value: other fields and other records are for whoever knows them.

mod address;
mod auto_number;
mod boolean;
mod color;
mod currency;
mod date;
mod datetime;
mod decimal;
mod duration;
mod email;
mod formula;
mod full_name;
mod geo_point;
mod integer;
mod json;
mod multi_select;
mod percent;
mod phone;
mod rating;
mod relation;
mod rollup;
mod select;
mod stamp;
mod tags;
mod text;
mod time;
mod url;
mod user;

mod attributes;
mod bounds;
mod catalogue;
mod choices;
#[cfg(test)]
mod document_tests;
mod members;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::definition::FieldDefinition;
use crate::form::Part;

pub(crate) use auto_number::format_number;
pub use catalogue::{PartDescription, TypeDescription, catalogue};
pub(crate) use email::is_address;
pub(crate) use relation::NAME as RELATION;
pub(crate) use select::NAME as SELECT;

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
    &percent::Percent,
    &boolean::Boolean,
    &date::Date,
    &datetime::DateTime,
    &time::Time,
    &duration::Duration,
    &select::Select,
    &multi_select::MultiSelect,
    &tags::Tags,
    &email::Email,
    &phone::Phone,
    &url::Url,
    &address::Address,
    &full_name::FullName,
    &user::User,
    &relation::Relation,
    &json::Json,
    &rating::Rating,
    &auto_number::AutoNumber,
    &color::Color,
    &geo_point::GeoPoint,
    &formula::Formula,
    &rollup::Rollup,
    &stamp::CREATED_AT,
    &stamp::CREATED_BY,
    &stamp::UPDATED_AT,
    &stamp::UPDATED_BY,
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

    /// How a value is stored, in one sentence.
    fn storage(&self) -> &'static str;

    /// Attributes of a definition that mean something for this type, beside those that every
    /// type takes.
    fn attributes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What a definition of this type says at least, beside `key`, `label` and `type`.
    fn sample(&self) -> Value {
        json!({})
    }

    /// A value as it is stored, of the field that [`Self::sample`] defines.
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

    /// Values of the field that [`Self::sample`] defines, in every spelling that is accepted.
    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value>;
}

/// Checks that a definition says what its type can keep, and nothing that means nothing for it.
///
/// # Errors
/// A sentence that says what to change.
pub(crate) fn check_definition(
    kind: &dyn FieldType,
    field: &FieldDefinition,
) -> Result<(), String> {
    kind.check_definition(field)?;
    attributes::check(kind, field)
}

/// An empty list is no answer to a required question.
fn check_required_list(field: &FieldDefinition, value: &Value) -> Result<(), Problem> {
    let is_empty = value.as_array().is_some_and(Vec::is_empty);
    if field.required && is_empty {
        return Err(Problem::new("required", "is empty"));
    }
    Ok(())
}

/// The type of that name.
pub(crate) fn field_type(name: &str) -> Option<&'static dyn FieldType> {
    TYPES.iter().copied().find(|kind| kind.name() == name)
}

/// Names of all types, for messages and documentation.
pub fn type_names() -> Vec<&'static str> {
    TYPES.iter().map(|kind| kind.name()).collect()
}
