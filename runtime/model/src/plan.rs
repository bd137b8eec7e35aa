//! A tenant's plan: where the limits of its guests' calls differ from the defaults. Part of its
//! model, so a change holds for the next call on every instance. Never says what the caps are.

use serde::{Deserialize, Serialize};

/// Limits of one call in the place of the defaults; what is not said stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    pub memory_max_bytes: Option<usize>,
    pub table_max_elements: Option<usize>,
    pub fuel_max_units: Option<u64>,
    pub call_max_milliseconds: Option<u64>,
    pub before_save_max_milliseconds: Option<u64>,
    pub input_max_bytes: Option<usize>,
    pub output_max_bytes: Option<usize>,
    pub log_max_bytes: Option<usize>,
    pub max_host_calls: Option<u32>,
    pub max_mutations: Option<usize>,
    pub max_effects: Option<usize>,
}

/// What the operator says of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// What the operator calls it.
    #[serde(rename = "plan")]
    pub name: Option<String>,
    pub limits: LimitOverrides,
}
