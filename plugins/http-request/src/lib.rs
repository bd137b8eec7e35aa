//! Asks another system something, and writes down what it answers.
//!
//! Configuration: `{"method": "POST", "url": "https://api.example.com/score", "headers":
//! {"authorization": "Bearer {{ secrets.example }}"}, "body": {"email": "after.email"}, "answer":
//! {"credit_score": "answer.body.score"}}`. Address and headers are texts with expressions in
//! them, `body` is a JSON object made of expressions, and `answer` sets fields of the event's
//! record from `answer`: its `status`, and its `body`, read as JSON where it is JSON.

use crm_actions::{Formulas, Record, Text, context, current, not_gone, put};
use crm_plugin_sdk::{Answer, Event, EventKind, Failure, HttpRequest, Mutation, Outcome, json};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Names the request; a step sends one.
const KEY: &str = "request";

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "post")]
    method: String,
    url: Text,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    #[serde(default)]
    body: Formulas,
    #[serde(default)]
    answer: Formulas,
}

fn post() -> String {
    "POST".to_owned()
}

/// One request or, for the answer to one, an update of the record.
///
/// # Errors
/// Skips when the record is gone and when the answer changes nothing; fails where an expression
/// cannot be evaluated and where the other system refuses.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    not_gone(&event)?;
    match event.kind {
        EventKind::AnswerReceived => written_down(&event, &config),
        _ => asked(&event, &config),
    }
}

fn asked(event: &Event<Record>, config: &Config) -> Outcome {
    let context = context(event);
    let mut headers = Vec::new();
    for (name, value) in &config.headers {
        headers.push((name.clone(), value.of(event, &context)?));
    }
    let body = if config.body.is_empty() {
        None
    } else {
        let body = Value::Object(config.body.values(&context)?);
        if !config
            .headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("content-type"))
        {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Some(body.to_string())
    };
    Ok(Answer::new().and(HttpRequest {
        key: KEY.to_owned(),
        method: config.method.clone(),
        url: config.url.of(event, &context)?,
        headers,
        body,
        wants_answer: !config.answer.is_empty(),
    }))
}

fn written_down(event: &Event<Record>, config: &Config) -> Outcome {
    let answer = answer(event.payload.as_ref());
    if let Some(reason) = answer.get("error").and_then(Value::as_str) {
        let reason = format!("the other system did not answer: {reason}");
        return Err(Failure::fail(reason));
    }
    let status = answer.get("status").and_then(Value::as_u64);
    let status = status.unwrap_or_default();
    if !(200..300).contains(&status) {
        let reason = format!("the other system answered with the status {status}");
        return Err(Failure::fail(reason));
    }
    let mut context = context(event);
    put(&mut context, "answer", answer);
    let patch = config.answer.changes(&context, current(event)?)?;
    if patch.is_empty() {
        return Err(Failure::skip("the answer changes nothing"));
    }
    Ok(Mutation::update(event, Value::Object(patch)).into())
}

/// The answer, its body as JSON where it is.
fn answer(payload: Option<&Value>) -> Value {
    let mut answer = payload.cloned().unwrap_or_else(|| json!({}));
    let text = answer.get("body").and_then(Value::as_str);
    if let Some(body) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        put(&mut answer, "body", body);
    }
    answer
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::{Effect, testing};

    fn config() -> Config {
        serde_json::from_value(json!({
            "url": "https://api.example.com/score?id={{ event.record_id }}",
            "headers": { "authorization": "Bearer {{ secrets.example }}" },
            "body": { "email": "after.email" },
            "answer": { "credit_score": "answer.body.score" },
        }))
        .unwrap()
    }

    fn answered(payload: Value) -> Outcome {
        let record = json!({ "email": "ada@example.com", "credit_score": 7 });
        run(
            testing::happened(EventKind::AnswerReceived, "leads", record, payload),
            config(),
        )
    }

    #[test]
    fn a_request_carries_the_secrets_handle_and_nothing_else_of_it() {
        let _host = testing::host().secret("example");
        let event = testing::created("leads", json!({ "email": "ada@example.com" }));
        let answer = run(event, config()).unwrap();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = HttpRequest {
            key: "request".to_owned(),
            method: "POST".to_owned(),
            url: format!("https://api.example.com/score?id={}", testing::RECORD_ID),
            headers: vec![
                header("authorization", "Bearer handle-of-example"),
                header("content-type", "application/json"),
            ],
            body: Some(json!({ "email": "ada@example.com" }).to_string()),
            wants_answer: true,
        };
        assert_eq!(answer.effects, [Effect::Http(expected)]);
    }

    #[test]
    fn the_answer_is_written_down_where_it_says_something_new() {
        for body in [json!({ "score": 9 }), json!("{\"score\": 9}")] {
            let answer = answered(json!({ "status": 200, "body": body })).unwrap();
            let patch = json!({ "credit_score": 9 });
            let expected = Mutation::update_record("leads", testing::RECORD_ID, patch);
            assert_eq!(answer.mutations, [expected]);
        }
        let outcome = answered(json!({ "status": 200, "body": { "score": 7 } }));
        assert_eq!(outcome, Err(Failure::skip("the answer changes nothing")));
    }

    #[test]
    fn a_refusal_fails_the_run() {
        for (payload, reason) in [
            (
                json!({ "status": 403, "body": "no" }),
                "the other system answered with the status 403",
            ),
            (json!({}), "the other system answered with the status 0"),
            (
                json!({ "error": "too late" }),
                "the other system did not answer: too late",
            ),
        ] {
            assert_eq!(answered(payload), Err(Failure::fail(reason)));
        }
    }

    #[test]
    fn a_request_without_body_and_answer_is_as_short_as_that() {
        let config = json!({ "method": "GET", "url": "https://api.example.com/ping" });
        let event = testing::created("leads", json!({}));
        let answer = run(event, serde_json::from_value(config).unwrap()).unwrap();
        let [Effect::Http(request)] = answer.effects.as_slice() else {
            panic!("{answer:?}")
        };
        assert_eq!((request.method.as_str(), &request.body), ("GET", &None));
        assert!(request.headers.is_empty() && !request.wants_answer);
    }
}
