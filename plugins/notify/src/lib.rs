//! Tells people inside of the CRM.
//!
//! Configuration: `{"to": ["{{ owner }}", "role:manager"], "title": "{{ after.name }} is here",
//! "body": "…"}`. All are messages over the event; what `to` gives are users' ids, or `role:` and a
//! role's name.

use crm_actions::{Message, Record, context, messages};
use crm_plugin_sdk::{Answer, Event, Failure, Notification, Outcome};
use serde::Deserialize;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    to: Vec<Message>,
    title: Message,
    body: Option<Message>,
}

/// One notification.
///
/// # Errors
/// Skips when there is nobody to tell; fails where a message cannot be written.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    let context = context(&event);
    let mut to: Vec<String> = Vec::new();
    for person in messages(&config.to, &event, &context)? {
        if !to.contains(&person) {
            to.push(person);
        }
    }
    if to.is_empty() {
        return Err(Failure::skip("there is nobody to tell"));
    }
    let body = config.body.map(|body| body.text(&event, &context));
    Ok(Answer::new().and(Notification {
        to,
        title: config.title.text(&event, &context)?,
        body: body.transpose()?,
    }))
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::{Effect, json, testing};
    use serde_json::Value;

    fn told(record: Value, config: Value) -> Outcome {
        let event = testing::created("leads", record);
        run(event, serde_json::from_value(config).unwrap())
    }

    #[test]
    fn the_owner_and_a_role_are_told() {
        let _host = testing::host().record("leads", testing::RECORD_ID, json!({}));
        let config = json!({
            "to": ["{{ owner }}", "role:manager", "{{ after.agent }}", "{{ owner }}"],
            "title": "{{ after.name }} is here",
            "body": "{% if after.vip %}With flowers{% endif %}",
        });
        let answer = told(json!({ "name": "Ada", "vip": true }), config).unwrap();
        let expected = Notification {
            to: vec!["tester".to_owned(), "role:manager".to_owned()],
            title: "Ada is here".to_owned(),
            body: Some("With flowers".to_owned()),
        };
        assert_eq!(answer.effects, [Effect::Notify(expected)]);
    }

    #[test]
    fn without_anybody_there_is_nothing_to_do() {
        let outcome = told(
            json!({}),
            json!({ "to": ["{{ after.agent }}"], "title": "x" }),
        );
        assert_eq!(outcome, Err(Failure::skip("there is nobody to tell")));
    }
}
