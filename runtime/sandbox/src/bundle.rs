//! A run as a file: everything that one call was told, and what came of it, so that it can be run
//! again on another machine and compared to the last byte.

use crm_model::{Event, Grant, PluginName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::call::ActionCall;
use crate::class::GuestLimits;
use crate::digest::Digest;
use crate::failure::RunFailure;
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
    #[serde(flatten)]
    pub terms: RecordedTerms,
}

/// What a call was told beside its event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedTerms {
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

impl From<&RunFailure> for RecordedFailure {
    fn from(failure: &RunFailure) -> Self {
        Self {
            code: failure.code().to_owned(),
            message: failure.to_string(),
        }
    }
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
            terms: call.into(),
        }
    }
}

impl From<&ActionCall> for RecordedTerms {
    fn from(call: &ActionCall) -> Self {
        Self {
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
        let RecordedCall { event, terms } = call;
        Self {
            tenant: None,
            event: Arc::new(event),
            configuration: Arc::new(terms.configuration),
            settings: Arc::new(terms.settings),
            zone: terms.zone.into(),
            locale: terms.locale.into(),
            idempotency_key: terms.idempotency_key,
            seed: terms.seed,
            grant: terms.grant,
            // The recorded limits are those after the plan.
            plan: LimitOverrides::default(),
        }
    }
}

impl From<&ActionReport> for RecordedResult {
    fn from(report: &ActionReport) -> Self {
        Self {
            outcome: report.outcome.as_ref().ok().cloned(),
            failure: report.outcome.as_ref().err().map(RecordedFailure::from),
            fuel: report.fuel,
            memory_bytes: report.memory_bytes,
            logs: report.logs.clone(),
            log_truncated: report.log_truncated,
        }
    }
}

impl RecordedResult {
    /// All of it, piece by piece, by the names that people read.
    pub fn parts(&self) -> [(&'static str, Value); 5] {
        [
            ("mutations and effects", json!(self.outcome)),
            ("failure", json!(self.failure)),
            ("fuel", json!(self.fuel)),
            ("memory", json!(self.memory_bytes)),
            ("log", json!([self.logs, self.log_truncated])),
        ]
    }

    /// What differs in another result of the same call, by name; empty where nothing does.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = self.parts().into_iter().zip(other.parts());
        let differing = pairs.filter(|((_, own), (_, other))| own != other);
        differing.map(|((name, _), _)| name).collect()
    }
}
