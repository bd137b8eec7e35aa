//! Asks the host whatever its configuration says and writes the answers into the event's record,
//! as one list in `note`: what tests see of the host through a guest's eyes.

use crm_plugin_sdk::records::{self, Found};
use crm_plugin_sdk::{Answer, Event, Failure, Link, Mutation, Outcome, Refusal, json};
use crm_plugin_sdk::{config, secrets, state};
use serde::Deserialize;
use serde_json::Value;

/// What to do.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(default)]
    ask: Vec<Question>,
    /// How often all of it is asked.
    #[serde(default = "once")]
    times: u32,
    /// Records that the event's record points to afterwards: field and id.
    #[serde(default)]
    link: Vec<(String, String)>,
    #[serde(default)]
    unlink: Vec<(String, String)>,
    /// Whose the record is afterwards.
    assign: Option<String>,
    /// How many records to create.
    #[serde(default)]
    create: u32,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    Get(String, String),
    Query(String, Value),
    Aggregate(String, Value),
    State(String),
    Keep(String, Value),
    /// One more under that key.
    Count(String),
    Drop(String),
    Secret(String),
    Config,
    /// What the event says beside its record.
    Event,
}

/// Answers as the configuration says.
///
/// # Errors
/// Skips where there is nothing to write down.
pub fn run(event: Event<Value>, config: Config) -> Outcome {
    let mut told = Vec::new();
    for _ in 0..config.times {
        for question in &config.ask {
            told.push(ask(&event, question)?);
        }
    }
    let mut answer = Answer::new();
    let link = |(field, target): &(String, String)| Link {
        module: event.module.clone(),
        record_id: event.record_id.clone(),
        field: field.clone(),
        target_id: target.clone(),
    };
    answer
        .mutations
        .extend(config.link.iter().map(link).map(Mutation::Link));
    answer
        .mutations
        .extend(config.unlink.iter().map(link).map(Mutation::Unlink));
    if let Some(owner) = &config.assign {
        answer = answer.with(Mutation::assign(&event, owner.as_str()));
    }
    for number in 0..config.create {
        answer = answer.with(Mutation::create(
            "victims",
            json!({ "name": number.to_string() }),
        ));
    }
    if !told.is_empty() {
        let note = Value::Array(told).to_string();
        answer = answer.with(Mutation::update(&event, json!({ "note": note })));
    }
    if answer == Answer::new() {
        return Err(Failure::skip("nothing was asked"));
    }
    Ok(answer)
}

fn ask(event: &Event<Value>, question: &Question) -> Result<Value, Failure> {
    let told = match question {
        Question::Get(module, id) => {
            records::get::<Value>(module, id).map(|found| json!(found.map(shown)))
        }
        Question::Query(module, query) => {
            records::query::<Value>(module, query.clone()).map(|page| {
                let records: Vec<Value> = page.records.into_iter().map(shown).collect();
                json!({ "records": records, "more": page.next_cursor.is_some() })
            })
        }
        Question::Aggregate(module, query) => records::aggregate(module, query.clone()),
        Question::State(key) => state::get::<Value>(key).map(|value| json!(value)),
        Question::Keep(key, value) => state::set(key, value).map(|()| json!("kept")),
        Question::Count(key) => {
            let count = state::get::<u64>(key)?.unwrap_or_default() + 1;
            state::set(key, &count).map(|()| json!(count))
        }
        Question::Drop(key) => state::delete(key).map(|()| json!("dropped")),
        Question::Secret(name) => secrets::handle(name).map(|handle| json!(handle)),
        Question::Config => config::get::<Value>(),
        Question::Event => Ok(json!({
            "zone": event.zone,
            "locale": event.locale,
            "idempotency_key": event.idempotency_key,
            "seed": event.seed.to_string(),
            "causes": event.causes.len(),
            "payload": event.payload,
        })),
    };
    Ok(match told {
        Ok(told) => told,
        Err(refusal) => json!({ "refused": kind(&refusal), "reason": refusal.to_string() }),
    })
}

fn shown(found: Found<Value>) -> Value {
    json!({ "id": found.id, "version": found.version, "data": found.data })
}

fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Denied(_) => "denied",
        Refusal::Invalid(_) => "invalid",
        Refusal::Limited(_) => "limited",
        Refusal::Unavailable(_) => "unavailable",
    }
}

crm_plugin_sdk::export_action!(run);
