//! What a run of an import does, decided once and kept with its task.

use serde::{Deserialize, Serialize};

use super::dates::DateOrder;
use crate::ids::ImportId;
use crate::names::{FieldKey, ModuleSlug};
use crate::permission::Actor;

/// A run of an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportPlan {
    pub import: ImportId,
    pub module: ModuleSlug,
    /// Whose permissions count, with the roles that they had when they asked.
    pub actor: Actor,
    /// An ASCII character.
    pub delimiter: u8,
    /// By their place in the file.
    pub columns: Vec<PlannedColumn>,
    pub options: ImportOptions,
}

/// A column, and what its cells are for; nothing where the column is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedColumn {
    pub name: String,
    pub target: Option<Target>,
}

/// A field, or one member of its values: `price.amount`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    pub field: FieldKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.part {
            None => write!(formatter, "{}", self.field),
            Some(part) => write!(formatter, "{}.{part}", self.field),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = crate::names::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, part) = match text.split_once('.') {
            Some((field, part)) => (field, Some(part.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            field: field.parse()?,
            part,
        })
    }
}

/// How a run goes about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// Every row is judged, none is written.
    pub dry_run: bool,
    /// Rows whose value of this unique field a record has update that record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upsert_key: Option<FieldKey>,
    /// Whether what is written starts workflows.
    pub run_workflows: bool,
    pub on_error: OnError,
    /// ISO 4217, for amounts that come without a currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_currency: Option<String>,
    /// How dates such as `03/04/2026` are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_order: Option<DateOrder>,
}

/// What becomes of a run when a row is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The row is left out and named.
    #[default]
    Skip,
    /// The run stops before the step that holds the row; what was written stays.
    Abort,
}
