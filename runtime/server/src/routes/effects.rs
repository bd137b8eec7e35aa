//! What became of what runs asked for beyond records, as a run's and a webhook's answers tell it.

use chrono::{DateTime, Utc};
use crm_store::effects::EffectFate;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What a run asked for beyond records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Effect)]
pub(crate) struct EffectBody {
    /// The run's id and the effect's number in it: the other side is told it as the
    /// Idempotency-Key, `webhook-id` or within the Message-ID.
    key: String,
    /// `email`, `webhook`, `http`, `notify` or `schedule`.
    kind: String,
    /// What a webhook is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// `waiting` for the message before it about the same record, `queued`, `sending`, `done`, `dead`,
    /// or `replaced` by another schedule under its key.
    state: &'static str,
    attempts: i32,
    /// When a queued one is due.
    due_at: Option<DateTime<Utc>>,
    /// Why it is not done, or was not the last time; of a mail that is done, whom it did not go to.
    error: Option<String>,
    /// The HTTP status of the last answer.
    status: Option<i32>,
    /// What a mail service told of a mail after it was sent: objects with `kind` (`bounce`,
    /// `complaint` or `unsubscribe`), `address`, `permanent`, `note` and `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    feedback: Option<Value>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<EffectFate> for EffectBody {
    fn from(fate: EffectFate) -> Self {
        let state = match fate.state.as_str() {
            "waiting" => "waiting",
            "leased" => "sending",
            "done" => "done",
            "dead" => "dead",
            "replaced" => "replaced",
            _ => "queued",
        };
        Self {
            key: format!("{}:{}", fate.job_id, fate.number),
            kind: fate.kind,
            topic: fate.topic,
            due_at: (state == "queued").then_some(fate.available_at),
            state,
            attempts: fate.attempts,
            error: fate.error,
            status: fate.status,
            feedback: fate.feedback.map(|feedback| feedback.0),
            created_at: fate.created_at,
            finished_at: fate.finished_at,
        }
    }
}
