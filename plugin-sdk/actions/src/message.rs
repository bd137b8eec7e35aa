//! Longer texts, in the language of Jinja: values, conditions and loops. A message sees what an
//! expression does, and `owner`, the user whom the event's record belongs to.

use crm_plugin_sdk::{Event, Failure};
use minijinja::value::Serde;
use minijinja::{Environment, Error, UndefinedBehavior};
use serde::Deserialize;
use serde_json::Value;

use crate::context::{Record, owner, put};

/// Instructions that one message may take: a few hundred rows, well below the run's own limit.
const FUEL: u64 = 50_000;
/// What one message may become.
const TEXT_MAX_BYTES: usize = 128 << 10;

/// A message of a configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Message(String);

impl Message {
    /// As plain text.
    ///
    /// # Errors
    /// Fails, saying where, for what is no message, asks for a value that is not there from one
    /// that is not there, or becomes too long.
    pub fn text(&self, event: &Event<Record>, context: &Value) -> Result<String, Failure> {
        self.render("message", event, context)
    }

    /// As HTML: values are escaped, what the message itself says is not.
    ///
    /// # Errors
    /// As [`Message::text`].
    pub fn html(&self, event: &Event<Record>, context: &Value) -> Result<String, Failure> {
        // By the end of the name minijinja knows what to escape.
        self.render("message.html", event, context)
    }

    fn render(
        &self,
        name: &str,
        event: &Event<Record>,
        context: &Value,
    ) -> Result<String, Failure> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        let mut context = context.clone();
        if self.0.contains("owner") {
            put(&mut context, "owner", owner(event)?);
        }
        let rendered = environment.render_named_str(name, &self.0, Serde(context));
        let text = rendered.map_err(|error| Failure::fail(sentence(&error)))?;
        if text.len() > TEXT_MAX_BYTES {
            return Err(Failure::fail(format!(
                "the {name} is longer than {TEXT_MAX_BYTES} bytes"
            )));
        }
        Ok(text)
    }
}

/// What messages give, one to each, without those that give nothing.
///
/// # Errors
/// As [`Message::text`].
pub fn messages(
    messages: &[Message],
    event: &Event<Record>,
    context: &Value,
) -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    for message in messages {
        let text = message.text(event, context)?;
        if !text.trim().is_empty() {
            texts.push(text.trim().to_owned());
        }
    }
    Ok(texts)
}

fn sentence(error: &Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    let place = match (error.name(), error.line()) {
        (Some(name), Some(line)) => format!("the {name}, line {line}: "),
        _ => String::new(),
    };
    format!("{place}{what}")
}
