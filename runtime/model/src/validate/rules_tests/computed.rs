//! What the host gives: defaults, numbers, formulas, rollups.

use super::*;

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
