use super::*;
use crate::definition::OnDelete;
use crate::testing::{model, sales, source};
use serde_json::json;

fn error(definition: serde_json::Value) -> String {
    Model::compile(source(definition)).unwrap_err().to_string()
}

fn field(attributes: serde_json::Value) -> serde_json::Value {
    let mut field = json!({"key": "a", "label": "A", "type": "text"});
    field
        .as_object_mut()
        .unwrap()
        .extend(attributes.as_object().unwrap().clone());
    json!({"modules": [{"slug": "things", "label": "Thing", "fields": [field]}]})
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (attributes, expected) in [
        (
            json!({"type": "txt"}),
            "modules/things/fields/a: there is no type “txt”",
        ),
        (json!({"type": "select"}), "a select has 1 to 1000 options"),
        (json!({"type": "relation"}), "a relation names its module"),
        (
            json!({"type": "relation", "module": "x"}),
            "there is no module “x”",
        ),
        (
            json!({"type": "decimal", "precision": 29}),
            "precision is 1 to 28 digits",
        ),
        (json!({"type": "integer", "min": "1"}), "whole numbers"),
        (json!({"label": " "}), "label has 1 to 200 characters"),
        (json!({"pattern": "("}), "modules/things"),
        (
            json!({"pattern": "a".repeat(501)}),
            "pattern is longer than 500",
        ),
        (json!({"max_length": 1001}), "at most 1000 characters"),
        (
            json!({"type": "integer", "default": "x"}),
            "default: is not a value",
        ),
        (
            json!({"type": "date", "default": "2026-02-30"}),
            "is not a date",
        ),
    ] {
        let message = error(field(attributes.clone()));
        assert!(message.contains(expected), "{attributes}: {message}");
    }
}

#[test]
fn two_fields_of_one_key_are_refused() {
    let twice = json!({"modules": [{"slug": "things", "label": "Thing", "fields": [
        {"key": "a", "label": "A", "type": "text"},
        {"key": "a", "label": "B", "type": "text"},
    ]}]});
    assert!(error(twice).contains("stands there twice"));
}

#[test]
fn the_schema_is_json_schema_2020_12() {
    let model = model();
    let module = model.module(&"items".parse().unwrap()).unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(module.schema()));
    assert_eq!(module.schema()["required"], json!(["sku"]));
}

/// The sales model after `change` had its way with the definition of deals.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<Model, ModelError> {
    let mut definition = sales();
    change(&mut definition["modules"][1]);
    Model::compile(source(definition))
}

fn with_field(mut field: serde_json::Value) -> Result<Model, ModelError> {
    field["label"] = json!("A");
    field["key"] = json!("a");
    changed(|deals| deals["fields"].as_array_mut().unwrap().push(field))
}

#[test]
fn mistakes_in_expressions_are_named_with_their_place() {
    let formula = |expression: &str| json!({"type": "formula", "result": "decimal", "expression": expression});
    for (field, attribute, expected) in [
        (
            formula("1 +"),
            "expression",
            "a value is missing (at character 4)",
        ),
        (
            formula("record.quantitty * 2"),
            "expression",
            "no field “quantitty”; did you mean “quantity”?",
        ),
        (
            formula("recrd.quantity"),
            "expression",
            "there is no “recrd”: an expression sees record,",
        ),
        (
            formula("record"),
            "expression",
            "name the fields of “record”",
        ),
        (formula("$root"), "expression", "name what is meant"),
        (
            formula("actor.name"),
            "expression",
            "“actor” has user_id and roles",
        ),
        (
            formula("record.company.fee"),
            "expression",
            "“companies” has no field “fee”",
        ),
        (
            formula("before.company.name"),
            "expression",
            "has only its id",
        ),
        (
            formula("record.a + 1"),
            "expression",
            "the formula reads itself: a → a",
        ),
        (
            json!({"type": "text", "required_if": "record.x"}),
            "required_if",
            "no field “x”",
        ),
        (
            json!({"type": "text", "visible_if": "record.x"}),
            "visible_if",
            "no field “x”",
        ),
        (
            json!({"type": "text", "read_only_if": "d()"}),
            "read_only_if",
            "cannot read the clock",
        ),
        (
            json!({"type": "text", "default_expression": "record.total"}),
            "default_expression",
            "“total” is computed later",
        ),
        (
            json!({"type": "text", "default": "x", "default_expression": "1"}),
            "default_expression",
            "not both",
        ),
    ] {
        let error = with_field(field.clone()).unwrap_err();
        assert_eq!(
            error.place,
            format!("modules/deals/fields/a/{attribute}"),
            "{field}"
        );
        assert!(error.message.contains(expected), "{field}: {error}");
    }
}

#[test]
fn a_module_has_so_many_expressions_and_not_one_more() {
    let formulas = |count: usize| {
        let fields: Vec<_> = (0..count)
            .map(|index| {
                json!({"key": format!("f{index}"), "label": "F", "type": "formula",
                       "result": "integer", "expression": "1"})
            })
            .collect();
        let module = json!({"slug": "things", "label": "Thing", "fields": fields});
        Model::compile(source(json!({"modules": [module]})))
    };
    assert!(formulas(200).is_ok());
    let error = formulas(201).unwrap_err().to_string();
    assert_eq!(
        error,
        "modules/things: a module has at most 200 expressions"
    );
}

#[test]
fn a_circle_of_formulas_is_refused() {
    let error = changed(|deals| {
        let fields = deals["fields"].as_array_mut().unwrap();
        for (key, reads) in [("x", "y"), ("y", "z"), ("z", "x")] {
            fields.push(
                json!({"key": key, "label": key, "type": "formula", "result": "decimal",
                               "expression": format!("record.{reads} + 1")}),
            );
        }
    });
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "modules/deals/fields/x/expression: the formula reads itself: x → y → z → x"
    );
}

#[test]
fn mistakes_in_rules_are_named_with_their_place() {
    for (rule, expected) in [
        (
            json!({"expression": "record.x", "message": "m"}),
            "expression: “deals” has no field “x”",
        ),
        (
            json!({"expression": "true", "message": " "}),
            "message has 1 to 500 characters",
        ),
        (
            json!({"expression": "true", "message": "m", "field": "x"}),
            "field: “deals” has no field “x”",
        ),
    ] {
        let error = changed(|deals| deals["rules"] = json!([rule])).unwrap_err();
        assert_eq!(error.place, "modules/deals/rules/0");
        assert!(error.message.starts_with(expected), "{error}");
    }
    let rule = json!({"expression": "true", "message": "m".repeat(500)});
    let rules = |count: usize| changed(|deals| deals["rules"] = json!(vec![&rule; count]));
    assert!(rules(50).is_ok());
    assert!(rules(51).unwrap_err().message.contains("at most 50"));
}

#[test]
fn mistakes_in_choices_are_named_with_their_place() {
    let select = |option: serde_json::Value| {
        let mut option = option;
        option["label"] = json!("L");
        option["value"] = json!("one");
        json!({"type": "select", "options": [option]})
    };
    for (field, expected) in [
        (
            select(json!({"probability": 101})),
            "options/0: probability is 0 to 100",
        ),
        (
            select(json!({"transitions": ["oen"]})),
            "options/0: transitions: there is no option “oen”; did you mean “one”?",
        ),
        (
            select(json!({"required_fields": ["x"]})),
            "options/0: required_fields: “deals” has no field “x”",
        ),
        (select(json!({"parents": ["x"]})), "options have parents"),
        (
            json!({"type": "select", "depends_on": "title", "options": [{"value": "v", "label": "V"}]}),
            "depends_on: “title” is no select",
        ),
        (
            json!({"type": "select", "depends_on": "country",
                "options": [{"value": "v", "label": "V", "parents": ["cx"]}]}),
            "parents: “country” has no option “cx”; did you mean “ch”?",
        ),
    ] {
        let error = with_field(field.clone()).unwrap_err();
        assert_eq!(error.place, "modules/deals/fields/a", "{field}");
        assert!(error.message.starts_with(expected), "{field}: {error}");
    }
}

#[test]
fn mistakes_between_modules_are_named_with_their_place() {
    let rollup = |definition: serde_json::Value| json!({"type": "rollup", "rollup": definition});
    for (field, expected) in [
        (json!({"type": "rollup"}), "a rollup says what it computes"),
        (
            rollup(json!({"module": "rows", "relation": "deal", "operation": "count"})),
            "rollup: there is no module “rows”",
        ),
        (
            rollup(json!({"module": "lines", "relation": "note", "operation": "count"})),
            "rollup: “lines.note” is no stored relation to “deals”",
        ),
        (
            rollup(json!({"module": "deals", "relation": "company", "operation": "count"})),
            "rollup: “deals.company” is no stored relation to “deals”",
        ),
        (
            rollup(
                json!({"module": "lines", "relation": "deal", "operation": "sum", "field": "x"}),
            ),
            "rollup: “lines” has no field “x”",
        ),
        (
            rollup(
                json!({"module": "lines", "relation": "deal", "operation": "avg", "field": "due_on"}),
            ),
            "rollup: “lines.due_on” is not a number",
        ),
        (
            rollup(
                json!({"module": "lines", "relation": "deal", "operation": "max", "field": "note"}),
            ),
            "rollup: “lines.note” is neither a number nor a date",
        ),
        (
            json!({"type": "relation", "module": "lines", "inverse_of": "note"}),
            "inverse_of: “lines.note” is no stored relation to “deals”",
        ),
    ] {
        let error = with_field(field.clone()).unwrap_err();
        assert_eq!(error.place, "modules/deals/fields/a", "{field}");
        assert!(error.message.starts_with(expected), "{field}: {error}");
    }
    let mut latest = rollup(
        json!({"module": "lines", "relation": "deal", "operation": "max", "field": "due_on"}),
    );
    let error = with_field(latest.clone()).unwrap_err();
    assert!(error.message.contains("its result is “date”"), "{error}");
    latest["result"] = json!("date");
    for field in [
        latest,
        json!({"type": "relation", "module": "lines", "inverse_of": "deal"}),
    ] {
        assert!(with_field(field.clone()).is_ok(), "{field}");
    }
}

#[test]
fn a_rollup_does_not_compute_itself() {
    let tree = |filter: serde_json::Value| {
        let rollup = json!({"module": "nodes", "relation": "parent", "operation": "sum",
                            "field": "plain", "filter": filter});
        Model::compile(source(
            json!({"modules": [{"slug": "nodes", "label": "Node", "fields": [
                {"key": "parent", "label": "P", "type": "relation", "module": "nodes"},
                {"key": "plain", "label": "P", "type": "decimal"},
                {"key": "twice", "label": "T", "type": "formula", "result": "decimal",
                 "expression": "record.below * 2"},
                {"key": "below", "label": "B", "type": "rollup", "rollup": rollup},
            ]}]}),
        ))
    };
    let condition = |field: &str| json!({"and": [{"field": field, "op": "gt", "value": "1"}]});
    assert!(tree(condition("plain")).is_ok());
    let error = tree(condition("twice")).unwrap_err().to_string();
    assert_eq!(
        error,
        "modules/nodes/fields/below: the rollup computes itself: \
         nodes.below → nodes.twice → nodes.below"
    );
}

#[test]
fn unique_sets_name_fields_that_compare() {
    let unique =
        |fields: serde_json::Value| changed(|deals| deals["unique"] = json!([{"fields": fields}]));
    assert!(unique(json!(["title", "owner", "country", "stage", "number"])).is_ok());
    for (fields, expected) in [
        (json!([]), "names 1 to 5 fields"),
        (
            json!(["title", "owner", "country", "stage", "number", "region"]),
            "names 1 to 5 fields",
        ),
        (json!(["title", "title"]), "“title” stands there twice"),
        (json!(["x"]), "“deals” has no field “x”"),
        (json!(["total"]), "values of “total” cannot be unique"),
        (json!(["partners"]), "values of “partners” cannot be unique"),
    ] {
        let error = unique(fields).unwrap_err();
        assert_eq!(
            (error.place.as_str(), error.message.as_str()),
            ("modules/deals/unique/0", expected)
        );
    }
    let sets = |count: usize| {
        changed(|deals| deals["unique"] = json!(vec![json!({"fields": ["title"]}); count]))
    };
    assert!(sets(20).is_ok());
    assert!(sets(21).unwrap_err().message.contains("at most 20"));
    let field = json!({"type": "formula", "result": "text", "expression": "'a'", "unique": true});
    assert_eq!(
        with_field(field).unwrap_err().place,
        "modules/deals/fields/a/unique"
    );
}

#[test]
fn modules_know_who_looks_at_them() {
    let model = with_field(json!({"type": "relation", "module": "companies", "required": true}));
    let model = model.unwrap();
    let rules: Vec<_> = model
        .references_to(&"companies".parse().unwrap())
        .iter()
        .map(|rule| (rule.field.as_str(), rule.many, rule.on_delete))
        .collect();
    assert_eq!(
        rules,
        [
            ("company", false, OnDelete::SetNull),
            ("partners", true, OnDelete::SetNull),
            ("a", false, OnDelete::Restrict),
        ]
    );
    let rollups: Vec<_> = model
        .rollups_over(&"lines".parse().unwrap())
        .iter()
        .map(|rollup| (rollup.module.as_str(), rollup.field.as_str()))
        .collect();
    assert_eq!(rollups, [("deals", "lines"), ("deals", "line_total")]);
    assert!(model.rollups_over(&"deals".parse().unwrap()).is_empty());
    let deals = model.module(&"deals".parse().unwrap()).unwrap();
    assert_eq!(deals.rollups().count(), 2);
    let numbers: Vec<_> = deals.auto_numbers().map(FieldKey::as_str).collect();
    assert_eq!(numbers, ["number"]);
}
