//! What a template's author can find out without a host: whether everything that its files refer
//! to exists. The host judges the rest when it compiles the model: which types of fields there
//! are, and what each takes, it alone says.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const TRIGGERS: [&str; 4] = [
    "record_created",
    "record_updated",
    "record_deleted",
    "record_restored",
];
const ACTIONS: [&str; 9] = [
    "create", "read", "update", "delete", "purge", "manage", "export", "import", "*",
];
const ANY: &str = "*";

/// Everything that is wrong with a template's model, one sentence each; nothing when all is well.
pub fn template_problems(model: &str) -> Vec<String> {
    let model: Value = match serde_json::from_str(model) {
        Ok(model) => model,
        Err(error) => return vec![format!("the model is not JSON: {error}")],
    };
    let mut check = Check {
        fields: field_keys(&model),
        problems: Vec::new(),
    };
    for key in ["modules", "workflows", "roles", "installs"] {
        check.expect(model.get(key).is_some_and(Value::is_array), || {
            format!("`{key}` is not a list")
        });
    }
    check.expect(
        check.fields.len() == list(&model, "modules").count(),
        || "two modules have the same slug".to_owned(),
    );
    list(&model, "modules").for_each(|module| check.module(module));
    let installed: BTreeSet<&str> = list(&model, "installs")
        .map(|install| text(install, "plugin"))
        .collect();
    list(&model, "workflows").for_each(|workflow| check.workflow(workflow, &installed));
    list(&model, "roles").for_each(|role| check.role(role));
    list(&model, "installs").for_each(|install| check.install(install));
    check.problems
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn texts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    list(value, key).filter_map(Value::as_str)
}

fn members<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value
        .get(key)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn field_keys(model: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let keys = |module: &Value| {
        list(module, "fields")
            .map(|it| text(it, "key").to_owned())
            .collect()
    };
    list(model, "modules")
        .map(|module| (text(module, "slug").to_owned(), keys(module)))
        .collect()
}

struct Check {
    /// Module → keys of its fields.
    fields: BTreeMap<String, BTreeSet<String>>,
    problems: Vec<String>,
}

impl Check {
    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    fn expect_module(&mut self, place: &str, module: &str) {
        let known = module == ANY || self.fields.contains_key(module);
        self.expect(known, || format!("{place}: there is no module `{module}`"));
    }

    fn expect_field(&mut self, place: &str, module: &str, field: &str) {
        let known = field == ANY
            || module == ANY
            || self
                .fields
                .get(module)
                .is_some_and(|fields| fields.contains(field));
        self.expect(known, || {
            format!("{place}: `{module}` has no field `{field}`")
        });
    }

    fn module(&mut self, module: &Value) {
        let slug = text(module, "slug");
        let count = list(module, "fields").count();
        let distinct = self.fields.get(slug).map_or(0, BTreeSet::len);
        self.expect(count > 0 && count == distinct, || {
            format!("`{slug}` has no field, or two with the same key")
        });
        for key in ["label", "label_plural", "title_field"] {
            self.expect(!text(module, key).is_empty(), || {
                format!("`{slug}` has no `{key}`")
            });
        }
        self.expect_field("title_field", slug, text(module, "title_field"));
        list(module, "fields").for_each(|field| self.field(slug, field));
    }

    fn field(&mut self, slug: &str, field: &Value) {
        let place = format!("`{slug}.{}`", text(field, "key"));
        for key in ["type", "label"] {
            self.expect(!text(field, key).is_empty(), || {
                format!("{place} has no {key}")
            });
        }
        if let Some(module) = field["module"].as_str() {
            self.expect_module(&place, module);
        }
        if let Some(other) = field["depends_on"].as_str() {
            self.expect_field(&place, slug, other);
        }
        let options: Vec<&str> = list(field, "options").map(|it| text(it, "value")).collect();
        let distinct: BTreeSet<&&str> = options.iter().collect();
        self.expect(distinct.len() == options.len(), || {
            format!("{place}: an option stands twice")
        });
        if let (false, Some(default)) = (options.is_empty(), field["default"].as_str()) {
            self.expect(options.contains(&default), || {
                format!("{place}: the default `{default}` is none of the options")
            });
        }
    }

    fn workflow(&mut self, workflow: &Value, installed: &BTreeSet<&str>) {
        let place = format!("workflow `{}`", text(workflow, "slug"));
        let module = text(workflow, "module");
        let trigger = &workflow["trigger"];
        self.expect_module(&place, module);
        self.expect(TRIGGERS.contains(&text(trigger, "on")), || {
            format!("{place} has no trigger")
        });
        texts(trigger, "fields").for_each(|field| self.expect_field(&place, module, field));
        self.expect(list(workflow, "steps").count() > 0, || {
            format!("{place} has no steps")
        });
        for step in list(workflow, "steps") {
            let action = text(step, "action");
            self.expect(installed.contains(action), || {
                format!("{place}: `{action}` is not among the installs")
            });
        }
    }

    fn role(&mut self, role: &Value) {
        let place = format!("role `{}`", text(role, "slug"));
        for (module, actions) in members(role, "permissions") {
            self.expect_module(&place, module);
            for action in actions.as_array().into_iter().flatten() {
                let action = action.as_str().unwrap_or_default();
                self.expect(ACTIONS.contains(&action), || {
                    format!("{place}: there is no action `{action}`")
                });
            }
        }
        for (module, fields) in members(role, "fields") {
            self.expect_module(&place, module);
            let keys = fields
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.keys());
            keys.for_each(|key| self.expect_field(&place, module, key));
        }
    }

    fn install(&mut self, install: &Value) {
        let place = format!("install `{}`", text(install, "plugin"));
        let grant = &install["grant"];
        for (module, fields) in members(grant, "reads") {
            self.expect_module(&place, module);
            let fields = fields
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            fields.for_each(|field| self.expect_field(&place, module, field));
        }
        for (module, right) in members(grant, "writes") {
            self.expect_module(&place, module);
            texts(right, "fields").for_each(|field| self.expect_field(&place, module, field));
        }
        texts(grant, "activities").for_each(|module| self.expect_module(&place, module));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model() -> Value {
        json!({
            "modules": [{
                "slug": "items", "label": "Item", "label_plural": "Items", "title_field": "sku",
                "fields": [
                    { "key": "sku", "label": "Number", "type": "text" },
                    {
                        "key": "cut", "label": "Cut", "type": "select", "default": "good",
                        "depends_on": "sku",
                        "options": [{ "value": "good", "label": "Good" }]
                    },
                    { "key": "of", "label": "Of", "type": "relation", "module": "items" }
                ]
            }],
            "workflows": [{
                "slug": "w", "name": "W", "module": "items",
                "trigger": { "on": "record_updated", "fields": ["cut"] },
                "steps": [{ "action": "field-set" }]
            }],
            "roles": [{ "slug": "owner", "label": "Owner", "permissions": { "*": ["*"] } }],
            "installs": [{
                "plugin": "field-set", "version": "0.1.0",
                "grant": {
                    "reads": { "items": ["cut"] },
                    "writes": { "items": { "operations": ["update"], "fields": ["sku"] } },
                    "activities": ["items"]
                }
            }]
        })
    }

    #[test]
    fn a_sound_template_has_no_problems() {
        assert_eq!(
            template_problems(&model().to_string()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_reference_into_nothing_is_found() {
        for (pointer, value, problem) in [
            (
                "/modules/0/title_field",
                json!("name"),
                "title_field: `items` has no field `name`",
            ),
            (
                "/modules/0/fields/0/type",
                json!(""),
                "`items.sku` has no type",
            ),
            (
                "/modules/0/fields/1/default",
                json!("bad"),
                "`items.cut`: the default `bad` is none",
            ),
            (
                "/modules/0/fields/1/depends_on",
                json!("x"),
                "`items.cut`: `items` has no field `x`",
            ),
            (
                "/modules/0/fields/2/module",
                json!("x"),
                "`items.of`: there is no module `x`",
            ),
            (
                "/modules/0/fields/2/key",
                json!("cut"),
                "`items` has no field, or two with the same",
            ),
            (
                "/workflows/0/module",
                json!("x"),
                "workflow `w`: there is no module `x`",
            ),
            (
                "/workflows/0/trigger/on",
                json!("x"),
                "workflow `w` has no trigger",
            ),
            (
                "/workflows/0/trigger/fields",
                json!(["x"]),
                "workflow `w`: `items` has no field `x`",
            ),
            ("/workflows/0/steps", json!([]), "workflow `w` has no steps"),
            (
                "/workflows/0/steps/0/action",
                json!("x"),
                "workflow `w`: `x` is not among the",
            ),
            (
                "/roles/0/permissions",
                json!({ "x": ["*"] }),
                "role `owner`: there is no module `x`",
            ),
            (
                "/roles/0/permissions",
                json!({ "*": ["x"] }),
                "role `owner`: there is no action `x`",
            ),
            (
                "/installs/0/grant/writes/items/fields",
                json!(["x"]),
                "install `field-set`: `items` has no field `x`",
            ),
            (
                "/installs/0/grant/activities",
                json!(["x"]),
                "install `field-set`: there is no module `x`",
            ),
        ] {
            let mut model = model();
            *model.pointer_mut(pointer).unwrap() = value;
            let problems = template_problems(&model.to_string());
            assert!(
                problems.iter().any(|found| found.starts_with(problem)),
                "{problems:?}"
            );
        }
    }
}
