//! What a plan says of its tenants' calls: where it differs from the defaults, up to caps that
//! hold for everybody.

use crm_model::limits;
pub use crm_model::plan::LimitOverrides;
use std::time::Duration;

use crate::class::GuestLimits;

/// A plan wants more than anybody gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{limit}` can be at most {cap}, not {wanted}")]
pub struct LimitError {
    pub limit: &'static str,
    pub wanted: u64,
    pub cap: u64,
}

/// What a plan says of each limit, beside the cap.
fn wanted(plan: &LimitOverrides) -> [(&'static str, Option<u64>, u64); 11] {
    let bytes = |bytes: Option<usize>| bytes.map(|bytes| bytes as u64);
    [
        (
            "memory_max_bytes",
            bytes(plan.memory_max_bytes),
            limits::PLAN_MEMORY_MAX_BYTES as u64,
        ),
        (
            "table_max_elements",
            bytes(plan.table_max_elements),
            limits::PLAN_TABLE_MAX_ELEMENTS as u64,
        ),
        (
            "fuel_max_units",
            plan.fuel_max_units,
            limits::PLAN_FUEL_MAX_UNITS,
        ),
        (
            "call_max_milliseconds",
            plan.call_max_milliseconds,
            limits::PLAN_CALL_MAX_MILLISECONDS,
        ),
        (
            "before_save_max_milliseconds",
            plan.before_save_max_milliseconds,
            limits::PLAN_BEFORE_SAVE_MAX_MILLISECONDS,
        ),
        (
            "input_max_bytes",
            bytes(plan.input_max_bytes),
            limits::PLAN_INPUT_OUTPUT_MAX_BYTES as u64,
        ),
        (
            "output_max_bytes",
            bytes(plan.output_max_bytes),
            limits::PLAN_INPUT_OUTPUT_MAX_BYTES as u64,
        ),
        (
            "log_max_bytes",
            bytes(plan.log_max_bytes),
            limits::PLAN_LOG_MAX_BYTES as u64,
        ),
        (
            "max_host_calls",
            plan.max_host_calls.map(u64::from),
            u64::from(limits::PLAN_MAX_HOST_CALLS),
        ),
        (
            "max_mutations",
            bytes(plan.max_mutations),
            limits::PLAN_MAX_MUTATIONS as u64,
        ),
        (
            "max_effects",
            bytes(plan.max_effects),
            limits::PLAN_MAX_EFFECTS as u64,
        ),
    ]
}

/// Every limit of a plan that goes past its cap.
pub fn over_caps(plan: &LimitOverrides) -> Vec<LimitError> {
    let wanted = wanted(plan).into_iter();
    wanted
        .filter_map(|(limit, wanted, cap)| {
            let wanted = wanted.filter(|wanted| *wanted > cap)?;
            Some(LimitError { limit, wanted, cap })
        })
        .collect()
}

/// One limit of a tenant's calls, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveLimit {
    pub limit: &'static str,
    pub value: u64,
    /// Whether its plan says so.
    pub is_planned: bool,
    /// What a plan can say at most.
    pub cap: u64,
}

impl GuestLimits {
    /// Each limit as it is under a plan that goes past no cap.
    pub fn explained(&self, plan: &LimitOverrides) -> Vec<EffectiveLimit> {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let defaults = [
            self.memory_max_bytes as u64,
            self.table_max_elements as u64,
            self.fuel_max_units,
            milliseconds(self.call_max),
            milliseconds(self.before_save_max),
            self.input_max_bytes as u64,
            self.output_max_bytes as u64,
            self.log_max_bytes as u64,
            u64::from(self.max_host_calls),
            self.max_mutations as u64,
            self.max_effects as u64,
        ];
        let limits = wanted(plan).into_iter().zip(defaults);
        limits
            .map(|((limit, wanted, cap), default)| EffectiveLimit {
                limit,
                value: wanted.unwrap_or(default),
                is_planned: wanted.is_some(),
                cap,
            })
            .collect()
    }

    /// These limits, narrowed or widened by a plan.
    ///
    /// # Errors
    /// [`LimitError`] with the first limit that goes past its cap.
    pub fn with(self, plan: &LimitOverrides) -> Result<Self, LimitError> {
        if let Some(error) = over_caps(plan).into_iter().next() {
            return Err(error);
        }
        let milliseconds = |wanted: Option<u64>, time| wanted.map_or(time, Duration::from_millis);
        Ok(Self {
            memory_max_bytes: plan.memory_max_bytes.unwrap_or(self.memory_max_bytes),
            table_max_elements: plan.table_max_elements.unwrap_or(self.table_max_elements),
            fuel_max_units: plan.fuel_max_units.unwrap_or(self.fuel_max_units),
            call_max: milliseconds(plan.call_max_milliseconds, self.call_max),
            before_save_max: milliseconds(plan.before_save_max_milliseconds, self.before_save_max),
            input_max_bytes: plan.input_max_bytes.unwrap_or(self.input_max_bytes),
            output_max_bytes: plan.output_max_bytes.unwrap_or(self.output_max_bytes),
            log_max_bytes: plan.log_max_bytes.unwrap_or(self.log_max_bytes),
            max_host_calls: plan.max_host_calls.unwrap_or(self.max_host_calls),
            max_mutations: plan.max_mutations.unwrap_or(self.max_mutations),
            max_effects: plan.max_effects.unwrap_or(self.max_effects),
        })
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
        let shown = GuestLimits::default().explained(&LimitOverrides::default());
        let text = serde_json::to_value(GuestLimits::default()).unwrap();
        for limit in &shown {
            assert_eq!(text[limit.limit], limit.value, "{}", limit.limit);
        }
        assert_eq!(shown.len(), text.as_object().unwrap().len());
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
