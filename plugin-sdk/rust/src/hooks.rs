//! What templates are asked for beside their model.

use serde_json::Value;

use crate::event::Actor;

/// Whether a record is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeKind {
    #[default]
    Create,
    Update,
}

/// A change that is about to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    pub kind: ChangeKind,
    pub module: String,
    /// Empty for a new record.
    pub record_id: String,
    /// The record as it is.
    pub before: Option<Value>,
    /// The record as it would be.
    pub after: Value,
    pub changed_fields: Vec<String>,
    pub actor: Actor,
    /// RFC 3339, UTC.
    pub occurred_at: String,
    /// The tenant's time zone: `Europe/Berlin`.
    pub zone: String,
    /// The tenant's language: `de`.
    pub locale: String,
    pub seed: u64,
}

/// What is wrong with a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The field that it is about; none for the record as a whole.
    pub field: Option<String>,
    pub message: String,
}

impl Objection {
    /// Something about one field.
    pub fn to(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            message: message.into(),
        }
    }

    /// Something about the record as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            field: None,
            message: message.into(),
        }
    }
}

/// What a template says to a change: a JSON merge patch of the record, if something is to be
/// added, or everything that is wrong.
pub type Verdict = Result<Option<Value>, Vec<Objection>>;
