//! Asks for the effects that stand in its record's `ask`, as JSON, and writes down in `told` what
//! comes of them. `{secret:name}` in a header is that secret's handle.

use crm_plugin_sdk::{
    Answer, Effect, Email, Event, EventKind, Failure, HttpRequest, Mutation, Notification, Outcome,
    Schedule, Webhook, json, log, secrets,
};
use serde::Deserialize;
use serde_json::Value;

/// The record.
#[derive(Debug, Default, Deserialize)]
pub struct Ticket {
    ask: Option<String>,
    told: Option<String>,
}

/// No settings.
#[derive(Debug, Deserialize)]
pub struct Config {}

/// What the record asks for.
#[derive(Debug, Deserialize)]
struct Ask {
    #[serde(default)]
    effects: Vec<Wanted>,
    /// Whether to do something forbidden too, so that the run fails.
    #[serde(default)]
    spoil: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Wanted {
    Email {
        to: String,
        #[serde(default)]
        cc: Vec<String>,
        subject: String,
        text: String,
        /// Names, types and contents.
        #[serde(default)]
        files: Vec<(String, String, String)>,
    },
    Webhook {
        endpoint: String,
        topic: String,
        payload: Value,
    },
    Http {
        key: String,
        method: String,
        url: String,
        #[serde(default)]
        headers: Vec<(String, String)>,
        body: Option<String>,
        #[serde(default)]
        wants_answer: bool,
    },
    Notify {
        to: Vec<String>,
        title: String,
    },
    Schedule {
        key: String,
        at: String,
        payload: Value,
    },
}

/// Asks, or writes down what it is told.
///
/// # Errors
/// Where the record does not say what to ask for.
pub fn run(event: Event<Ticket>, _: Config) -> Outcome {
    let ticket = event.after.as_ref();
    if event.kind != EventKind::RecordCreated {
        let told = ticket
            .and_then(|ticket| ticket.told.clone())
            .unwrap_or_default();
        let payload = event.payload.clone().unwrap_or_default();
        let told = format!("{told}{:?} {payload}\n", event.kind);
        return Ok(Mutation::update(&event, json!({ "told": told })).into());
    }
    let text = ticket
        .and_then(|ticket| ticket.ask.as_deref())
        .unwrap_or("{}");
    let ask: Ask = serde_json::from_str(text).map_err(|error| Failure::fail(error.to_string()))?;
    let mut answer = Answer::new();
    for mut wanted in ask.effects {
        let files = match &mut wanted {
            Wanted::Email { files, .. } => std::mem::take(files),
            _ => Vec::new(),
        };
        answer = answer.and(effect(wanted)?);
        for (name, media_type, content) in files {
            answer = answer.attach(&name, &media_type, content.as_bytes())?;
        }
    }
    if ask.spoil {
        answer = answer.with(Mutation::update(&event, json!({ "locked": "mine" })));
    }
    Ok(answer)
}

fn effect(wanted: Wanted) -> Result<Effect, Failure> {
    Ok(match wanted {
        Wanted::Email {
            to,
            cc,
            subject,
            text,
            files: _,
        } => Email {
            to: vec![to],
            cc,
            subject,
            text,
            html: Some("<p>hello</p>".to_owned()),
            ..Email::default()
        }
        .into(),
        Wanted::Webhook {
            endpoint,
            topic,
            payload,
        } => Webhook {
            endpoint,
            topic,
            payload,
        }
        .into(),
        Wanted::Http {
            key,
            method,
            url,
            headers,
            body,
            wants_answer,
        } => {
            let headers = headers
                .into_iter()
                .map(|(name, value)| Ok((name, filled(value)?)));
            HttpRequest {
                headers: headers.collect::<Result<_, Failure>>()?,
                key,
                method,
                url,
                body,
                wants_answer,
            }
            .into()
        }
        Wanted::Notify { to, title } => Notification {
            to,
            title,
            body: None,
        }
        .into(),
        Wanted::Schedule { key, at, payload } => Schedule { key, at, payload }.into(),
    })
}

fn filled(value: String) -> Result<String, Failure> {
    let Some((before, rest)) = value.split_once("{secret:") else {
        return Ok(value);
    };
    let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
    let handle = secrets::handle(name).map_err(|refusal| Failure::fail(format!("{refusal:?}")))?;
    log::info(format!("sends {handle}"));
    Ok(format!("{before}{handle}{after}"))
}

crm_plugin_sdk::export_action!(run);
