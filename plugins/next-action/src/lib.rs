//! Suggests what to do next with a record, from what was done with it before and with records
//! like it, and says on what that rests.
//!
//! Configuration: `{"module": "patients", "history": {"module": "appointments", "inverse":
//! "patient", "kind": "reason", "at": "scheduled_at"}, "like": ["condition"], "field":
//! "next_step", "minimum": 3, "task": true}`. The history of a record are the records of another
//! module that point to it, each of a `kind` and at a time. What mostly followed on the kind that
//! came last, and after how long at the median, is the suggestion: out of the record's own history
//! where it says so `minimum` times, else out of that of all records with the same values in
//! `like`. The same records give the same suggestion.

mod history;
mod suggestion;

use crm_actions::{Record, put};
use crm_plugin_sdk::{Answer, Event, Failure, Mutation, Outcome, json, records};
use serde::Deserialize;
use serde_json::Value;

use history::{History, Step};
use suggestion::Suggestion;

/// Records like the event's that are looked at, the newest ones.
const MAX_PEERS: usize = 100;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The module of the records that something is suggested for. The event may be of one of
    /// them, or of a step in their history.
    module: String,
    history: History,
    /// Fields in which records that are like each other have the same value.
    #[serde(default)]
    like: Vec<String>,
    /// A text field of the module, for the suggestion.
    field: String,
    /// How often something must have happened for it to be suggested.
    #[serde(default = "three")]
    minimum: usize,
    /// Whether a new suggestion becomes a task, too.
    #[serde(default)]
    task: bool,
}

const fn three() -> usize {
    3
}

/// An update of the suggestion and, where asked for, a task that says on what it rests.
///
/// # Errors
/// Skips when there is no record or no history, when too little is known, and when the suggestion
/// is what it was.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    let id = subject(&event, &config)?;
    let Some(record) = records::get::<Record>(&config.module, &id)? else {
        return Err(Failure::skip("the record is gone"));
    };
    let own = config.history.of(std::slice::from_ref(&id))?;
    let own = own.into_iter().next().map(|(_, steps)| steps);
    let own = own.unwrap_or_default();
    let Some(last) = own.last() else {
        return Err(Failure::skip("nothing was done with the record yet"));
    };
    let suggestion = suggest(&config, &id, &record.data, last, &own)?;
    let text = suggestion.text();
    if record.data.get(&config.field) == Some(&json!(text)) {
        return Err(Failure::skip("the suggestion is what it was"));
    }
    let patch = json!({ config.field.clone(): text });
    let mut answer = Answer::new().with(Mutation::update_record(&config.module, &id, patch));
    if config.task {
        let task = crm_plugin_sdk::ActivityKind::Task;
        let task = Mutation::activity_on(&config.module, &id, task, text);
        let task = task.with_body(suggestion.reason());
        answer = answer.with(task.due_at(suggestion.due(&event.occurred_at)?));
    }
    Ok(answer)
}

/// The record that the event is about.
fn subject(event: &Event<Record>, config: &Config) -> Result<String, Failure> {
    if event.module == config.module {
        return Ok(event.record_id.clone());
    }
    let of = event.after.as_ref().or(event.before.as_ref());
    let id = of.and_then(|step| step.get(&config.history.inverse)?.as_str());
    id.map(str::to_owned)
        .ok_or_else(|| Failure::skip("the step is of no record"))
}

fn suggest(
    config: &Config,
    id: &str,
    record: &Record,
    last: &Step,
    own: &[Step],
) -> Result<Suggestion, Failure> {
    let basis = "its own history".to_owned();
    let from_own = Suggestion::out_of([own].into_iter(), last, config.minimum, basis);
    if let Some(suggestion) = from_own {
        return Ok(suggestion);
    }
    let mut ids = peers(config, id, record)?;
    ids.push(id.to_owned());
    let histories = config.history.of(&ids)?;
    let basis = match config.like.as_slice() {
        [] => format!("the history of {} records", ids.len()),
        like => format!(
            "the history of {} records with the same {}",
            ids.len(),
            like.join(", ")
        ),
    };
    let histories = histories.values().map(Vec::as_slice);
    Suggestion::out_of(histories, last, config.minimum, basis).ok_or_else(|| {
        Failure::skip(format!(
            "it is not known what follows on “{}”: nothing did {} times",
            last.kind, config.minimum
        ))
    })
}

/// Other records with the same values in the fields that matter.
fn peers(config: &Config, id: &str, record: &Record) -> Result<Vec<String>, Failure> {
    let mut filters = Vec::new();
    for field in &config.like {
        filters.push(match record.get(field) {
            None | Some(Value::Null) => json!({ "field": field, "op": "is_empty" }),
            Some(value) => json!({ "field": field, "op": "eq", "value": value }),
        });
    }
    let mut query = json!({ "sort": "-created_at", "limit": MAX_PEERS });
    if !filters.is_empty() {
        put(&mut query, "filter", json!({ "and": filters }));
    }
    let page = records::query::<Record>(&config.module, query)?;
    let ids = page.records.into_iter().map(|peer| peer.id);
    Ok(ids.filter(|peer| peer != id).collect())
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
