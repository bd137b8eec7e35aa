//! Rules between fields, through the one maker of changes.

use super::*;
use crate::capability::{Capabilities, Grant};
use crate::permission::{Authority, permit};
use crate::testing::{actor, sales, source};
use serde_json::json;
use uuid::Uuid;

fn data(value: Value) -> Data {
    value.as_object().unwrap().clone()
}

fn deals() -> ModuleSlug {
    "deals".parse().unwrap()
}

fn record() -> RecordId {
    RecordId::new(Uuid::from_u128(7))
}

fn company() -> RecordId {
    RecordId::new(Uuid::from_u128(8))
}

/// What stands around a write; nothing, unless a test says so.
#[derive(Default)]
struct Around {
    at: i64,
    related: BTreeMap<RecordId, Data>,
    numbers: BTreeMap<FieldKey, i64>,
    rollups: BTreeMap<FieldKey, Value>,
}

impl Around {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            at: DateTime::from_timestamp(self.at, 0).unwrap(),
            related: &self.related,
            numbers: &self.numbers,
            rollups: &self.rollups,
        }
    }

    fn run(&self, mutation: &Mutation, base: Option<&Base>) -> Result<Validated, Refusal> {
        let model = sales_model();
        let owner = actor("owner");
        let authority = Authority::User(&owner);
        let permit = permit(&model, authority, action_of(mutation), &deals()).unwrap();
        validate(
            &model,
            &permit,
            mutation,
            record(),
            base,
            &self.surroundings(),
        )
    }

    fn created(&self, value: Value) -> Data {
        after(self.run(&create(value), None))
    }

    fn updated(&self, base: &Data, patch: Value) -> Data {
        after(self.run(&update(patch), Some(&stored(base))))
    }

    fn recomputed(&self, base: &Data) -> Option<ValidChange> {
        let surroundings = self.surroundings();
        let owner = actor("owner");
        recompute(
            &sales_model(),
            &deals(),
            record(),
            &stored(base),
            &owner,
            &surroundings,
        )
    }
}

fn sales_model() -> Model {
    let mut source = source(sales());
    source.settings.time_zone = chrono_tz::Tz::Asia__Tokyo;
    Model::compile(source).unwrap()
}

fn stored(data: &Data) -> Base {
    Base {
        version: 1,
        data: data.clone(),
    }
}

fn create(value: Value) -> Mutation {
    Mutation::Create {
        module: deals(),
        data: data(value),
    }
}

fn update(patch: Value) -> Mutation {
    Mutation::Update {
        module: deals(),
        record_id: record(),
        expected_version: None,
        patch: data(patch),
    }
}

fn replace(value: Data) -> Mutation {
    Mutation::Replace {
        module: deals(),
        record_id: record(),
        expected_version: None,
        data: value,
    }
}

fn after(result: Result<Validated, Refusal>) -> Data {
    match result {
        Ok(Validated::Change(change)) => change.after().unwrap().clone(),
        other => unreachable!("{other:?}"),
    }
}

fn violations(result: Result<Validated, Refusal>) -> Vec<(String, String, String)> {
    let Err(Refusal::Invalid(violations)) = result else {
        unreachable!("{result:?}")
    };
    let found = violations.as_slice().iter().cloned();
    found
        .map(|found| (found.pointer, found.code, found.message))
        .collect()
}

fn refusals(patch: Value, base: Option<&Data>) -> Vec<(String, String)> {
    let around = Around::default();
    let result = match base {
        None => around.run(&create(patch), None),
        Some(base) => around.run(&update(patch), Some(&stored(base))),
    };
    violations(result)
        .into_iter()
        .map(|(pointer, code, _)| (pointer, code))
        .collect()
}

fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

fn changed(change: &ValidChange) -> Vec<&str> {
    change.changed().iter().map(FieldKey::as_str).collect()
}

#[test]
fn a_new_record_gets_what_the_host_knows() {
    let around = Around {
        at: 72_000,
        numbers: BTreeMap::from([("number".parse().unwrap(), 42)]),
        ..Around::default()
    };
    assert_eq!(
        Value::Object(around.created(json!({"title": "A"}))),
        json!({
            "number": "D-0042", "title": "A", "quantity": 1, "lines": 0, "stage": "new",
            "owner": "u-1", "opened_by": "u-1", "touched_by": "u-1",
            // Eight in the evening in Greenwich is the next day in Tokyo.
            "opened_on": "1970-01-02",
            "opened_at": "1970-01-01T20:00:00Z", "touched_at": "1970-01-01T20:00:00Z",
        })
    );
    let own = around.created(json!({"title": "A", "owner": "u-2", "opened_on": "2020-01-01"}));
    assert_eq!(
        (&own["owner"], &own["opened_on"]),
        (&json!("u-2"), &json!("2020-01-01"))
    );
}

#[test]
fn formulas_are_exact_and_follow_each_other() {
    let around = Around::default();
    let deal = around.created(json!({
        "title": "A", "quantity": 3, "unit_price": "33333333.1234567891",
        "approval": "yes",
    }));
    assert_eq!(deal["total"], json!("99999999.3703703673"));
    assert_eq!(deal["taxed"], json!("119999999.24"));
    let deal = around.updated(&deal, json!({"quantity": 2, "unit_price": "0.10"}));
    assert_eq!(
        (&deal["total"], &deal["taxed"]),
        (&json!("0.2"), &json!("0.24"))
    );
    let deal = around.updated(&deal, json!({"unit_price": null}));
    assert_eq!((deal.get("total"), deal.get("taxed")), (None, None));
}

#[test]
fn formulas_look_behind_a_relation() {
    let related = data(json!({"name": "Acme", "discount": "0.25"}));
    let around = Around {
        related: BTreeMap::from([(company(), related)]),
        ..Around::default()
    };
    let deal = json!({"title": "A", "unit_price": "100", "company": company()});
    assert_eq!(around.created(deal.clone())["total"], json!("75"));
    assert_eq!(Around::default().created(deal)["total"], json!("100"));
    let model = sales_model();
    let related: Vec<_> = model.module(&deals()).unwrap().related_fields().collect();
    assert_eq!(
        related,
        [(&"company".parse().unwrap(), &"companies".parse().unwrap())]
    );
}

#[test]
fn rollups_come_from_around_and_are_kept_otherwise() {
    let mut around = Around::default();
    let price = json!({"amount": "10", "currency": "CHF"});
    let deal = around.created(json!({"title": "A", "price": price}));
    assert_eq!(
        (deal.get("lines"), deal.get("per_line")),
        (Some(&json!(0)), None)
    );
    assert!(around.recomputed(&deal).is_none());

    around.at = 60;
    around.rollups = BTreeMap::from([
        ("lines".parse().unwrap(), json!(4)),
        ("line_total".parse().unwrap(), json!("12.50")),
        ("title".parse().unwrap(), json!("no rollup")),
    ]);
    let change = around.recomputed(&deal).unwrap();
    assert_eq!(
        changed(&change),
        ["line_total", "lines", "per_line", "touched_at"]
    );
    let deal = change.after().unwrap().clone();
    assert_eq!(deal["per_line"], json!("2.5"));
    assert!(around.recomputed(&deal).is_none());

    let kept = Around::default().updated(&deal, json!({"title": "B"}));
    assert_eq!(
        (&kept["lines"], &kept["line_total"]),
        (&json!(4), &json!("12.50"))
    );
    around.rollups = BTreeMap::from([("line_total".parse().unwrap(), Value::Null)]);
    let change = around.recomputed(&deal).unwrap();
    assert_eq!(change.after().unwrap().get("line_total"), None);
}

#[test]
fn nobody_sends_what_is_computed() {
    let mut found = refusals(
        json!({"title": "A", "total": "1", "lines": 3, "number": "D-1", "opened_by": "u-9"}),
        None,
    );
    found.sort();
    let pointers = [
        "/data/lines",
        "/data/number",
        "/data/opened_by",
        "/data/total",
    ];
    assert_eq!(
        found,
        pointers.map(|at| (at.to_owned(), "computed".to_owned()))
    );
    let deal = Around::default().created(json!({"title": "A", "unit_price": "2", "total": null}));
    for patch in [
        json!({"total": "3"}),
        json!({"total": null}),
        json!({"touched_at": "x"}),
    ] {
        assert_eq!(refusals(patch, Some(&deal))[0].1, "computed");
    }
}

#[test]
fn what_was_read_can_be_sent_back() {
    let later = Around {
        at: 60,
        ..Around::default()
    };
    let mut deal = Around::default().created(json!({"title": "A", "unit_price": "2"}));
    deal.insert("score".to_owned(), json!(5));
    deal.insert("legacy".to_owned(), json!("kept"));
    deal.insert("was_a_field".to_owned(), json!("gone"));
    let model = sales_model();
    let module = model.module(&deals()).unwrap();
    let read = module.visible(&deal).into_owned();
    assert!(!read.contains_key("legacy") && !read.contains_key("was_a_field"));
    let base = stored(&deal);
    for mutation in [
        replace(read.clone()),
        update(Value::Object(read.clone())),
        update(json!({})),
    ] {
        assert_eq!(later.run(&mutation, Some(&base)), Ok(Validated::Unchanged));
    }
    let little = data(json!({"title": "B", "quantity": 1, "unit_price": "2", "stage": "new"}));
    let after = after(later.run(&replace(little), Some(&base)));
    assert_eq!(
        (&after["legacy"], &after["score"]),
        (&json!("kept"), &json!(5))
    );
    assert_eq!((&after["total"], after.get("owner")), (&json!("2"), None));
    assert_eq!(after["touched_at"], json!("1970-01-01T00:01:00Z"));
    assert_eq!(
        (after.get("was_a_field"), after.get("opened_on")),
        (None, None)
    );
}

#[test]
fn retired_fields_are_there_for_nobody() {
    let mut deal = Around::default().created(json!({"title": "A"}));
    assert_eq!(
        refusals(json!({"legacy": "x"}), Some(&deal)),
        one("/data/legacy", "unknown_field")
    );
    deal.insert("legacy".to_owned(), json!("kept"));
    let after = Around::default().updated(&deal, json!({"title": "B"}));
    assert_eq!(after["legacy"], json!("kept"));
    let model = sales_model();
    let schema = model.module(&deals()).unwrap().schema();
    assert!(schema["properties"].get("legacy").is_none());
    assert_eq!(schema["required"], json!(["title"]));
}

#[test]
fn unknown_fields_are_named_with_the_nearest_known_one() {
    let run = |value| violations(Around::default().run(&create(value), None));
    let found = run(json!({"title": "A", "quantitty": 1}));
    assert_eq!(
        found[0].2,
        "there is no such field; did you mean “quantity”?"
    );
    let found = run(json!({"title": "A", "colour": 1}));
    assert_eq!(found[0].2, "there is no such field");
}

#[test]
fn what_applies_depends_on_the_record() {
    let deal = Around::default().created(json!({"title": "A"}));
    assert_eq!(
        refusals(json!({"stage": "lost"}), Some(&deal)),
        one("/data/reason", "required")
    );
    assert_eq!(
        refusals(json!({"reason": "x"}), Some(&deal)),
        one("/data/reason", "not_visible")
    );
    let lost = Around::default().updated(&deal, json!({"stage": "lost", "reason": "x"}));
    assert_eq!(lost["reason"], json!("x"));
    assert_eq!(
        refusals(json!({"quantity": 1001, "unit_price": "1"}), Some(&deal)),
        one("/data/approval", "required")
    );
    Around::default().updated(&deal, json!({"quantity": 1000, "unit_price": "1"}));
}

#[test]
fn what_stood_there_before_may_stay_unseen() {
    let mut deal = Around::default().created(json!({"title": "A"}));
    deal.insert("reason".to_owned(), json!("from another time"));
    let after = Around::default().updated(&deal, json!({"title": "B"}));
    assert_eq!(after["reason"], json!("from another time"));
}

#[test]
fn a_default_that_does_not_apply_is_not_written() {
    let model = Model::compile(source(json!({"modules": [
        {"slug": "deals", "label": "Deal", "fields": [
            {"key": "kind", "label": "Kind", "type": "text"},
            {"key": "colour", "label": "Colour", "type": "text", "default": "red",
             "visible_if": "record.kind == 'car'"},
            {"key": "shout", "label": "Shout", "type": "formula", "result": "text",
             "expression": "upper(record.colour ?? 'none')"},
        ]}],
        "roles": [{"slug": "owner", "label": "Owner", "permissions": {"*": ["*"]}}],
    })))
    .unwrap();
    let owner = actor("owner");
    let permit = permit(&model, Authority::User(&owner), Action::Create, &deals()).unwrap();
    let around = Around::default();
    let make = |value| {
        after(validate(
            &model,
            &permit,
            &create(value),
            record(),
            None,
            &around.surroundings(),
        ))
    };
    assert_eq!(
        Value::Object(make(json!({"kind": "car"})))["shout"],
        json!("RED")
    );
    assert_eq!(Value::Object(make(json!({}))), json!({"shout": "NONE"}));
}

#[test]
fn some_fields_are_not_for_people_to_change() {
    let deal = Around::default().created(json!({"title": "A", "unit_price": "1", "budget": 5}));
    assert_eq!(
        refusals(json!({"score": 1}), Some(&deal)),
        one("/data/score", "read_only")
    );
    assert_eq!(
        refusals(json!({"title": "A", "score": 1}), None),
        one("/data/score", "read_only")
    );
    let offer = Around::default().updated(&deal, json!({"stage": "offer", "budget": 6}));
    assert_eq!(
        refusals(json!({"budget": 7}), Some(&offer)),
        one("/data/budget", "read_only")
    );
    assert_eq!(
        refusals(json!({"budget": null}), Some(&offer)),
        one("/data/budget", "read_only")
    );
    Around::default().updated(&offer, json!({"budget": 6, "title": "B"}));
}

#[test]
fn plugins_write_read_only_fields_and_no_computed_ones() {
    let model = sales_model();
    let capabilities: Capabilities = serde_json::from_value(json!({
        "writes": {"deals": {"operations": ["update"], "fields": ["score", "total"]}},
    }))
    .unwrap();
    let grant = Grant::new(capabilities.clone(), capabilities);
    let owner = actor("owner");
    let authority = Authority::Plugin {
        grant: &grant,
        behalf_of: &owner,
    };
    let permit = permit(&model, authority, Action::Update, &deals()).unwrap();
    let around = Around::default();
    let mut deal = around.created(json!({"title": "A"}));
    deal.insert("was_a_field".to_owned(), json!("gone"));
    let base = stored(&deal);
    let run = |patch| {
        let surroundings = around.surroundings();
        validate(
            &model,
            &permit,
            &update(patch),
            record(),
            Some(&base),
            &surroundings,
        )
    };
    assert_eq!(after(run(json!({"score": 1})))["score"], json!(1));
    assert_eq!(violations(run(json!({"total": "1"})))[0].1, "computed");
    assert_eq!(violations(run(json!({"title": "B"})))[0].1, "forbidden");
}

#[test]
fn a_pipeline_says_what_may_follow_and_what_is_needed() {
    let deal = Around::default().created(json!({"title": "A"}));
    assert_eq!(
        refusals(json!({"stage": "offer"}), Some(&deal)),
        one("/data/unit_price", "required")
    );
    let offer = Around::default().updated(&deal, json!({"stage": "offer", "unit_price": "1"}));
    let lost = Around::default().updated(&offer, json!({"stage": "lost", "reason": "x"}));
    let result = Around::default().run(&update(json!({"stage": "new"})), Some(&stored(&lost)));
    let (pointer, code, message) = violations(result).remove(0);
    assert_eq!(
        (pointer.as_str(), code.as_str()),
        ("/data/stage", "transition")
    );
    assert!(message.ends_with("none: this stage is final"), "{message}");
    assert_eq!(
        refusals(json!({"stage": null}), Some(&lost)),
        one("/data/stage", "transition")
    );
    let offer_again = json!({"title": "B", "stage": "offer"});
    assert_eq!(
        Around::default().updated(&offer, offer_again)["title"],
        json!("B")
    );
    let skipping = Around::default().run(&update(json!({"stage": "won"})), Some(&stored(&deal)));
    assert_eq!(violations(skipping)[0].1, "enum");
}

#[test]
fn a_dependent_select_follows_its_parent() {
    let create = |value: Value| {
        let mut deal = data(json!({"title": "A"}));
        deal.extend(data(value));
        Around::default().run(&create(Value::Object(deal)), None)
    };
    for value in [
        json!({"country": "ch", "region": "zh"}),
        json!({"region": "other"}),
        json!({"country": "ch"}),
    ] {
        assert!(create(value.clone()).is_ok(), "{value}");
    }
    for value in [
        json!({"country": "de", "region": "zh"}),
        json!({"region": "zh"}),
    ] {
        let (pointer, code, message) = violations(create(value)).remove(0);
        assert_eq!(
            (pointer.as_str(), code.as_str()),
            ("/data/region", "option")
        );
        assert!(message.contains("use one of: "), "{message}");
    }
}

#[test]
fn rules_hold_across_fields() {
    let deal = json!({"title": "A", "opened_on": "2026-02-01", "closes_on": "2026-01-31"});
    let found = violations(Around::default().run(&create(deal), None));
    let expected = (
        "/data/closes_on",
        "rule",
        "A deal closes after it was opened.",
    );
    let (pointer, code, message) = &found[0];
    assert_eq!(
        (pointer.as_str(), code.as_str(), message.as_str()),
        expected
    );
    assert_eq!(found.len(), 1);

    let deal = Around::default().created(json!({"title": "A", "country": "ch"}));
    assert_eq!(
        refusals(json!({"country": "de"}), Some(&deal)),
        one("/data", "rule")
    );
    Around::default().updated(&deal, json!({"country": "de", "region": "by"}));
}

#[test]
fn what_follows_from_a_wrong_value_is_not_reported_on_top() {
    let found = refusals(
        json!({"title": "A", "closes_on": "soon", "stage": "gone"}),
        None,
    );
    assert_eq!(
        found,
        [
            ("/data/stage".to_owned(), "enum".to_owned()),
            ("/data/closes_on".to_owned(), "format".to_owned()),
        ]
    );
}

#[test]
fn new_references_of_a_list_are_those_that_were_not_in_it() {
    let other = RecordId::new(Uuid::from_u128(9));
    let deal = Around::default().created(json!({"title": "A", "partners": [company()]}));
    let patch = update(json!({"partners": [company(), other], "company": other}));
    let Ok(Validated::Change(change)) = Around::default().run(&patch, Some(&stored(&deal))) else {
        unreachable!()
    };
    let model = sales_model();
    let module = model.module(&deals()).unwrap();
    let found: Vec<_> = change
        .new_references(module)
        .map(|(field, target, record)| (field.as_str(), target.as_str(), record))
        .collect();
    assert_eq!(
        found,
        [
            ("company", "companies", other),
            ("partners", "companies", other)
        ]
    );
}

#[test]
fn a_restored_record_is_computed_anew() {
    let deal = Around::default().created(json!({"title": "A", "unit_price": "2"}));
    let around = Around {
        at: 60,
        rollups: BTreeMap::from([("lines".parse().unwrap(), json!(2))]),
        ..Around::default()
    };
    let restore = Mutation::Restore {
        module: deals(),
        record_id: record(),
    };
    let Ok(Validated::Change(change)) = around.run(&restore, Some(&stored(&deal))) else {
        unreachable!()
    };
    assert_eq!(
        (change.kind(), change.before()),
        (EventKind::RecordRestored, None)
    );
    assert_eq!(change.after().unwrap()["lines"], json!(2));
    assert_eq!(
        change.after().unwrap()["touched_at"],
        json!("1970-01-01T00:01:00Z")
    );
}
