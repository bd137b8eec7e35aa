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

impl Operator {
    /// Their names, as filters have them.
    pub const NAMES: [&'static str; 18] = [
        "eq",
        "ne",
        "lt",
        "lte",
        "gt",
        "gte",
        "in",
        "not_in",
        "between",
        "contains",
        "starts_with",
        "ends_with",
        "is_empty",
        "is_not_empty",
        "any",
        "none",
        "within",
        "is_me",
    ];

    /// Its name, as filters have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Between => "between",
            Self::Contains => "contains",
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
            Self::IsEmpty => "is_empty",
            Self::IsNotEmpty => "is_not_empty",
            Self::Any => "any",
            Self::None => "none",
            Self::Within => "within",
            Self::IsMe => "is_me",
        }
    }
}
