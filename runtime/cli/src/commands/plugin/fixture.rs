//! What a plugin is called with on an author's machine: an event, and a host made of files.
//!
//! An event's file may leave out whatever does not matter: everything but its module has a
//! default, always the same.

mod filter;
mod host;
mod situation;

use anyhow::{Context, Result};
use crm_model::{Capabilities, Data, Event};
use crm_sandbox::Exchange;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::finding::{Finding, JsonText};
pub(crate) use host::FixtureHost;
pub(crate) use situation::{EVENT, Situation, cases};

const EVENT_ID: &str = "01970000-0000-7000-8000-000000000002";
const RECORD_ID: &str = "01970000-0000-7000-8000-000000000001";
const IDEMPOTENCY_KEY: &str = "01970000-0000-7000-8000-000000000003";
const OCCURRED_AT: &str = "2026-01-02T03:04:05Z";
const SEED: u64 = 7;

/// Members of an event's file.
const MEMBERS: [&str; 18] = [
    "id",
    "kind",
    "module",
    "record_id",
    "record_version",
    "before",
    "after",
    "changed_fields",
    "payload",
    "actor",
    "cause",
    "depth",
    "occurred_at",
    "zone",
    "locale",
    "configuration",
    "idempotency_key",
    "seed",
];

/// An event with what the host tells beside it.
#[derive(Clone, Debug)]
pub(crate) struct Occasion {
    pub(crate) event: Event,
    pub(crate) configuration: Value,
    pub(crate) zone: String,
    pub(crate) locale: String,
    pub(crate) idempotency_key: String,
    pub(crate) seed: u64,
}

/// What the host has, as far as the plugin can ask for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// What the tenant configured for the plugin as a whole.
    pub(crate) settings: Map<String, Value>,
    pub(crate) records: BTreeMap<String, Vec<FixtureRecord>>,
    pub(crate) state: BTreeMap<String, Value>,
    pub(crate) secrets: BTreeSet<String>,
    /// Answers to questions, for those that files of records cannot answer.
    pub(crate) journal: Vec<Exchange>,
    /// What the tenant grants; all that the manifest asks for where there is nothing.
    pub(crate) grant: Option<Capabilities>,
}

/// A record that can be read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FixtureRecord {
    pub(crate) id: String,
    #[serde(default = "first_version")]
    pub(crate) version: u64,
    pub(crate) data: Data,
    #[serde(default = "tester")]
    pub(crate) owner_id: String,
    #[serde(default = "occurred_at")]
    pub(crate) created_at: String,
    #[serde(default = "occurred_at")]
    pub(crate) updated_at: String,
}

fn first_version() -> u64 {
    1
}

fn tester() -> String {
    "tester".to_owned()
}

fn occurred_at() -> String {
    OCCURRED_AT.to_owned()
}

impl World {
    /// The files of a folder: `settings.json`, `records.json`, `state.json`, `secrets.json`,
    /// `journal.json`, `grant.json`; none of them has to be there.
    ///
    /// # Errors
    /// With the file and the line.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        Ok(Self {
            settings: optional(&folder.join("settings.json"))?.unwrap_or_default(),
            records: optional(&folder.join("records.json"))?.unwrap_or_default(),
            state: optional(&folder.join("state.json"))?.unwrap_or_default(),
            secrets: optional(&folder.join("secrets.json"))?.unwrap_or_default(),
            journal: optional(&folder.join("journal.json"))?.unwrap_or_default(),
            grant: optional(&folder.join("grant.json"))?,
        })
    }
}

/// The JSON of a file, if there is one.
pub(crate) fn optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match path.exists() {
        true => required(path).map(Some),
        false => Ok(None),
    }
}

/// The JSON of a file.
///
/// # Errors
/// With the line.
pub(crate) fn required<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    parse(&JsonText::new(path.display().to_string(), &text))
}

fn parse<T: DeserializeOwned>(text: &JsonText) -> Result<T> {
    serde_json::from_str(&text.text).map_err(|error| text.broken("json", &error).into_error())
}

impl Occasion {
    /// An event's text.
    ///
    /// # Errors
    /// With the file and the line.
    pub(crate) fn parse(text: &JsonText) -> Result<Self> {
        let mut event: Map<String, Value> = parse(text)?;
        if let Some(unknown) = event.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
            let message = format!("an event has no `{unknown}`; it has {}", MEMBERS.join(", "));
            let finding = Finding::error("event", message).at(text.at(&[unknown]));
            return Err(finding.into_error());
        }
        let mut take = |key: &str, default: Value| event.remove(key).unwrap_or(default);
        let words = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let configuration = take("configuration", json!({}));
        let zone = words(take("zone", json!("UTC")));
        let locale = words(take("locale", json!("en")));
        let idempotency_key = words(take("idempotency_key", json!(IDEMPOTENCY_KEY)));
        let seed = take("seed", json!(SEED)).as_u64().unwrap_or(SEED);
        complete(&mut event);
        let event = serde_json::from_value(Value::Object(event)).map_err(|error| {
            let place = text.at(&[]);
            Finding::error("event", error.to_string())
                .at(place)
                .into_error()
        })?;
        Ok(Self {
            event,
            configuration,
            zone,
            locale,
            idempotency_key,
            seed,
        })
    }
}

/// Adds what an event's file left out.
fn complete(event: &mut Map<String, Value>) {
    let is_there = |key: &str| event.get(key).is_some_and(|value| !value.is_null());
    let (before, after) = (is_there("before"), is_there("after"));
    let kind = match (before, after) {
        (true, true) => "record_updated",
        (true, false) => "record_deleted",
        (false, _) => "record_created",
    };
    let changed = changed_fields(event.get("before"), event.get("after"));
    let defaults = [
        ("id", json!(EVENT_ID)),
        ("kind", json!(kind)),
        ("record_id", json!(RECORD_ID)),
        ("record_version", json!(if before { 2 } else { 1 })),
        ("before", Value::Null),
        ("after", Value::Null),
        ("changed_fields", json!(changed)),
        ("actor", json!({ "user_id": "tester", "roles": ["owner"] })),
        ("cause", json!({ "kind": "user" })),
        ("depth", json!(0)),
        ("occurred_at", json!(OCCURRED_AT)),
    ];
    for (key, value) in defaults {
        event.entry(key).or_insert(value);
    }
}

fn changed_fields(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let keys = |record: Option<&Value>| -> BTreeSet<String> {
        let members = record.and_then(Value::as_object);
        members
            .map(|it| it.keys().cloned().collect())
            .unwrap_or_default()
    };
    let value = |record: Option<&Value>, key: &str| record.and_then(|data| data.get(key)).cloned();
    let all = keys(before).into_iter().chain(keys(after));
    let all: BTreeSet<String> = all
        .filter(|key| value(before, key) != value(after, key))
        .collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion(text: &str) -> Result<Occasion> {
        Occasion::parse(&JsonText::new("event.json", text))
    }

    #[test]
    fn an_event_needs_no_more_than_its_module() {
        let created = occasion(r#"{"module": "items", "after": {"carat": "1"}}"#).unwrap();
        assert_eq!(created.event.kind.name(), "record_created");
        assert_eq!(created.event.changed_fields.len(), 1);
        let updated = r#"{"module": "items", "before": {"a": 1, "b": 2}, "after": {"a": 1},
            "configuration": {"x": 1}, "zone": "Europe/Berlin"}"#;
        let updated = occasion(updated).unwrap();
        assert_eq!(updated.event.kind.name(), "record_updated");
        assert_eq!(updated.event.changed_fields[0].as_str(), "b");
        assert_eq!(updated.configuration, json!({ "x": 1 }));
        assert_eq!(updated.zone, "Europe/Berlin");
        let deleted = occasion(r#"{"module": "items", "before": {}}"#).unwrap();
        assert_eq!(deleted.event.kind.name(), "record_deleted");
    }

    #[test]
    fn what_is_wrong_with_an_event_is_told_with_its_place() {
        for (text, place) in [
            (
                "{\n  \"module\": \"items\",\n  \"affter\": {}\n}",
                "event.json:3:13",
            ),
            ("{\n  \"module\": items\n}", "event.json:2:"),
            ("{\"module\": 7}", "event.json:1:"),
            ("{}", "event.json:1:"),
        ] {
            let error = occasion(text).unwrap_err().to_string();
            assert!(error.starts_with(place), "{error}");
        }
    }
}
