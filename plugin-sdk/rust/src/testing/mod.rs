//! For an author's native tests: events, decoded the way the host's are, and a look at whether a
//! template's files fit together.
//!
//! # Panics
//! Where the given JSON does not fit the record type: that is the test's mistake.

#![allow(clippy::panic, reason = "a test that gives a wrong record should stop")]

pub(crate) mod host;
mod template;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::event::{Actor, Event, EventKind};

pub use host::{Attached, Host, host};
pub use template::template_problems;

/// The id of every test event's record.
pub const RECORD_ID: &str = "01970000-0000-7000-8000-000000000001";

/// A record was created.
pub fn created<T: DeserializeOwned>(module: &str, after: Value) -> Event<T> {
    event(EventKind::RecordCreated, module, None, Some(after))
}

/// A record was updated.
pub fn updated<T: DeserializeOwned>(module: &str, before: Value, after: Value) -> Event<T> {
    event(EventKind::RecordUpdated, module, Some(before), Some(after))
}

/// A record was deleted.
pub fn deleted<T: DeserializeOwned>(module: &str, before: Value) -> Event<T> {
    event(EventKind::RecordDeleted, module, Some(before), None)
}

/// Something else that an action is called for, with what came along.
pub fn happened<T: DeserializeOwned>(
    kind: EventKind,
    module: &str,
    record: Value,
    payload: Value,
) -> Event<T> {
    Event {
        payload: Some(payload),
        changed_fields: Vec::new(),
        ..event(kind, module, None, Some(record))
    }
}

fn event<T: DeserializeOwned>(
    kind: EventKind,
    module: &str,
    before: Option<Value>,
    after: Option<Value>,
) -> Event<T> {
    Event {
        id: "01970000-0000-7000-8000-000000000002".to_owned(),
        kind,
        module: module.to_owned(),
        record_id: RECORD_ID.to_owned(),
        record_version: if before.is_some() { 2 } else { 1 },
        changed_fields: changed_fields(before.as_ref(), after.as_ref()),
        before: before.map(read),
        after: after.map(read),
        payload: None,
        causes: Vec::new(),
        zone: "UTC".to_owned(),
        locale: "en".to_owned(),
        idempotency_key: "01970000-0000-7000-8000-000000000003".to_owned(),
        seed: 7,
        actor: Actor {
            user_id: "tester".to_owned(),
            roles: vec!["owner".to_owned()],
        },
        depth: 0,
        occurred_at: "2026-01-02T03:04:05Z".to_owned(),
    }
}

fn changed_fields(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let keys = |record: Option<&Value>| -> Vec<String> {
        let members = record.and_then(Value::as_object);
        members
            .map(|members| members.keys().cloned().collect())
            .unwrap_or_default()
    };
    let value = |record: Option<&Value>, key: &str| record.and_then(|data| data.get(key)).cloned();
    let mut all = keys(before);
    all.extend(keys(after));
    all.sort();
    all.dedup();
    all.retain(|key| value(before, key) != value(after, key));
    all
}

fn read<T: DeserializeOwned>(record: Value) -> T {
    serde_json::from_value(record).unwrap_or_else(|error| panic!("the test's record: {error}"))
}
