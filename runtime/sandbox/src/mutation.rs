//! A guest's answer on its way out: counted, decoded, and refused whole if any part of it is
//! nonsense. Whether a mutation is allowed and fits the model is for others to say.

use crm_model::{Data, ModuleSlug, Mutation, NewActivity, RecordId};
use serde_json::Value;
use std::time::Duration;

use crate::contract::bindings::action::crm::plugin::types as wit;
use crate::failure::RunFailure;
use crate::settings::GuestLimits;
use crate::text::sentence;

/// The longest time that a guest may ask to be left alone before it is tried again.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Decodes what `run` returned.
pub(crate) fn answer_decode(
    answer: Result<Vec<wit::Mutation>, wit::Failure>,
    limits: &GuestLimits,
) -> Result<Vec<Mutation>, RunFailure> {
    match answer {
        Ok(mutations) => mutations_decode(&mutations, limits),
        Err(failure) => Err(failure_decode(failure, limits)),
    }
}

fn mutations_decode(
    mutations: &[wit::Mutation],
    limits: &GuestLimits,
) -> Result<Vec<Mutation>, RunFailure> {
    if mutations.len() > limits.max_mutations {
        return Err(RunFailure::nonsense(format!(
            "{} mutations; at most {} are accepted",
            mutations.len(),
            limits.max_mutations
        )));
    }
    if mutations.iter().map(text_bytes).sum::<usize>() > limits.output_max_bytes {
        return Err(RunFailure::output_too_big(limits));
    }
    let decode = |(index, mutation): (usize, &wit::Mutation)| {
        mutation_decode(mutation)
            .map_err(|reason| RunFailure::nonsense(format!("mutation {}: {reason}", index + 1)))
    };
    mutations.iter().enumerate().map(decode).collect()
}

fn text_bytes(mutation: &wit::Mutation) -> usize {
    match mutation {
        wit::Mutation::Create(create) => create.module.len() + create.data.len(),
        wit::Mutation::Update(update) => {
            update.module.len() + update.record_id.len() + update.patch.len()
        }
        wit::Mutation::Delete(delete) => delete.module.len() + delete.record_id.len(),
        wit::Mutation::Activity(activity) => {
            activity.module.len()
                + activity.record_id.len()
                + activity.kind.len()
                + activity.title.len()
                + activity.body.as_ref().map_or(0, String::len)
        }
    }
}

/// The reason is a clause that follows the mutation's number.
fn mutation_decode(mutation: &wit::Mutation) -> Result<Mutation, String> {
    match mutation {
        wit::Mutation::Create(create) => Ok(Mutation::Create {
            module: module_decode(&create.module)?,
            data: data_decode("data", &create.data)?,
        }),
        wit::Mutation::Update(update) => Ok(Mutation::Update {
            module: module_decode(&update.module)?,
            record_id: record_id_decode(&update.record_id)?,
            expected_version: version_decode(update.expected_version)?,
            patch: data_decode("patch", &update.patch)?,
        }),
        wit::Mutation::Delete(delete) => Ok(Mutation::Delete {
            module: module_decode(&delete.module)?,
            record_id: record_id_decode(&delete.record_id)?,
            expected_version: version_decode(delete.expected_version)?,
        }),
        wit::Mutation::Activity(activity) => Ok(Mutation::Activity {
            module: module_decode(&activity.module)?,
            record_id: record_id_decode(&activity.record_id)?,
            activity: NewActivity::plain(&activity.kind, &activity.title, activity.body.as_deref())
                .map_err(|violations| format!("the activity's {violations}"))?,
        }),
    }
}

fn module_decode(text: &str) -> Result<ModuleSlug, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn record_id_decode(text: &str) -> Result<RecordId, String> {
    text.parse()
        .map_err(|_| "its record id is not a UUID".to_owned())
}

fn version_decode(version: Option<u64>) -> Result<Option<i64>, String> {
    version
        .map(i64::try_from)
        .transpose()
        .map_err(|_| "no record has so high a version".to_owned())
}

/// JSON text to a record's data. `serde_json` refuses what is nested deeper than 128 levels.
fn data_decode(what: &str, text: &str) -> Result<Data, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(data)) if has_nul(&data) => {
            Err(format!("its {what} holds a NUL character"))
        }
        Ok(Value::Object(data)) => Ok(data),
        Ok(_) => Err(format!("its {what} is not a JSON object")),
        Err(error) => Err(format!("its {what} is not JSON: {error}")),
    }
}

/// PostgreSQL stores no NUL, neither in text nor in jsonb.
fn has_nul(data: &Data) -> bool {
    fn in_value(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(values) => values.iter().any(in_value),
            Value::Object(data) => has_nul(data),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    data.iter()
        .any(|(key, value)| key.contains('\0') || in_value(value))
}

fn failure_decode(failure: wit::Failure, limits: &GuestLimits) -> RunFailure {
    let text = match &failure {
        wit::Failure::Retry(retry) => &retry.reason,
        wit::Failure::Fail(text) | wit::Failure::Skip(text) => text,
    };
    if text.len() > limits.output_max_bytes {
        return RunFailure::output_too_big(limits);
    }
    let text = sentence(text);
    match failure {
        wit::Failure::Retry(retry) => RunFailure::Retry {
            after: Duration::from_millis(retry.after_ms).min(RETRY_AFTER_MAX),
            reason: text,
        },
        wit::Failure::Fail(_) => RunFailure::Fail(text),
        wit::Failure::Skip(_) => RunFailure::Skip(text),
    }
}

#[cfg(test)]
#[path = "mutation_tests.rs"]
mod tests;
