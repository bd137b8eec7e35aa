//! A small model for this crate's own tests.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::capability::{Capabilities, Grant};
use crate::ids::TenantId;
use crate::model::{InstalledPlugin, Model, ModelSource, TemplateReference};
use crate::permission::Actor;

pub(crate) fn source(definition: Value) -> ModelSource {
    let plugin = InstalledPlugin {
        version: semver::Version::new(1, 0, 0),
        digest: "0".repeat(64),
        grant: Grant::new(Capabilities::default(), Capabilities::default()),
    };
    ModelSource {
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        version: 1,
        template: TemplateReference {
            slug: "test".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
        },
        settings: crate::settings::Settings::default(),
        definition: serde_json::from_value(definition).unwrap(),
        overlay: crate::overlay::Overlay::default(),
        workflows: Vec::new(),
        plugins: BTreeMap::from([("tick".parse().unwrap(), plugin)]),
        building: std::collections::BTreeSet::new(),
    }
}

pub(crate) fn definition() -> Value {
    json!({
        "modules": [
            {"slug": "items", "label": "Item", "title_field": "sku", "fields": [
                {"key": "sku", "label": "SKU", "type": "text", "required": true,
                 "max_length": 20, "pattern": "^[A-Z]"},
                {"key": "notes", "label": "Notes", "type": "long_text"},
                {"key": "count", "label": "Count", "type": "integer", "min": 0, "max": 10},
                {"key": "carat", "label": "Carat", "type": "decimal", "precision": 6,
                 "scale": 2, "min": "0.01", "max": "100"},
                {"key": "price", "label": "Price", "type": "currency", "min": "0"},
                {"key": "sold", "label": "Sold", "type": "boolean", "default": false},
                {"key": "made_on", "label": "Made on", "type": "date"},
                {"key": "seen_at", "label": "Seen at", "type": "datetime"},
                {"key": "cut", "label": "Cut", "type": "select",
                 "options": [{"value": "Fair", "label": "Fair"}, {"value": "Ideal", "label": "Ideal"}]},
                {"key": "email", "label": "E-mail", "type": "email"},
                {"key": "phone", "label": "Phone", "type": "phone"},
                {"key": "pair", "label": "Pair", "type": "relation", "module": "items"},
            ]},
        ],
        "workflows": [
            {"slug": "on-price", "name": "On price", "module": "items",
             "trigger": {"on": "record_updated", "fields": ["price"]},
             "condition": "number(after.price.amount) > 100",
             "steps": [{"action": "tick"}]},
        ],
        "roles": [
            {"slug": "owner", "label": "Owner", "permissions": {"*": ["*"]}},
            {"slug": "viewer", "label": "Viewer", "permissions": {"items": ["read"]}},
        ],
    })
}

pub(crate) fn model() -> Model {
    Model::compile(source(definition())).unwrap()
}

pub(crate) fn actor(role: &str) -> Actor {
    Actor {
        user_id: "u-1".parse().unwrap(),
        roles: vec![role.parse().unwrap()],
    }
}

/// Nothing around the record.
pub(crate) fn alone() -> crate::validate::Surroundings<'static> {
    static RELATED: BTreeMap<crate::ids::RecordId, crate::Data> = BTreeMap::new();
    static NUMBERS: BTreeMap<crate::names::FieldKey, i64> = BTreeMap::new();
    static ROLLUPS: BTreeMap<crate::names::FieldKey, Value> = BTreeMap::new();
    crate::validate::Surroundings {
        at: chrono::DateTime::UNIX_EPOCH,
        related: &RELATED,
        numbers: &NUMBERS,
        rollups: &ROLLUPS,
    }
}
