//! What webhooks are told of by themselves, without a workflow: which events of which modules, and
//! of updates those that change certain fields.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

use crate::Data;
use crate::event::EventKind;
use crate::limits::{MODULE_MAX_FIELDS, WEBHOOK_MAX_WATCHES};
use crate::model::Model;
use crate::names::{FieldKey, ModuleSlug};
use crate::violation::Violations;

/// What happens to records, which webhooks may be told of.
const KINDS: [EventKind; 4] = [
    EventKind::RecordCreated,
    EventKind::RecordUpdated,
    EventKind::RecordDeleted,
    EventKind::RecordRestored,
];

/// Events of one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    pub module: ModuleSlug,
    pub on: BTreeSet<EventKind>,
    /// Of updates, those that change one of these, and of each record these alone; everything
    /// where there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fields: BTreeSet<FieldKey>,
}

impl Watch {
    /// Whether it is told of such an event.
    pub fn is_of(&self, module: &ModuleSlug, kind: EventKind, changed: &[FieldKey]) -> bool {
        let is_changed = || {
            kind != EventKind::RecordUpdated
                || self.fields.is_empty()
                || changed.iter().any(|field| self.fields.contains(field))
        };
        self.module == *module && self.on.contains(&kind) && is_changed()
    }

    /// What it is told of a record.
    pub fn show(&self, data: Data) -> Data {
        if self.fields.is_empty() {
            return data;
        }
        let is_told = |field: &str| self.fields.iter().any(|told| told.as_str() == field);
        data.into_iter()
            .filter(|(field, _)| is_told(field))
            .collect()
    }

    /// Which of the fields that changed it is told of.
    pub fn changed(&self, changed: Vec<FieldKey>) -> Vec<FieldKey> {
        let is_told = |field: &FieldKey| self.fields.is_empty() || self.fields.contains(field);
        changed.into_iter().filter(is_told).collect()
    }
}

/// A webhook that is told of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub webhook: Uuid,
    /// What effects call the webhook.
    pub name: String,
    pub events: Vec<Watch>,
}

impl Subscription {
    /// Whether it is told of such an event.
    pub fn is_told(&self, module: &ModuleSlug, kind: EventKind, changed: &[FieldKey]) -> bool {
        let mut events = self.events.iter();
        events.any(|watch| watch.is_of(module, kind, changed))
    }
}

/// What is wrong with what somebody wants a webhook to be told of. Fields may be retired or gone
/// later; then they do not change.
pub fn check_watches(watches: &[Watch], model: &Model) -> Violations {
    let mut violations = Violations::default();
    if watches.len() > WEBHOOK_MAX_WATCHES {
        let message = format!("a webhook names at most {WEBHOOK_MAX_WATCHES} modules");
        violations.add("/events".to_owned(), "length", message);
        return violations;
    }
    let mut seen = BTreeSet::new();
    for (index, watch) in watches.iter().enumerate() {
        let at = |member: &str| format!("/events/{index}/{member}");
        if !seen.insert(&watch.module) {
            let message = "is named before: say all of a module in one place";
            violations.add(at("module"), "unique", message);
        }
        if watch.on.is_empty() || !watch.on.iter().all(|kind| KINDS.contains(kind)) {
            let names = KINDS.map(EventKind::name).join(", ");
            let message = format!("names at least one of {names}, and nothing else");
            violations.add(at("on"), "enum", message);
        }
        let Some(module) = model.module(&watch.module) else {
            violations.add(at("module"), "unknown", "there is no such module");
            continue;
        };
        if watch.fields.len() > MODULE_MAX_FIELDS {
            let message = format!("has at most {MODULE_MAX_FIELDS} fields");
            violations.add(at("fields"), "length", message);
            continue;
        }
        for field in &watch.fields {
            if module.field(field.as_str()).is_none() {
                let message = format!("there is no field “{field}” in “{}”", watch.module);
                violations.add(at("fields"), "unknown", message);
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model;
    use serde_json::{Value, json};

    fn watch(watch: Value) -> Watch {
        serde_json::from_value(watch).unwrap()
    }

    #[test]
    fn a_webhook_is_told_of_what_it_watches() {
        let items = "items".parse().unwrap();
        let keys = |keys: &[&str]| -> Vec<FieldKey> {
            keys.iter().map(|key| key.parse().unwrap()).collect()
        };
        let on = json!(["record_created", "record_updated"]);
        let all = watch(json!({"module": "items", "on": on}));
        let some = watch(json!({"module": "items", "on": on, "fields": ["price", "sku"]}));
        for (changed, of_all, of_some) in [
            (keys(&["notes"]), true, false),
            (keys(&["notes", "price"]), true, true),
        ] {
            assert_eq!(
                all.is_of(&items, EventKind::RecordUpdated, &changed),
                of_all
            );
            assert_eq!(
                some.is_of(&items, EventKind::RecordUpdated, &changed),
                of_some
            );
        }
        assert!(some.is_of(&items, EventKind::RecordCreated, &keys(&["notes"])));
        assert!(!some.is_of(&items, EventKind::RecordDeleted, &[]));
        assert!(!some.is_of(&"lines".parse().unwrap(), EventKind::RecordCreated, &[]));
        let data = json!({"sku": "A", "notes": "x"});
        let data = data.as_object().unwrap().clone();
        assert_eq!(Value::Object(some.show(data.clone())), json!({"sku": "A"}));
        assert_eq!(all.show(data.clone()), data);
        assert_eq!(some.changed(keys(&["notes", "sku"])), keys(&["sku"]));
    }

    #[test]
    fn what_cannot_be_watched_is_named() {
        let model = model();
        let check = |watches: Value| {
            let watches: Vec<Watch> = serde_json::from_value(watches).unwrap();
            check_watches(&watches, &model).into_result()
        };
        let fine = json!([{"module": "items", "on": ["record_restored"], "fields": ["sku"]}]);
        assert!(check(fine).is_ok());
        assert!(check(json!([])).is_ok());
        for (watches, pointer) in [
            (
                json!([{"module": "no", "on": ["record_created"]}]),
                "/events/0/module",
            ),
            (json!([{"module": "items", "on": []}]), "/events/0/on"),
            (
                json!([{"module": "items", "on": ["called"]}]),
                "/events/0/on",
            ),
            (
                json!([{"module": "items", "on": ["record_created"], "fields": ["no"]}]),
                "/events/0/fields",
            ),
            (
                json!([{"module": "items", "on": ["record_created"]},
                    {"module": "items", "on": ["record_deleted"]}]),
                "/events/1/module",
            ),
        ] {
            let violations = check(watches).unwrap_err();
            assert!(violations.to_string().contains(pointer), "{violations}");
        }
    }
}
