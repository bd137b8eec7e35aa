//! Who may send what.

use super::*;
use crate::capability::{Capabilities, Grant};

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
    let read = model.sight(module, None).show(&deal).into_owned();
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
        run_as: crate::permission::RunAs::Person,
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
fn a_plugin_answers_for_what_it_sends_and_not_for_defaults() {
    let model = sales_model();
    let capabilities: Capabilities = serde_json::from_value(json!({
        "writes": {"deals": {"operations": ["create"], "fields": ["title"]}},
    }))
    .unwrap();
    let grant = Grant::new(capabilities.clone(), capabilities);
    let owner = actor("owner");
    let authority = Authority::Plugin {
        grant: &grant,
        behalf_of: &owner,
        run_as: crate::permission::RunAs::Person,
    };
    let permit = permit(&model, authority, Action::Create, &deals()).unwrap();
    let around = Around::default();
    let run = |value| {
        let surroundings = around.surroundings();
        validate(
            &model,
            &permit,
            &create(value),
            record(),
            None,
            &surroundings,
        )
    };
    assert_eq!(after(run(json!({"title": "A"})))["quantity"], json!(1));
    let found = violations(run(json!({"title": "A", "quantity": 1})));
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str()),
        ("/data/quantity", "forbidden")
    );
}
