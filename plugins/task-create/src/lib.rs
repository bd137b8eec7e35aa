//! Puts a task on the timeline of the event's record.
//!
//! Configuration: `{"title": "Call {{ after.full_name }}", "due": {"days": 3, "at": "09:00"},
//! "assignee": "{{ owner }}"}`, and `body`. `due` may be an expression that gives a time.

use crm_actions::{Due, Record, Text, context, current, texts};
use crm_plugin_sdk::{Event, Mutation, Outcome};
use serde::Deserialize;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    title: Text,
    body: Option<Text>,
    due: Option<Due>,
    assignee: Option<Text>,
}

/// One task.
///
/// # Errors
/// Skips when the record is gone; fails where a text or the time cannot be made.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    current(&event)?;
    let context = context(&event);
    let mut task = Mutation::task(&event, config.title.of(&event, &context)?);
    if let Some(body) = &config.body {
        task = task.with_body(body.of(&event, &context)?);
    }
    if let Some(due) = &config.due {
        task = task.due_at(due.moment(&event, &context)?);
    }
    let assignee = texts(config.assignee.as_slice(), &event, &context)?;
    if let Some(user) = assignee.first() {
        task = task.for_user(user);
    }
    Ok(task.into())
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
