//! Calls in our own sandbox.

use crm_model::Grant;
use crm_model::capability::Capabilities;
use crm_sandbox::{
    ActionCall, Answer, Answering, FoundRecord, GuestHost, LimitOverrides, Question, Refusal,
    RunFailure, Sandbox, SandboxSettings,
};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::calls::Case;

pub(crate) const ZONE: &str = "Europe/Berlin";
pub(crate) const LOCALE: &str = "de";
pub(crate) const KEY: &str = "the same each time";

/// Finds the case's records, whatever is asked.
struct Records(Option<Vec<Value>>);

impl GuestHost for Records {
    fn answer<'a>(&'a mut self, question: &'a Question) -> Answering<'a> {
        let answer = match (question, &self.0) {
            (Question::RecordQuery { .. }, Some(records)) => Answer::Page {
                records: records.iter().map(found).collect(),
                next_cursor: None,
            },
            _ => Answer::Refused(Refusal::Unavailable("nobody is there".to_owned())),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn found(data: &Value) -> FoundRecord {
    FoundRecord {
        id: "01970000-0000-7000-8000-000000000009".to_owned(),
        version: 1,
        data: data.to_string(),
        owner_id: "ada".to_owned(),
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        updated_at: "2026-01-01T00:00:00Z".to_owned(),
    }
}

/// What the component answers to each case: mutations and effects, or a failure with its message.
pub(crate) async fn answers(component: &[u8], cases: &[Case]) -> Vec<Value> {
    let settings = SandboxSettings {
        cache: Some(crm_tests::cluster::code_cache()),
        ..SandboxSettings::default()
    };
    let sandbox = Sandbox::new(settings).unwrap();
    let plugin = tokio::task::block_in_place(|| sandbox.load(component)).unwrap();
    let all = json!({ "reads": ["*(*)"], "effects": ["email", "notify"] });
    let all: Capabilities = serde_json::from_value(all).unwrap();
    let mut answers = Vec::new();
    for case in cases {
        let call = ActionCall {
            tenant: None,
            event: Arc::new(case.event.clone()),
            configuration: Arc::new(case.configuration.clone()),
            settings: Arc::new("{}".to_owned()),
            zone: ZONE.into(),
            locale: LOCALE.into(),
            idempotency_key: KEY.to_owned(),
            seed: 7,
            grant: Grant::new(all.clone(), all.clone()),
            plan: LimitOverrides::default(),
        };
        let host = Box::new(Records(case.found.clone()));
        let report = sandbox.run_action(&plugin, call, host).await;
        eprintln!(
            "{}: {} units of fuel, {} bytes, {:?}, {:?}",
            case.name, report.fuel, report.memory_bytes, report.duration, report.logs
        );
        answers.push(match report.outcome {
            Ok(outcome) => json!(outcome),
            Err(failure) => failed(&failure),
        });
    }
    answers
}

fn failed(failure: &RunFailure) -> Value {
    let message = match failure {
        RunFailure::Retry { reason, .. } => reason.clone(),
        RunFailure::Fail(message) | RunFailure::Skip(message) => message.clone(),
        other => other.to_string(),
    };
    json!({ "failure": failure.code(), "message": message })
}

/// Each case is answered as it expects; messages begin so.
pub(crate) async fn expect(component: &[u8], cases: &[Case]) {
    for (case, answer) in cases.iter().zip(answers(component, cases).await) {
        let mut cut = answer.clone();
        if let (Some(message), Some(start)) = (
            answer["message"].as_str(),
            case.expected["message"].as_str(),
        ) && message.starts_with(start)
        {
            cut["message"] = json!(start);
        }
        assert_eq!(cut, case.expected, "{}: {answer}", case.name);
    }
}
