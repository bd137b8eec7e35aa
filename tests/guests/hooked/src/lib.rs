//! A template for tests: what its hooks do is what the record's `mode` says; else they shout the
//! name, fill in the badge, and count how often they were asked about a record.

use crm_plugin_sdk::{
    Answer, Change, ChangeKind, Effect, Event, EventKind, Failure, Mutation, Objection, Outcome,
    Schedule, Verdict, json,
};
use serde_json::{Map, Value};

/// Judges a change, or adds to it.
///
/// # Errors
/// Objects where the mode says so.
pub fn before_save(change: Change) -> Verdict {
    match text(&change.after, "mode") {
        "object" => Err(vec![
            Objection::to("age", "is not what it was"),
            Objection::whole("is not wanted"),
            Objection::to("no_such_field", "is nowhere"),
        ]),
        "object_without" => Err(Vec::new()),
        "trap" => std::process::abort(),
        "spin" => loop {
            std::hint::black_box(());
        },
        "unknown" => Ok(Some(json!({ "no_such_field": 1 }))),
        "computed" => Ok(Some(json!({ "number": "G-9" }))),
        "misfit" => Ok(Some(json!({ "age": -1 }))),
        "list" => Ok(Some(json!([1]))),
        "fine" => Ok(None),
        _ => Ok(Some(Value::Object(added(&change)))),
    }
}

fn added(change: &Change) -> Map<String, Value> {
    let mut patch = Map::new();
    let name = text(&change.after, "name");
    if change.module != "lines" {
        patch.insert("shout".to_owned(), json!(name.to_uppercase()));
    }
    if change.module == "extras" {
        return patch;
    }
    let badge = change.after.get("badge");
    if change.module == "guests" && change.kind == ChangeKind::Create && badge.is_none() {
        patch.insert("badge".to_owned(), json!(name.to_lowercase()));
    }
    let before = change.before.as_ref();
    let saves = before.and_then(|before| before.get("saves")?.as_i64());
    patch.insert("saves".to_owned(), json!(saves.unwrap_or_default() + 1));
    patch
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Welcomes new guests, and does with plain records what their mode says.
///
/// # Errors
/// Skips those who are not to be welcomed.
pub fn after_event(event: Event<Value>) -> Outcome {
    let record = event.after.clone().or_else(|| event.before.clone());
    let record = record.unwrap_or_default();
    let name = text(&record, "name");
    match text(&record, "mode") {
        "welcome" => {
            let welcome = format!("Welcome, {name}");
            Ok(Mutation::update(&event, json!({ "welcome": welcome })).into())
        }
        "tell" => {
            let told = format!("{} {name}", event.kind.name());
            Ok(Mutation::create("extras", json!({ "name": told })).into())
        }
        "again" => {
            let more = format!("{name}!");
            Ok(Mutation::update(&event, json!({ "name": more })).into())
        }
        "forbidden" => Ok(Mutation::update(&event, json!({ "mode": "done" })).into()),
        "remind" if event.kind == EventKind::RecordCreated => Ok(remind(&event)),
        "remind" if event.kind == EventKind::TimeReached => {
            let told = format!(
                "reminded of {}",
                text(&event.payload.unwrap_or_default(), "payload")
            );
            Ok(Mutation::create("extras", json!({ "name": told })).into())
        }
        "after_trap" => std::process::abort(),
        _ => Err(Failure::skip("nobody to welcome")),
    }
}

fn remind(event: &Event<Value>) -> Answer {
    Effect::from(Schedule {
        key: "remind".to_owned(),
        at: event.occurred_at.clone(),
        payload: json!("this"),
    })
    .into()
}

/// Guests had a `full_name` in version 0.0.1.
///
/// # Errors
/// Where there is no name to take over.
pub fn migrate(
    module: String,
    from_version: String,
    data: String,
) -> Result<Option<String>, String> {
    if module != "guests" || from_version != "0.0.1" {
        return Ok(None);
    }
    let mut data: Map<String, Value> =
        serde_json::from_str(&data).map_err(|error| error.to_string())?;
    let name = data.remove("full_name").ok_or("there is no full_name")?;
    data.insert("name".to_owned(), name);
    Ok(Some(Value::Object(data).to_string()))
}

crm_plugin_sdk::export_template! {
    modules: ["../guests.json", "../lines.json", "../extras.json", "../bare.json", "../plain.json"],
    workflows: [],
    roles: "../roles.json",
    installs: "../installs.json",
    before_save: before_save,
    after_event: after_event,
    migrate: migrate,
}
