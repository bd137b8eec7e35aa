use super::*;
use crm_plugin_sdk::{EventKind, testing};

fn rates() -> Value {
    json!({ "base": "EUR", "rates": { "USD": "1.0870", "CHF": "0.9500", "JPY": "161.93" } })
}

fn config(currency: &str, decimals: u32) -> Config {
    let config = json!({
        "from": "price", "to": "home", "currency": currency, "decimals": decimals,
    });
    serde_json::from_value(config).unwrap()
}

fn converted(price: Value, currency: &str, decimals: u32) -> Result<Value, Failure> {
    let event = testing::created("items", json!({ "price": price }));
    let answer = run(event, config(currency, decimals))?;
    match answer.mutations.into_iter().next() {
        Some(Mutation::Update { patch, .. }) => Ok(patch["home"].clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn amounts_are_converted_exactly() {
    let _host = testing::host().state(KEY, rates());
    for (amount, from, to, decimals, expected) in [
        ("100", "EUR", "USD", 2, "108.70"),
        ("108.70", "USD", "EUR", 2, "100.00"),
        ("100", "USD", "CHF", 2, "87.40"),
        ("0.01", "EUR", "JPY", 0, "2"),
        ("-1.005", "CHF", "CHF", 2, "-1.01"),
        (
            "79228162514264337593543950",
            "EUR",
            "USD",
            2,
            "86121012653005334964182273.65",
        ),
    ] {
        let price = json!({ "amount": amount, "currency": from });
        let expected = json!({ "amount": expected, "currency": to });
        assert_eq!(
            converted(price, to, decimals),
            Ok(expected),
            "{amount} {from}"
        );
    }
}

#[test]
fn an_event_that_brings_rates_has_them_kept() {
    for payload in [
        rates(),
        json!({ "status": 200, "body": rates() }),
        json!({ "status": 200, "body": rates().to_string() }),
    ] {
        let host = testing::host();
        let event = testing::happened(EventKind::AnswerReceived, "items", json!({}), payload);
        assert_eq!(run(event, config("USD", 2)), Ok(Answer::new()));
        assert_eq!(host.kept(KEY), Some(rates()));
    }
    for rate in [json!("0"), json!("-1"), json!(1.1), json!("much")] {
        let host = testing::host();
        let payload = json!({ "base": "EUR", "rates": { "USD": rate } });
        let event = testing::happened(EventKind::Called, "items", json!({}), payload);
        let outcome = run(event, config("USD", 2));
        assert!(matches!(outcome, Err(Failure::Fail(_))), "{outcome:?}");
        assert_eq!(host.kept(KEY), None);
    }
}

#[test]
fn rates_of_the_configuration_hold_until_some_are_kept() {
    let mut config = config("USD", 2);
    config.rates = serde_json::from_value(json!({ "base": "EUR", "rates": { "USD": "2" } })).ok();
    let price = json!({ "amount": "1", "currency": "EUR" });
    let run = |config| run(testing::created("items", json!({ "price": price })), config);
    let amount = |outcome: Outcome| match outcome.unwrap().mutations.into_iter().next() {
        Some(Mutation::Update { patch, .. }) => patch["home"]["amount"].clone(),
        other => panic!("{other:?}"),
    };
    let _host = testing::host();
    assert_eq!(amount(run(config)), json!("2.00"));
    let mut config = self::config("USD", 2);
    config.rates = serde_json::from_value(json!({ "base": "EUR", "rates": { "USD": "2" } })).ok();
    let _host = testing::host().state(KEY, rates());
    assert_eq!(amount(run(config)), json!("1.09"));
}

#[test]
fn what_cannot_be_converted_says_why() {
    let _host = testing::host();
    let price = json!({ "amount": "1", "currency": "EUR" });
    let no_rates = converted(price.clone(), "USD", 2);
    assert_eq!(no_rates, Err(Failure::fail("there are no rates yet")));
    let _host = testing::host().state(KEY, rates());
    for (price, currency, reason) in [
        (price.clone(), "XXX", "there is no rate for XXX"),
        (
            json!({ "amount": 1, "currency": "EUR" }),
            "USD",
            "`price` is no amount of money",
        ),
        (
            json!({ "amount": "79228162514264337593543950335", "currency": "EUR" }),
            "JPY",
            "the converted amount is out of range",
        ),
    ] {
        let Err(Failure::Fail(message)) = converted(price, currency, 2) else {
            panic!("{reason}")
        };
        assert!(message.starts_with(reason), "{message}");
    }
}

#[test]
fn what_is_right_or_not_there_is_left_alone() {
    let _host = testing::host().state(KEY, rates());
    let right = json!({
        "price": { "amount": "100", "currency": "EUR" },
        "home": { "amount": "108.70", "currency": "USD" },
    });
    for record in [json!({}), json!({ "price": null }), right.clone()] {
        let outcome = run(testing::created("items", record), config("USD", 2));
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
    let mut cleared = right;
    cleared["price"] = Value::Null;
    let answer = run(testing::created("items", cleared), config("USD", 2)).unwrap();
    let expected = Mutation::update_record("items", testing::RECORD_ID, json!({ "home": null }));
    assert_eq!(answer.mutations, [expected]);
}
