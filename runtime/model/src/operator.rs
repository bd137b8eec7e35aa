//! What a condition of a filter can ask.

use serde::{Deserialize, Serialize};

/// An operator of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
    Between,
    Contains,
    StartsWith,
    EndsWith,
    IsEmpty,
    IsNotEmpty,
    /// At least one member of a list, or one related record.
    Any,
    /// No member of a list, or no related record.
    None,
    /// A stretch of time by name, in the tenant's zone: `last_7_days`.
    Within,
    /// The caller.
    IsMe,
}
