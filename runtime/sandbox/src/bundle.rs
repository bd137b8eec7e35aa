//! A run as a file: everything that one call was told, and what came of it, so that it can be run
//! again on another machine and compared to the last byte.

use crm_model::{Event, Grant, PluginName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::call::ActionCall;
use crate::class::GuestLimits;
use crate::digest::Digest;
use crate::host::journal::Exchange;
use crate::plan::LimitOverrides;
use crate::report::{ActionReport, LogLine, Outcome};

/// What a bundle's `format` is.
pub const BUNDLE_FORMAT: &str = "crm:bundle@1";

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`BUNDLE_FORMAT`].
    pub format: String,
    pub plugin: PluginName,
    pub version: semver::Version,
    /// Of the component that ran.
    pub digest: Digest,
    pub limits: GuestLimits,
    pub call: RecordedCall,
    /// What it asked and was told.
    pub journal: Vec<Exchange>,
    pub result: RecordedResult,
    /// Whether values were taken out of it, so that it cannot be replayed to the byte.
    #[serde(default)]
    pub redacted: bool,
}

/// What a call was told, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedCall {
    pub event: Event,
    /// JSON text.
    pub configuration: String,
    /// JSON text.
    pub settings: String,
    pub zone: String,
    pub locale: String,
    pub idempotency_key: String,
    pub seed: u64,
    #[serde(default)]
    pub grant: Grant,
}

/// What came of a call, as far as it is the same each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedResult {
    /// None where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RecordedFailure>,
    pub fuel: u64,
    pub memory_bytes: usize,
    pub logs: Vec<LogLine>,
    pub log_truncated: bool,
}

/// Why a call has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// As [`crate::RunFailure::code`].
    pub code: String,
    pub message: String,
}

impl From<&ActionCall> for RecordedCall {
    fn from(call: &ActionCall) -> Self {
        Self {
            event: call.event.as_ref().clone(),
            configuration: call.configuration.to_string(),
            settings: call.settings.to_string(),
            zone: call.zone.to_string(),
            locale: call.locale.to_string(),
            idempotency_key: call.idempotency_key.clone(),
            seed: call.seed,
            grant: call.grant.clone(),
        }
    }
}

impl From<RecordedCall> for ActionCall {
    fn from(call: RecordedCall) -> Self {
        Self {
            event: Arc::new(call.event),
            configuration: Arc::new(call.configuration),
            settings: Arc::new(call.settings),
            zone: call.zone.into(),
            locale: call.locale.into(),
            idempotency_key: call.idempotency_key,
            seed: call.seed,
            grant: call.grant,
            // The recorded limits are those after the plan.
            plan: LimitOverrides::default(),
        }
    }
}

impl From<&ActionReport> for RecordedResult {
    fn from(report: &ActionReport) -> Self {
        let (outcome, failure) = match &report.outcome {
            Ok(outcome) => (Some(outcome.clone()), None),
            Err(failure) => (
                None,
                Some(RecordedFailure {
                    code: failure.code().to_owned(),
                    message: failure.to_string(),
                }),
            ),
        };
        Self {
            outcome,
            failure,
            fuel: report.fuel,
            memory_bytes: report.memory_bytes,
            logs: report.logs.clone(),
            log_truncated: report.log_truncated,
        }
    }
}

impl RecordedResult {
    /// What differs in another result of the same call, by name; empty where nothing does.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("mutations and effects", self.outcome == other.outcome),
            ("failure", self.failure == other.failure),
            ("fuel", self.fuel == other.fuel),
            ("memory", self.memory_bytes == other.memory_bytes),
            (
                "log",
                self.logs == other.logs && self.log_truncated == other.log_truncated,
            ),
        ];
        let differing = parts.into_iter().filter(|(_, is_same)| !is_same);
        differing.map(|(name, _)| name).collect()
    }
}
