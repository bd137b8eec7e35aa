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
        settings: Default::default(),
        enabled: true,
        concurrency: None,
    };
    ModelSource {
        tenant_id: TenantId::new(Uuid::from_u128(1)),
        version: 1,
        template: TemplateReference {
            slug: "test".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
        },
        hooks: None,
        settings: crate::settings::Settings::default(),
        definition: serde_json::from_value(definition).unwrap(),
        overlay: crate::overlay::Overlay::default(),
        workflows: Vec::new(),
        plugins: BTreeMap::from([("tick".parse().unwrap(), plugin)]),
        members: BTreeMap::new(),
        teams: BTreeMap::new(),
        building: std::collections::BTreeSet::new(),
        suspended: false,
        plan: crate::plan::Plan::default(),
        subscriptions: Vec::new(),
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

/// Deals with lines: every rule that fields can have.
pub(crate) fn sales() -> Value {
    json!({
        "modules": [
            {"slug": "companies", "label": "Company", "fields": [
                {"key": "name", "label": "Name", "type": "text", "required": true},
                {"key": "discount", "label": "Discount", "type": "decimal"},
                {"key": "budget", "label": "Budget", "type": "currency"},
            ]},
            {"slug": "deals", "label": "Deal", "fields": [
                {"key": "number", "label": "Number", "type": "auto_number", "prefix": "D-",
                 "digits": 4},
                {"key": "title", "label": "Title", "type": "text", "required": true},
                {"key": "company", "label": "Company", "type": "relation", "module": "companies"},
                {"key": "partners", "label": "Partners", "type": "relation",
                 "module": "companies", "many": true},
                {"key": "quantity", "label": "Quantity", "type": "integer", "default": 1},
                {"key": "unit_price", "label": "Unit price", "type": "decimal", "precision": 20,
                 "scale": 10},
                {"key": "price", "label": "Price", "type": "currency"},
                {"key": "taxed", "label": "Taxed", "type": "formula", "result": "decimal",
                 "scale": 2, "expression": "record.total * 1.2"},
                {"key": "total", "label": "Total", "type": "formula", "result": "decimal",
                 "expression": "record.quantity * record.unit_price * (1 - (record.company.discount ?? 0))"},
                {"key": "per_line", "label": "Per line", "type": "formula", "result": "decimal",
                 "expression": "record.lines > 0 ? record.price.amount / record.lines : null"},
                {"key": "lines", "label": "Lines", "type": "rollup",
                 "rollup": {"module": "lines", "relation": "deal", "operation": "count"}},
                {"key": "line_total", "label": "Line total", "type": "rollup",
                 "rollup": {"module": "lines", "relation": "deal", "operation": "sum",
                            "field": "amount"}},
                {"key": "owner", "label": "Owner", "type": "user",
                 "default_expression": "actor.user_id"},
                {"key": "opened_on", "label": "Opened on", "type": "date",
                 "default_expression": "today"},
                {"key": "closes_on", "label": "Closes on", "type": "date"},
                {"key": "stage", "label": "Stage", "type": "select", "default": "new", "options": [
                    {"value": "new", "label": "New", "transitions": ["offer", "lost"]},
                    {"value": "offer", "label": "Offer", "probability": 50,
                     "required_fields": ["unit_price"]},
                    {"value": "lost", "label": "Lost", "transitions": [],
                     "required_fields": ["reason"]},
                ]},
                {"key": "reason", "label": "Reason", "type": "text", "required": true,
                 "visible_if": "record.stage == 'lost'"},
                {"key": "approval", "label": "Approval", "type": "text",
                 "required_if": "record.total > 1000"},
                {"key": "country", "label": "Country", "type": "select", "options": [
                    {"value": "ch", "label": "Switzerland"}, {"value": "de", "label": "Germany"}]},
                {"key": "region", "label": "Region", "type": "select", "depends_on": "country",
                 "options": [
                    {"value": "zh", "label": "Zürich", "parents": ["ch"]},
                    {"value": "by", "label": "Bavaria", "parents": ["de"]},
                    {"value": "other", "label": "Other"}]},
                {"key": "budget", "label": "Budget", "type": "integer",
                 "read_only_if": "record.stage == 'offer'"},
                {"key": "score", "label": "Score", "type": "integer", "read_only": true},
                {"key": "legacy", "label": "Legacy", "type": "text", "required": true,
                 "retired": true},
                {"key": "opened_at", "label": "Opened at", "type": "created_at"},
                {"key": "opened_by", "label": "Opened by", "type": "created_by"},
                {"key": "touched_at", "label": "Touched at", "type": "updated_at"},
                {"key": "touched_by", "label": "Touched by", "type": "updated_by"},
            ], "rules": [
                {"expression": "record.closes_on == null or d(record.closes_on) >= d(record.opened_on)",
                 "message": "A deal closes after it was opened.", "field": "closes_on"},
                {"expression": "before == null or record.country == before.country or record.region != null",
                 "message": "Say which region, too."},
            ]},
            {"slug": "lines", "label": "Line", "fields": [
                {"key": "deal", "label": "Deal", "type": "relation", "module": "deals",
                 "required": true},
                {"key": "amount", "label": "Amount", "type": "decimal"},
                {"key": "due_on", "label": "Due on", "type": "date"},
                {"key": "note", "label": "Note", "type": "text"},
            ]},
        ],
        "roles": [{"slug": "owner", "label": "Owner", "permissions": {"*": ["*"]}}],
    })
}

pub(crate) fn model() -> Model {
    Model::compile(source(definition())).unwrap()
}

pub(crate) fn actor(role: &str) -> Actor {
    Actor::person("u-1".parse().unwrap(), vec![role.parse().unwrap()])
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
        made: None,
        rollups: &ROLLUPS,
        added: None,
    }
}
