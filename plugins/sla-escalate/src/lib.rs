//! Escalates a record that is not dealt with in time.
//!
//! Configuration: `{"when": "after.status == 'open'", "levels": [{"after": {"hours": 4}, "notify":
//! {"to": ["{{ owner }}"], "title": "{{ after.name }} waits"}}, {"after": {"hours": 4}, "assign":
//! "ada", "set": {"priority": "'high'"}}]}`. The clock starts when the record begins to match
//! `when`. If it still does when a level's time is reached, the level tells, assigns and sets, and
//! the next level's clock starts; if it does not, that was all.

use crm_actions::{Due, Formula, Formulas, Record, Text, context, put, texts};
use crm_plugin_sdk::{
    Answer, Event, EventKind, Failure, Mutation, Notification, Outcome, Schedule, json, records,
};
use serde::Deserialize;
use serde_json::Value;

/// One clock for each record and workflow.
const KEY: &str = "escalation";

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What has still to be so for the record to be escalated.
    when: Formula,
    levels: Vec<Level>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    /// After the start or, for others than the first, after the level before.
    after: Due,
    notify: Option<Notify>,
    assign: Option<Text>,
    #[serde(default)]
    set: Formulas,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notify {
    to: Vec<Text>,
    title: Text,
    body: Option<Text>,
}

/// A clock that is started or, when its time is reached, what the level does and the next clock.
///
/// # Errors
/// Skips when the record is gone, does not match, or matched before already; fails where an
/// expression cannot be evaluated.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    match event.kind {
        EventKind::TimeReached => escalated(event, &config),
        _ => started(&event, &config),
    }
}

fn started(event: &Event<Record>, config: &Config) -> Outcome {
    let context = context(event);
    if event.after.is_none() || !config.when.holds(&context)? {
        return Err(Failure::skip("there is nothing to wait for"));
    }
    if event.kind == EventKind::RecordUpdated {
        let mut earlier = context.clone();
        put(&mut earlier, "after", json!(event.before));
        if config.when.holds(&earlier)? {
            return Err(Failure::skip("the clock runs already"));
        }
    }
    clock(Answer::new(), event, &context, config, 0)
}

fn escalated(mut event: Event<Record>, config: &Config) -> Outcome {
    // As it is now, not as it was when somebody last wrote it down.
    let found = records::get::<Record>(&event.module, &event.record_id)?;
    let Some(found) = found else {
        return Err(Failure::skip("the record is gone"));
    };
    let record = found.data;
    event.after = Some(record.clone());
    let context = context(&event);
    if !config.when.holds(&context)? {
        return Err(Failure::skip("it was dealt with in time"));
    }
    // Beside the key and the time stands what was to be remembered.
    let payload = event.payload.as_ref();
    let number = payload.and_then(|payload| payload.pointer("/payload/level")?.as_u64());
    let number = number.and_then(|number| usize::try_from(number).ok());
    let number = number.unwrap_or_default();
    let Some(level) = config.levels.get(number) else {
        return Err(Failure::skip("the workflow has no such level any more"));
    };
    let mut answer = Answer::new();
    let patch = level.set.changes(&context, &record)?;
    if !patch.is_empty() {
        answer = answer.with(Mutation::update(&event, Value::Object(patch)));
    }
    if let Some(user) = texts(level.assign.as_slice(), &event, &context)?.first() {
        answer = answer.with(Mutation::assign(&event, user));
    }
    if let Some(notify) = &level.notify {
        let to = texts(&notify.to, &event, &context)?;
        let body = notify.body.as_ref().map(|body| body.of(&event, &context));
        if !to.is_empty() {
            answer = answer.and(Notification {
                to,
                title: notify.title.of(&event, &context)?,
                body: body.transpose()?,
            });
        }
    }
    clock(answer, &event, &context, config, number + 1)
}

/// Starts a level's clock, if there is such a level.
fn clock(
    answer: Answer,
    event: &Event<Record>,
    context: &Value,
    config: &Config,
    number: usize,
) -> Outcome {
    let Some(level) = config.levels.get(number) else {
        return Ok(answer);
    };
    Ok(answer.and(Schedule {
        key: KEY.to_owned(),
        at: level.after.moment(event, context)?,
        payload: json!({ "level": number }),
    }))
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
