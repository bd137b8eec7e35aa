//! Events, what the host says to the questions that they lead to, and what is expected.

use crm_model::Event;
use serde_json::{Map, Value, json};

/// One call of an action.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) event: Event,
    /// The step's configuration, as text.
    pub(crate) configuration: String,
    /// Records that queries find; none where the host cannot answer.
    pub(crate) found: Option<Vec<Value>>,
    /// [`crate::sandboxed::answers`] has its form.
    pub(crate) expected: Value,
}

const RECORD: &str = "01970000-0000-7000-8000-000000000001";

fn event(module: &str, after: Value) -> Event {
    serde_json::from_value(json!({
        "id": "01970000-0000-7000-8000-000000000002",
        "kind": "record_created",
        "module": module,
        "record_id": RECORD,
        "record_version": 1,
        "before": null,
        "after": after,
        "changed_fields": after.as_object().unwrap().keys().collect::<Vec<_>>(),
        "actor": { "user_id": "ada", "roles": ["owner"] },
        "cause": { "kind": "user" },
        "depth": 0,
        "occurred_at": "2026-01-02T03:04:05Z",
    }))
    .unwrap()
}

/// For the mailers, which all do the same.
pub(crate) fn mails() -> Vec<Case> {
    let ada = json!({ "name": "Ada 💎" });
    let case = |name, media_type: &str, expected| Case {
        name,
        event: event("customers", ada.clone()),
        configuration: json!({ "type": media_type }).to_string(),
        found: None,
        expected,
    };
    let file = |name: &str, media_type: &str, content: &str| json!({ "name": name, "media_type": media_type, "content": content });
    vec![
        case(
            "a mail with files",
            "text/plain",
            json!({
                "mutations": [],
                "effects": [
                    { "kind": "notify", "to": ["ada"], "title": "Hello" },
                    {
                        "kind": "email", "to": ["ada@example.com"], "subject": "Hello",
                        "text": "plain",
                        "attachments": [
                            file("name.txt", "text/plain", "QWRhIPCfko4K"),
                            file("bytes", "application/octet-stream", "AP8="),
                        ],
                    },
                ],
            }),
        ),
        case(
            "a file that does not go along",
            "text",
            json!({ "failure": "fail", "message": "“text” is no media type" }),
        ),
    ]
}

/// For the examples of the SDKs, which all do the same.
pub(crate) fn collectors() -> Vec<Case> {
    let ada = json!({ "name": "Ada “the first” 💎", "segment": "collector" });
    let case = |name, after: &Value, configuration: &str, found, expected| Case {
        name,
        event: event("customers", after.clone()),
        configuration: configuration.to_owned(),
        found,
        expected,
    };
    let note = r#"{"note": "Fine stones first"}"#;
    vec![
        case(
            "a collector",
            &ada,
            note,
            Some(vec![ada.clone(), json!({ "segment": "collector" })]),
            json!({
                "mutations": [
                    {
                        "op": "update", "module": "customers", "record_id": RECORD,
                        "patch": { "notes": "Fine stones first (one of 2)" },
                    },
                    {
                        "op": "activity", "module": "customers", "record_id": RECORD,
                        "activity": {
                            "kind": "task", "title": "Greet Ada “the first” 💎", "body": null,
                            "due_at": "2026-01-02T03:04:05Z",
                        },
                    },
                ],
                "effects": [],
            }),
        ),
        case(
            "somebody else",
            &json!({ "name": "Bob", "segment": "private" }),
            note,
            None,
            json!({ "failure": "skip", "message": "not a collector" }),
        ),
        case(
            "a host that cannot answer",
            &ada,
            note,
            None,
            json!({ "failure": "retry", "message": "nobody is there" }),
        ),
        case(
            "a configuration that is no JSON",
            &ada,
            "{",
            None,
            json!({ "failure": "fail", "message": "the step's configuration could not be read" }),
        ),
    ]
}

/// For the first-party action.
pub(crate) fn field_set() -> Vec<Case> {
    let case = |name, after: Value, set: Value| Case {
        name,
        event: event("items", after),
        configuration: json!({ "set": set }).to_string(),
        found: None,
        expected: Value::Null,
    };
    vec![
        case(
            "values of all kinds",
            json!({ "price": "0.10", "name": "Ada 💎", "tags": ["a"], "n": 3 }),
            json!({
                "exact": "number(after.price) + 0.2", "text": "'Dear ' + after.name",
                "day": "d(event.occurred_at, 'Europe/Berlin').add(1, 'month')",
                "list": "map(after.tags, # + 'x')", "whole": "after.n * 2",
                "who": "actor.user_id", "nothing": "after.none",
            }),
        ),
        case("nothing new", json!({ "a": "b" }), json!({ "a": "'b'" })),
        case("a bad expression", json!({}), json!({ "a": "1 +" })),
        case(
            "values that do not fit",
            json!({ "a": "x" }),
            json!({ "a": "after.a * 2" }),
        ),
    ]
}

impl Case {
    /// The event as a runtime of JavaScript gets it.
    pub(crate) fn as_the_contract_has_it(&self) -> Value {
        let event = &self.event;
        let text =
            |data: &Option<crm_model::Data>| data.as_ref().map(|data| json!(data).to_string());
        let mut told = json!({
            "id": event.id,
            "kind": "record-created",
            "module": event.module,
            "recordId": event.record_id,
            "recordVersion": event.record_version,
            "after": text(&event.after),
            "changedFields": event.changed_fields,
            "actor": { "userId": event.actor.user_id, "roles": event.actor.roles },
            "causes": [],
            "depth": event.depth,
            "occurredAt": "2026-01-02T03:04:05Z",
            "zone": crate::sandboxed::ZONE,
            "locale": crate::sandboxed::LOCALE,
            "configuration": self.configuration,
            "idempotencyKey": crate::sandboxed::KEY,
            "seed": 7,
        });
        if let Some(before) = text(&event.before) {
            told["before"] = json!(before);
        }
        told
    }
}

/// What a run answered in the words of the contract, as [`crate::sandboxed::answers`] says it.
pub(crate) fn outcome(answer: &Value) -> Value {
    if let Some(failure) = answer.get("err") {
        let (tag, val) = (failure["tag"].as_str().unwrap(), &failure["val"]);
        return match tag {
            "retry" => json!({ "failure": "retry", "message": val["reason"] }),
            "skip" => json!({ "failure": "skip", "message": val }),
            _ => json!({ "failure": "fail", "message": val }),
        };
    }
    let outcome = &answer["ok"];
    let all = |key: &str, tag: &str| -> Vec<Value> {
        let list = outcome[key].as_array().unwrap().iter();
        list.map(|one| flat(one, tag)).collect()
    };
    json!({ "mutations": all("mutations", "op"), "effects": all("effects", "kind") })
}

/// `{"tag": "update", "val": {"recordId": …}}` as `{"op": "update", "record_id": …}`.
fn flat(one: &Value, tag: &str) -> Value {
    let mut flat = Map::new();
    flat.insert(tag.to_owned(), one["tag"].clone());
    for (name, value) in one["val"].as_object().unwrap() {
        let value = match (name.as_str(), value.as_str()) {
            ("patch" | "data" | "payload", Some(text)) => serde_json::from_str(text).unwrap(),
            _ => value.clone(),
        };
        if !value.is_null() {
            flat.insert(snake(name), value);
        }
    }
    Value::Object(flat)
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
