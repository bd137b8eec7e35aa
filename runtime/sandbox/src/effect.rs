//! Effects on their way out of a guest: decoded, and refused where they make no sense whatever
//! the tenant. Whether one is granted is for the engine to say.

use crm_model::Effect;
use crm_model::effect::{Email, HttpRequest, Notification, Schedule, Webhook};
use crm_model::limits::{EFFECT_KEY_MAX_CHARACTERS, EMAIL_MAX_RECIPIENTS};
use serde_json::Value;

use crate::contract::bindings::v1_0::types as wit;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

pub(crate) fn effect_bytes(effect: &wit::Effect) -> usize {
    let all = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match effect {
        wit::Effect::Email(email) => {
            all(&email.to)
                + all(&email.cc)
                + optional(&email.reply_to)
                + email.subject.len()
                + email.text.len()
                + optional(&email.html)
        }
        wit::Effect::Webhook(hook) => hook.endpoint.len() + hook.topic.len() + hook.payload.len(),
        wit::Effect::Http(request) => {
            let headers = request.headers.iter();
            request.key.len()
                + request.method.len()
                + request.url.len()
                + headers
                    .map(|(name, value)| name.len() + value.len())
                    .sum::<usize>()
                + optional(&request.body)
        }
        wit::Effect::Notify(note) => all(&note.to) + note.title.len() + optional(&note.body),
        wit::Effect::Schedule(schedule) => {
            schedule.key.len() + schedule.at.len() + schedule.payload.len()
        }
    }
}

/// The reason is a clause that follows the effect's number.
pub(crate) fn effect_decode(effect: &wit::Effect) -> Result<Effect, String> {
    match effect {
        wit::Effect::Email(email) => email_decode(email).map(Effect::Email),
        wit::Effect::Webhook(hook) => Ok(Effect::Webhook(Webhook {
            endpoint: key_decode("endpoint", &hook.endpoint)?,
            topic: key_decode("topic", &hook.topic)?,
            payload: json_decode("payload", &hook.payload)?,
        })),
        wit::Effect::Http(request) => http_decode(request).map(Effect::Http),
        wit::Effect::Notify(note) => {
            if note.to.is_empty() || note.to.len() > EMAIL_MAX_RECIPIENTS {
                return Err(format!(
                    "a notification is for 1 to {EMAIL_MAX_RECIPIENTS} people"
                ));
            }
            Ok(Effect::Notify(Notification {
                to: note
                    .to
                    .iter()
                    .map(|one| clean("to", one))
                    .collect::<Result<_, _>>()?,
                title: text("title", &note.title)?,
                body: note
                    .body
                    .as_deref()
                    .map(|body| clean("body", body))
                    .transpose()?,
            }))
        }
        wit::Effect::Schedule(schedule) => Ok(Effect::Schedule(Schedule {
            key: key_decode("key", &schedule.key)?,
            at: schedule
                .at
                .parse()
                .map_err(|_| "its time is not RFC 3339: `2026-01-31T09:00:00Z`".to_owned())?,
            payload: json_decode("payload", &schedule.payload)?,
        })),
    }
}

fn email_decode(email: &wit::Email) -> Result<Email, String> {
    let recipients = email.to.len() + email.cc.len();
    if email.to.is_empty() || recipients > EMAIL_MAX_RECIPIENTS {
        return Err(format!("a mail goes to 1 to {EMAIL_MAX_RECIPIENTS} people"));
    }
    let address = |text: &String| {
        let plain = text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.is_empty() && !host.contains('@')
        });
        if plain && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Ok(text.clone())
        } else {
            Err("one of its addresses is no e-mail address".to_owned())
        }
    };
    let subject = text("subject", &email.subject)?;
    if subject.contains(['\r', '\n']) {
        return Err("its subject has more than one line".to_owned());
    }
    Ok(Email {
        to: email.to.iter().map(address).collect::<Result<_, _>>()?,
        cc: email.cc.iter().map(address).collect::<Result<_, _>>()?,
        reply_to: email.reply_to.as_ref().map(address).transpose()?,
        subject,
        text: clean("text", &email.text)?,
        html: email
            .html
            .as_deref()
            .map(|html| clean("html", html))
            .transpose()?,
        attachments: Vec::new(),
    })
}

fn http_decode(request: &wit::HttpRequest) -> Result<HttpRequest, String> {
    if !METHODS.contains(&request.method.as_str()) {
        return Err(format!("its method is none of {}", METHODS.join(", ")));
    }
    let decoded = HttpRequest {
        key: key_decode("key", &request.key)?,
        method: request.method.clone(),
        url: clean("url", &request.url)?,
        headers: request.headers.clone(),
        body: request
            .body
            .as_deref()
            .map(|body| clean("body", body))
            .transpose()?,
        wants_answer: request.wants_answer,
    };
    if decoded.host().is_none() {
        return Err("its url is no address".to_owned());
    }
    let printable = |text: &str| text.chars().all(|c| c == '\t' || !c.is_control());
    if !request
        .headers
        .iter()
        .all(|(name, value)| printable(name) && printable(value))
    {
        return Err("one of its headers has characters that headers cannot have".to_owned());
    }
    Ok(decoded)
}

fn key_decode(what: &str, text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length == 0 || length > EFFECT_KEY_MAX_CHARACTERS || text.contains(char::is_control) {
        return Err(format!(
            "its {what} has 1 to {EFFECT_KEY_MAX_CHARACTERS} characters"
        ));
    }
    Ok(text.to_owned())
}

fn text(what: &str, text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("its {what} is empty"));
    }
    clean(what, text)
}

/// PostgreSQL stores no NUL.
fn clean(what: &str, text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err(format!("its {what} holds a NUL character"));
    }
    Ok(text.to_owned())
}

fn json_decode(what: &str, text: &str) -> Result<Value, String> {
    clean(what, text)?;
    serde_json::from_str(text).map_err(|error| format!("its {what} is not JSON: {error}"))
}
