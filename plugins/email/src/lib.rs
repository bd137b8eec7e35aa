//! Sends a mail. Addresses, subject and text are messages over the event; in the HTML part values
//! are escaped.
//!
//! Configuration: `{"to": ["{{ after.email }}"], "subject": "Welcome, {{ after.full_name }}",
//! "text": "…", "html": "…"}`, and `cc`, `reply_to` and `attachments`, whose names and contents are
//! messages too.

use crm_actions::{Message, Record, context, messages, not_gone};
use crm_plugin_sdk::{Answer, Email, Event, Failure, Outcome};
use serde::Deserialize;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    to: Vec<Message>,
    #[serde(default)]
    cc: Vec<Message>,
    reply_to: Option<Message>,
    subject: Message,
    text: Message,
    html: Option<Message>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

/// A text that goes with the mail as a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    name: Message,
    media_type: String,
    text: Message,
}

/// One mail.
///
/// # Errors
/// Skips when the record is gone or has no address; fails where a message cannot be written.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    not_gone(&event)?;
    let context = context(&event);
    let to = messages(&config.to, &event, &context)?;
    if to.is_empty() {
        return Err(Failure::skip("there is no address to write to"));
    }
    let reply_to = messages(config.reply_to.as_slice(), &event, &context)?.pop();
    let html = config.html.map(|html| html.html(&event, &context));
    let mut answer = Answer::new().and(Email {
        to,
        cc: messages(&config.cc, &event, &context)?,
        reply_to,
        subject: one_line(&config.subject.text(&event, &context)?),
        text: config.text.text(&event, &context)?,
        html: html.transpose()?,
    });
    for file in &config.attachments {
        let name = one_line(&file.name.text(&event, &context)?);
        let text = file.text.text(&event, &context)?;
        answer = answer.attach(&name, &file.media_type, text.as_bytes())?;
    }
    Ok(answer)
}

/// A subject is a header: what a record says must not become others.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
