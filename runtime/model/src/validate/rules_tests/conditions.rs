//! What a record has to satisfy, depending on the rest of it.

use super::*;

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
