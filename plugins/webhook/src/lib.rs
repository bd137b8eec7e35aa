//! Tells another system what happened: a signed message to an address that the tenant keeps under
//! a name.
//!
//! Configuration: `{"endpoint": "shop", "topic": "order.paid", "payload": {"number":
//! "after.number"}}`. Without a topic it is the module and what happened,
//! `patients.record_created`; without a payload, the event with its record before and after.

use crm_actions::{Formulas, Record, context};
use crm_plugin_sdk::{Answer, Event, Outcome, Webhook, json};
use serde::Deserialize;
use serde_json::Value;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    endpoint: String,
    topic: Option<String>,
    #[serde(default)]
    payload: Formulas,
}

/// One message.
///
/// # Errors
/// Fails, naming the member, where an expression of the payload cannot be evaluated.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    let context = context(&event);
    let payload = if config.payload.is_empty() {
        json!({ "event": context.get("event"), "before": event.before, "after": event.after })
    } else {
        Value::Object(config.payload.values(&context)?)
    };
    let usual = || format!("{}.{}", event.module, event.kind.name());
    Ok(Answer::new().and(Webhook {
        endpoint: config.endpoint,
        topic: config.topic.unwrap_or_else(usual),
        payload,
    }))
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::{Effect, Failure, testing};

    fn sent(event: Event<Record>, config: Value) -> Webhook {
        let answer = run(event, serde_json::from_value(config).unwrap()).unwrap();
        match answer.effects.as_slice() {
            [Effect::Webhook(webhook)] => webhook.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_says_what_it_is_told_to() {
        let event = testing::created("orders", json!({ "number": "7", "total": "1.10" }));
        let config = json!({
            "endpoint": "shop", "topic": "order.paid",
            "payload": { "number": "after.number", "twice": "number(after.total) * 2" },
        });
        let expected = Webhook {
            endpoint: "shop".to_owned(),
            topic: "order.paid".to_owned(),
            payload: json!({ "number": "7", "twice": "2.20" }),
        };
        assert_eq!(sent(event, config), expected);
    }

    #[test]
    fn without_a_payload_it_is_the_event_and_the_records() {
        let event = testing::updated("orders", json!({ "n": 1 }), json!({ "n": 2 }));
        let webhook = sent(event, json!({ "endpoint": "shop" }));
        assert_eq!(webhook.topic, "orders.record_updated");
        assert_eq!(webhook.payload["before"], json!({ "n": 1 }));
        assert_eq!(webhook.payload["after"], json!({ "n": 2 }));
        assert_eq!(webhook.payload["event"]["changed_fields"], json!(["n"]));
        let event = testing::deleted("orders", json!({ "n": 1 }));
        let webhook = sent(event, json!({ "endpoint": "shop" }));
        assert_eq!(webhook.payload["after"], Value::Null);
    }

    #[test]
    fn a_bad_expression_fails_by_the_name_of_its_member() {
        let event = testing::created("orders", json!({ "n": "x" }));
        let config = json!({ "endpoint": "shop", "payload": { "n": "after.n * 2" } });
        let outcome = run(event, serde_json::from_value(config).unwrap());
        let Err(Failure::Fail(message)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(message.starts_with("field `n`: "), "{message}");
    }
}
