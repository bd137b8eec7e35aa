use super::*;
use crm_plugin_sdk::testing;
use serde_json::Value;

fn item(carat: &str, amount: &str) -> Value {
    json!({ "carat": carat, "price": { "amount": amount, "currency": "USD" } })
}

fn defaults() -> Config {
    serde_json::from_value(json!({})).unwrap()
}

fn valued(carat: &str, amount: &str) -> (String, String) {
    let event = testing::created("items", item(carat, amount));
    let mutations = run(event, defaults()).unwrap().mutations;
    let Some(Mutation::Update { patch, .. }) = mutations.first() else {
        panic!("{mutations:?}")
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&patch["price_per_carat"]["amount"]),
        text(&patch["value_band"]),
    )
}

#[test]
fn a_new_item_is_valued_and_the_timeline_says_so() {
    let event = testing::created("items", item("0.23", "326"));
    let expected = vec![
        Mutation::update(
            &event,
            json!({
                "price_per_carat": { "amount": "1417.39", "currency": "USD" },
                "value_band": "entry",
            }),
        ),
        Mutation::activity(
            &event,
            ActivityKind::System,
            "Valued at USD 1417.39 per carat: entry",
        ),
    ];
    assert_eq!(run(event, defaults()), Ok(expected.into()));
}

#[test]
fn prices_per_carat_are_rounded_half_away_from_zero() {
    for (carat, amount, per_carat) in [
        ("1", "326", "326.00"),
        ("8", "0.04", "0.01"),
        ("2", "0.01", "0.01"),
        ("8", "0.036", "0.00"),
        ("2", "0.25", "0.13"),
        ("2", "0.27", "0.14"),
        ("3", "100", "33.33"),
        ("3", "200", "66.67"),
        ("0.2", "367", "1835.00"),
    ] {
        assert_eq!(
            valued(carat, amount).0,
            per_carat,
            "{amount} for {carat} carat"
        );
    }
}

#[test]
fn a_band_ends_just_below_its_threshold() {
    for (per_carat, band) in [
        ("0", "entry"),
        ("1999.99", "entry"),
        ("2000", "classic"),
        ("3999.99", "classic"),
        ("4000", "fine"),
        ("7999.99", "fine"),
        ("8000", "exceptional"),
        ("17828.85", "exceptional"),
    ] {
        assert_eq!(valued("1", per_carat).1, band, "{per_carat}");
    }
}

#[test]
fn thresholds_come_from_the_configuration() {
    let config = json!({
        "currency": "JPY",
        "decimals": 0,
        "bands": [{ "name": "low", "below": "100000" }],
        "top_band": "high",
    });
    let record = json!({ "carat": "0.3", "price": { "amount": "29999", "currency": "JPY" } });
    let mutations = run(
        testing::created("items", record),
        serde_json::from_value(config).unwrap(),
    )
    .unwrap()
    .mutations;
    let Some(Mutation::Update { patch, .. }) = mutations.first() else {
        panic!("{mutations:?}")
    };
    assert_eq!(
        patch["price_per_carat"],
        json!({ "amount": "99997", "currency": "JPY" })
    );
    assert_eq!(patch["value_band"], "low");
    assert!(serde_json::from_value::<Config>(json!({ "band": [] })).is_err());
}

#[test]
fn what_is_already_right_is_left_alone() {
    let mut record = item("0.23", "326.00");
    record["price_per_carat"] = json!({ "amount": "1417.39", "currency": "USD" });
    record["value_band"] = json!("entry");
    let outcome = run(testing::created("items", record.clone()), defaults());
    assert_eq!(
        outcome,
        Err(Failure::skip("the valuation is already right"))
    );

    record["value_band"] = json!("fine");
    assert!(run(testing::created("items", record), defaults()).is_ok());
}

#[test]
fn what_cannot_be_valued_is_skipped_or_fails() {
    let price = json!({ "amount": "1", "currency": "USD" });
    for record in [
        json!({}),
        json!({ "carat": "1" }),
        json!({ "price": price, "carat": null }),
    ] {
        let outcome = run(testing::created("items", record), defaults());
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
    let outcome = run(testing::deleted("items", item("1", "1")), defaults());
    assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");

    let euros = json!({ "carat": "1", "price": { "amount": "1", "currency": "EUR" } });
    let tiny = item(
        "0.0000000000000000000000000001",
        "79228162514264337593543950335",
    );
    for record in [item("0", "326"), item("-1", "326"), euros, tiny] {
        let outcome = run(testing::created("items", record), defaults());
        assert!(matches!(outcome, Err(Failure::Fail(_))), "{outcome:?}");
    }
}
