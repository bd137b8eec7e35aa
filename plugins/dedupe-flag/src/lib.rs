//! Finds records that are of the same person or company, flags the event's record, and points to
//! the oldest of them.
//!
//! Configuration: `{"match": [{"field": "email", "as": "email"}, {"field": "phone", "as":
//! "phone"}, {"field": "full_name", "as": "name"}], "flag": "possible_duplicate", "link":
//! "duplicate_of", "activity": true}`. One match is enough. Addresses are compared without regard
//! to case, phone numbers by their last nine digits, names by their words, whatever their order.
//! A flag that is no longer true is taken back.

mod likeness;

use crm_actions::{Record, current};
use crm_plugin_sdk::{ActivityKind, Answer, Event, EventKind, Failure, Mutation, Outcome};
use crm_plugin_sdk::{json, records};
use serde::Deserialize;
use serde_json::{Map, Value};

use likeness::Likeness;

/// Records that are looked at, those that a rough filter finds.
const MAX_CANDIDATES: usize = 100;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    r#match: Vec<Match>,
    /// A boolean field.
    flag: Option<String>,
    /// A relation to the same module.
    link: Option<String>,
    /// Whether a find is noted on the timeline.
    #[serde(default)]
    activity: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    field: String,
    r#as: Likeness,
}

/// What was found: the oldest record, and the field by which.
struct Find {
    id: String,
    field: String,
}

/// An update of flag and link, and a note.
///
/// # Errors
/// Skips when the record is gone, when nothing that matters changed, and when flag and link are
/// right already.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    let record = current(&event)?;
    let matters = |one: &Match| event.changed_fields.contains(&one.field);
    if event.kind == EventKind::RecordUpdated && !config.r#match.iter().any(matters) {
        return Err(Failure::skip("nothing changed that tells who it is"));
    }
    let find = find(&event, record, &config)?;
    let mut patch = Map::new();
    if let Some(flag) = &config.flag {
        patch.insert(flag.clone(), json!(find.is_some()));
    }
    if let Some(link) = &config.link {
        patch.insert(link.clone(), json!(find.as_ref().map(|find| &find.id)));
    }
    let unset = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
    patch.retain(|field, value| match record.get(field) {
        Some(there) => there != value && !(unset(there) && unset(value)),
        None => !unset(value),
    });
    if patch.is_empty() {
        return Err(Failure::skip("what is known of duplicates is right"));
    }
    let mut answer = Answer::new().with(Mutation::update(&event, Value::Object(patch)));
    if let (Some(find), true) = (find, config.activity) {
        let title = format!("Possibly a duplicate: the same {}", find.field);
        let note = Mutation::activity(&event, ActivityKind::System, title);
        answer = answer.with(note.with_body(format!("The other record is {}", find.id)));
    }
    Ok(answer)
}

fn find(event: &Event<Record>, record: &Record, config: &Config) -> Result<Option<Find>, Failure> {
    let value = |one: &Match, record: &Record| {
        let text = record.get(&one.field).and_then(Value::as_str);
        text.and_then(|text| one.r#as.key(text))
    };
    let mut filters = Vec::new();
    for one in &config.r#match {
        let text = record.get(&one.field).and_then(Value::as_str);
        filters.extend(text.and_then(|text| one.r#as.filter(&one.field, text)));
    }
    if filters.is_empty() {
        return Ok(None);
    }
    let query = json!({
        "filter": { "or": filters },
        "sort": "created_at",
        "limit": MAX_CANDIDATES,
    });
    let page = records::query::<Record>(&event.module, query)?;
    for other in page.records {
        if other.id == event.record_id {
            continue;
        }
        for one in &config.r#match {
            let key = value(one, record);
            if key.is_some() && key == value(one, &other.data) {
                let field = one.field.clone();
                return Ok(Some(Find {
                    id: other.id,
                    field,
                }));
            }
        }
    }
    Ok(None)
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
