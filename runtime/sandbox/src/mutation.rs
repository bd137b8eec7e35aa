//! A guest's answer on its way out: counted, decoded, and refused whole if any part of it is
//! nonsense. Whether a mutation is allowed and fits the model is for others to say.

use crm_model::{Data, ModuleSlug, Mutation, NewActivity, RecordId};
use serde_json::Value;
use std::time::Duration;

use crate::class::GuestLimits;
use crate::contract::bindings::v1_0::types as wit;
use crate::effect::{effect_bytes, effect_decode};
use crate::failure::{RunFailure, over};
use crate::report::Outcome;
use crate::text::sentence;

/// The longest time that a guest may ask to be left alone before it is tried again.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Decodes what `run` returned.
pub(crate) fn answer_decode(
    answer: Result<wit::Outcome, wit::Failure>,
    limits: &GuestLimits,
) -> Result<Outcome, RunFailure> {
    match answer {
        Ok(outcome) => outcome_decode(&outcome, limits),
        Err(failure) => Err(failure_decode(failure, limits)),
    }
}

fn outcome_decode(answer: &wit::Outcome, limits: &GuestLimits) -> Result<Outcome, RunFailure> {
    over(
        "max_mutations",
        answer.mutations.len(),
        limits.max_mutations,
    )?;
    over("max_effects", answer.effects.len(), limits.max_effects)?;
    let mutations = answer.mutations.iter().map(text_bytes).sum::<usize>();
    let effects = answer.effects.iter().map(effect_bytes).sum::<usize>();
    over(
        "output_max_bytes",
        mutations + effects,
        limits.output_max_bytes,
    )?;
    Ok(Outcome {
        mutations: each("mutation", &answer.mutations, mutation_decode)?,
        effects: each("effect", &answer.effects, effect_decode)?,
    })
}

fn each<T, U>(
    what: &str,
    all: &[T],
    decode: impl Fn(&T) -> Result<U, String>,
) -> Result<Vec<U>, RunFailure> {
    let decoded = all.iter().enumerate().map(|(index, one)| {
        decode(one)
            .map_err(|reason| RunFailure::nonsense(format!("{what} {}: {reason}", index + 1)))
    });
    decoded.collect()
}

fn text_bytes(mutation: &wit::Mutation) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match mutation {
        wit::Mutation::Create(create) => create.module.len() + create.data.len(),
        wit::Mutation::Update(update) => {
            update.module.len() + update.record_id.len() + update.patch.len()
        }
        wit::Mutation::Delete(delete) => delete.module.len() + delete.record_id.len(),
        wit::Mutation::Link(link) | wit::Mutation::Unlink(link) => {
            link.module.len() + link.record_id.len() + link.field.len() + link.target_id.len()
        }
        wit::Mutation::Activity(activity) => {
            activity.module.len()
                + activity.record_id.len()
                + activity.kind.len()
                + activity.title.len()
                + optional(&activity.body)
                + optional(&activity.due_at)
                + optional(&activity.assignee)
        }
        wit::Mutation::Assign(assign) => {
            assign.module.len() + assign.record_id.len() + assign.owner.len()
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
            activity: activity_decode(activity)?,
        }),
        wit::Mutation::Link(link) => Ok(Mutation::Link {
            module: module_decode(&link.module)?,
            record_id: record_id_decode(&link.record_id)?,
            field: link.field.parse().map_err(|error| format!("{error}"))?,
            targets: vec![record_id_decode(&link.target_id)?],
        }),
        wit::Mutation::Unlink(link) => Ok(Mutation::Unlink {
            module: module_decode(&link.module)?,
            record_id: record_id_decode(&link.record_id)?,
            field: link.field.parse().map_err(|error| format!("{error}"))?,
            targets: vec![record_id_decode(&link.target_id)?],
        }),
        wit::Mutation::Assign(assign) => Ok(Mutation::Assign {
            module: module_decode(&assign.module)?,
            record_id: record_id_decode(&assign.record_id)?,
            expected_version: version_decode(assign.expected_version)?,
            owner: assign.owner.parse().map_err(|error| format!("{error}"))?,
        }),
    }
}

fn activity_decode(activity: &wit::NewActivity) -> Result<NewActivity, String> {
    let plain = NewActivity::plain(&activity.kind, &activity.title, activity.body.as_deref());
    let plain = plain.map_err(|violations| format!("the activity's {violations}"))?;
    Ok(NewActivity {
        due_at: activity.due_at.clone(),
        assignee: activity.assignee.clone(),
        ..plain
    })
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
pub(crate) fn data_decode(what: &str, text: &str) -> Result<Data, String> {
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
    if let Err(too_big) = over("output_max_bytes", text.len(), limits.output_max_bytes) {
        return too_big;
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
