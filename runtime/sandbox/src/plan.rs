//! What a plan says of its tenants' calls: where it differs from the defaults, up to caps that
//! hold for everybody.

use crm_model::limits;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::class::GuestLimits;

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

/// A plan wants more than anybody gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{limit}` can be at most {cap}, not {wanted}")]
pub struct LimitError {
    pub limit: &'static str,
    pub wanted: u64,
    pub cap: u64,
}

impl GuestLimits {
    /// These limits, narrowed or widened by a plan.
    ///
    /// # Errors
    /// [`LimitError`] with the first limit that goes past its cap.
    pub fn with(mut self, plan: &LimitOverrides) -> Result<Self, LimitError> {
        macro_rules! set {
            ($($limit:ident, $cap:ident);* $(;)?) => {
                $(if let Some(wanted) = plan.$limit {
                    let cap = limits::$cap;
                    if wanted > cap {
                        return Err(LimitError {
                            limit: stringify!($limit),
                            wanted: wanted as u64,
                            cap: cap as u64,
                        });
                    }
                    set!(@ $limit, wanted);
                })*
            };
            (@ call_max_milliseconds, $wanted:ident) => {
                self.call_max = Duration::from_millis($wanted)
            };
            (@ before_save_max_milliseconds, $wanted:ident) => {
                self.before_save_max = Duration::from_millis($wanted)
            };
            (@ $limit:ident, $wanted:ident) => { self.$limit = $wanted };
        }
        set! {
            memory_max_bytes, PLAN_MEMORY_MAX_BYTES;
            table_max_elements, PLAN_TABLE_MAX_ELEMENTS;
            fuel_max_units, PLAN_FUEL_MAX_UNITS;
            call_max_milliseconds, PLAN_CALL_MAX_MILLISECONDS;
            before_save_max_milliseconds, PLAN_BEFORE_SAVE_MAX_MILLISECONDS;
            input_max_bytes, PLAN_INPUT_OUTPUT_MAX_BYTES;
            output_max_bytes, PLAN_INPUT_OUTPUT_MAX_BYTES;
            log_max_bytes, PLAN_LOG_MAX_BYTES;
            max_host_calls, PLAN_MAX_HOST_CALLS;
            max_mutations, PLAN_MAX_MUTATIONS;
            max_effects, PLAN_MAX_EFFECTS;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<GuestLimits, LimitError> {
        let plan: LimitOverrides = serde_json::from_str(text).unwrap();
        GuestLimits::default().with(&plan)
    }

    #[test]
    fn a_plan_says_only_what_differs() {
        assert_eq!(plan("{}"), Ok(GuestLimits::default()));
        let limits = plan(r#"{"memory_max_bytes": 1048576, "call_max_milliseconds": 9000}"#);
        assert_eq!(
            limits,
            Ok(GuestLimits {
                memory_max_bytes: 1 << 20,
                call_max: Duration::from_secs(9),
                ..GuestLimits::default()
            })
        );
    }

    #[test]
    fn every_limit_goes_up_to_its_cap_and_not_one_further() {
        for (limit, cap) in [
            ("memory_max_bytes", limits::PLAN_MEMORY_MAX_BYTES as u64),
            ("table_max_elements", limits::PLAN_TABLE_MAX_ELEMENTS as u64),
            ("fuel_max_units", limits::PLAN_FUEL_MAX_UNITS),
            ("call_max_milliseconds", limits::PLAN_CALL_MAX_MILLISECONDS),
            (
                "before_save_max_milliseconds",
                limits::PLAN_BEFORE_SAVE_MAX_MILLISECONDS,
            ),
            (
                "input_max_bytes",
                limits::PLAN_INPUT_OUTPUT_MAX_BYTES as u64,
            ),
            (
                "output_max_bytes",
                limits::PLAN_INPUT_OUTPUT_MAX_BYTES as u64,
            ),
            ("log_max_bytes", limits::PLAN_LOG_MAX_BYTES as u64),
            ("max_host_calls", u64::from(limits::PLAN_MAX_HOST_CALLS)),
            ("max_effects", limits::PLAN_MAX_EFFECTS as u64),
            ("max_mutations", limits::PLAN_MAX_MUTATIONS as u64),
        ] {
            assert!(plan(&format!(r#"{{"{limit}": {cap}}}"#)).is_ok(), "{limit}");
            let wanted = cap + 1;
            assert_eq!(
                plan(&format!(r#"{{"{limit}": {wanted}}}"#)),
                Err(LimitError { limit, wanted, cap })
            );
        }
    }

    #[test]
    fn a_limit_that_does_not_exist_is_refused() {
        assert!(serde_json::from_str::<LimitOverrides>(r#"{"memory": 1}"#).is_err());
    }
}
