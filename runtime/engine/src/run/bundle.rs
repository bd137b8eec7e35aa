//! A run as a file: what an attempt's log keeps beside event and mutations so that the attempt
//! can be run again, and the file that is made of it.

use crm_model::permission::manages_all;
use crm_model::{Actor, Data, JobId, Model, Mutation, Refusal, TenantId};
use crm_sandbox::{
    ActionCall, ActionReport, BUNDLE_FORMAT, Bundle, GuestLimits, LogLine, Outcome, Plugin,
    RecordedCall, RecordedFailure, RecordedResult, RecordedTerms,
};
use crm_store::runs::Attempt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::{Engine, EngineError};

/// What stands in the place of personal data.
const REDACTED: &str = "[redacted]";

/// Everything of a [`Bundle`] that the log does not hold elsewhere.
pub(super) fn record(
    plugin: &Plugin,
    limits: &GuestLimits,
    call: &ActionCall,
    report: &ActionReport,
) -> Value {
    let mut record = json!({
        "digest": plugin.digest(),
        "limits": limits,
        "call": RecordedTerms::from(call),
    });
    let mut put = |key: &str, value: Value| {
        if let Value::Object(record) = &mut record {
            record.insert(key.to_owned(), value);
        }
    };
    if !report.journal.is_empty() {
        put("journal", json!(report.journal));
    }
    match &report.outcome {
        Ok(outcome) if outcome.effects.is_empty() => {}
        Ok(outcome) => put("effects", json!(outcome.effects)),
        Err(failure) => put("failure", json!(RecordedFailure::from(failure))),
    }
    record
}

impl Engine {
    /// An attempt at a run as a file for `crm plugin replay`: the last one, or the one of that
    /// number. Who manages everything may have it, because it holds all that the plugin was told.
    /// `redacted`: without values of fields that are marked as personal data, for the plugin's
    /// author; it shows what was asked and done, but cannot be replayed to the byte.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`] also where the plugin never ran.
    pub async fn run_bundle(
        &self,
        tenant: TenantId,
        actor: &Actor,
        run: JobId,
        attempt: Option<i32>,
        redacted: bool,
    ) -> Result<Bundle, EngineError> {
        let (mut tx, model) = self.begin_runs(tenant, actor).await?;
        if !manages_all(&model, actor) {
            return Err(EngineError::Forbidden(
                "only who manages everything may have the bundle of a run",
            ));
        }
        let found = crm_store::runs::run_read(&mut tx, run, None).await?;
        let (_, attempts) = found.ok_or(Refusal::NotFound)?;
        let mut attempts = attempts.into_iter().rev();
        let wanted = match attempt {
            Some(number) => attempts.find(|one| one.attempt == number),
            None => attempts.next(),
        };
        let bundle = wanted.and_then(|attempt| assemble(&attempt));
        let mut bundle = bundle.ok_or(EngineError::NotFound("bundle"))?;
        if redacted {
            redact(&model, &mut bundle);
        }
        Ok(bundle)
    }
}

fn read<T: DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    serde_json::from_value(value?.clone()).ok()
}

/// None where the attempt ended before the plugin was called.
fn assemble(attempt: &Attempt) -> Option<Bundle> {
    let input = &attempt.input.0;
    let record = input.get("record")?;
    let step = attempt.steps.0.get(0)?;
    let call = RecordedCall {
        event: read(input.get("event"))?,
        terms: read(record.get("call"))?,
    };
    let failure: Option<RecordedFailure> = read(record.get("failure"));
    let outcome = match &failure {
        Some(_) => None,
        None => Some(Outcome {
            mutations: read::<Vec<Mutation>>(Some(&attempt.mutations.0))?,
            effects: read(record.get("effects")).unwrap_or_default(),
        }),
    };
    Some(Bundle {
        format: BUNDLE_FORMAT.to_owned(),
        plugin: read(step.get("action"))?,
        version: read(step.get("version"))?,
        digest: read(record.get("digest"))?,
        limits: read(record.get("limits"))?,
        call,
        journal: read(record.get("journal")).unwrap_or_default(),
        result: RecordedResult {
            outcome,
            failure,
            fuel: attempt.fuel.unsigned_abs(),
            memory_bytes: usize::try_from(attempt.memory_bytes).ok()?,
            logs: read::<Vec<LogLine>>(step.get("logs"))?,
            log_truncated: read(step.get("log_truncated"))?,
        },
        redacted: false,
    })
}

/// Takes the values of personal fields out, wherever they stand, and what the guest wrote as text
/// with them: nobody knows what is in it.
fn redact(model: &Model, bundle: &mut Bundle) {
    let mut keys = BTreeSet::new();
    for module in model.modules() {
        let fields = module.definition().fields.iter();
        let personal = fields.filter(|field| field.personal_data);
        keys.extend(personal.map(|field| field.key.as_str()));
    }
    bundle.redacted = true;
    let event = &mut bundle.call.event;
    for data in [&mut event.before, &mut event.after].into_iter().flatten() {
        redact_data(&keys, data);
    }
    if let Some(payload) = &mut event.payload {
        *payload = json!(REDACTED);
    }
    for exchange in &mut bundle.journal {
        exchange.redact(&|text| redact_text(&keys, text));
    }
    for line in &mut bundle.result.logs {
        line.message = REDACTED.to_owned();
    }
    if let Some(outcome) = &mut bundle.result.outcome {
        for mutation in &mut outcome.mutations {
            match mutation {
                Mutation::Create { data, .. } | Mutation::Update { patch: data, .. } => {
                    redact_data(&keys, data);
                }
                Mutation::Activity { activity, .. } => {
                    activity.title = REDACTED.to_owned();
                    activity.body = None;
                }
                _ => {}
            }
        }
        outcome.effects.clear();
    }
}

fn redact_data(keys: &BTreeSet<&str>, data: &mut Data) {
    for (key, value) in data.iter_mut() {
        if keys.contains(key.as_str()) {
            *value = json!(REDACTED);
        }
    }
}

/// JSON text of a record's data; what cannot be read goes as a whole.
fn redact_text(keys: &BTreeSet<&str>, text: &str) -> String {
    match serde_json::from_str::<Data>(text) {
        Ok(mut data) => {
            redact_data(keys, &mut data);
            json!(data).to_string()
        }
        Err(_) => json!(REDACTED).to_string(),
    }
}
