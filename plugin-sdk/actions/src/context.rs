//! An event as expressions and messages see it.

use crm_plugin_sdk::{Event, Failure, json, records};
use serde_json::{Map, Value};

/// A record's data, whatever its module.
pub type Record = Map<String, Value>;

/// `event` (kind, module, record_id, record_version, changed_fields, depth, occurred_at, zone,
/// locale), `before`, `after`, `payload` and `actor` (user_id, roles).
pub fn context(event: &Event<Record>) -> Value {
    json!({
        "event": {
            "kind": event.kind.name(),
            "module": event.module,
            "record_id": event.record_id,
            "record_version": event.record_version,
            "changed_fields": event.changed_fields,
            "depth": event.depth,
            "occurred_at": event.occurred_at,
            "zone": event.zone,
            "locale": event.locale,
        },
        "before": event.before,
        "after": event.after,
        "payload": event.payload,
        "actor": { "user_id": event.actor.user_id, "roles": event.actor.roles },
    })
}

/// The event's record as it is after the event.
///
/// # Errors
/// Skips where it is gone.
pub fn current(event: &Event<Record>) -> Result<&Record, Failure> {
    let gone = || Failure::skip("the record was deleted: there is nothing to do");
    event.after.as_ref().ok_or_else(gone)
}

/// Whether the event's record is there, or it is of none: a time by the clock, a request from
/// outside.
///
/// # Errors
/// Skips where it is gone.
pub fn not_gone(event: &Event<Record>) -> Result<(), Failure> {
    /// The id of no record.
    const NONE: &str = "00000000-0000-0000-0000-000000000000";
    match event.record_id == NONE {
        true => Ok(()),
        false => current(event).map(|_| ()),
    }
}

/// The user whom the event's record belongs to, null where the record is not to be seen.
///
/// # Errors
/// Where the host does not answer.
pub fn owner(event: &Event<Record>) -> Result<Value, Failure> {
    let found = records::get::<Record>(&event.module, &event.record_id)?;
    Ok(found.map_or(Value::Null, |found| Value::String(found.owner_id)))
}

/// A member more of an object.
pub fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(key.to_owned(), value);
    }
}
