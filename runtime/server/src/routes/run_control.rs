//! Starting, ending and repeating runs by hand.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_engine::run_control::{RunWord, Start, StartOn, Started};
use crm_model::{RecordId, Violations};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::segment;
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::problem::{Problem, ProblemBody};

/// Records to start a workflow on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartInput {
    /// Ids of records of the workflow's module, 1 to 200.
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 200)]
    record_ids: Option<Vec<RecordId>>,
    /// In place of ids: those that meet this filter, 200 at a time. `{}` is met by all.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// With a filter: `next_cursor` of the answer before.
    cursor: Option<String>,
    /// What the form is filled in with, where the workflow's trigger has one.
    #[schema(value_type = Option<Object>)]
    inputs: Option<Value>,
}

impl StartInput {
    fn start(self) -> Result<Start, Problem> {
        let which = match (self.record_ids, self.filter) {
            (Some(records), None) if self.cursor.is_none() => StartOn::Records(records),
            (None, Some(filter)) => StartOn::Found {
                filter: Some(filter).filter(|filter| *filter != json!({})),
                cursor: self.cursor,
            },
            _ => {
                let message = "either `record_ids`, or `filter` and then `cursor`";
                let violations = Violations::one("", "required", message);
                return Err(Problem::invalid(violations));
            }
        };
        Ok(Start {
            which,
            inputs: self.inputs,
        })
    }
}

/// Runs that were started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartedBody {
    /// Their ids, in the records' order; `GET /runs/{id}` tells what becomes of them.
    runs: Vec<String>,
    /// With a filter: what to ask with for those that are left; null where none are.
    next_cursor: Option<String>,
}

fn started(started: &Started) -> Answer {
    let runs = started.runs.iter().map(ToString::to_string).collect();
    let next_cursor = started.next_cursor.clone();
    Answer::json(StatusCode::ACCEPTED, &StartedBody { runs, next_cursor })
}

/// Starts a workflow on records, one run for each. One whose trigger is `started_by_hand` may be
/// started by whoever may read the records, and acts on their behalf; any other by those who manage
/// everything. Its condition is not asked.
#[utoipa::path(post, path = "/workflows/{id}/start", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = StartInput,
    responses(
        (status = 202, body = StartedBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn workflow_start(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Keyed { key, input }: Keyed<StartInput>,
) -> Result<Response, Problem> {
    let (workflow, start) = (segment(&id)?, input.start()?);
    once(&app, &caller, key, async |key| {
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let kept = receipt_of(key, started);
        let runs = app
            .engine
            .workflow_start(tenant, actor, workflow, start, kept);
        Ok(started(&runs.await?))
    })
    .await
}

async fn word(
    app: &App,
    caller: &Caller,
    id: &str,
    key: Option<crm_engine::receipt::RequestKey>,
    word: RunWord,
) -> Result<Response, Problem> {
    let run = segment(id)?;
    once(app, caller, key, async |key| {
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let kept = receipt_of(key, |(): &()| Answer::empty(StatusCode::NO_CONTENT));
        app.engine.run_word(tenant, actor, run, word, kept).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    })
    .await
}

/// Has a dead run tried again: it goes on at the step that failed, under the same keys. For those
/// who manage everything.
#[utoipa::path(post, path = "/runs/{id}/retry", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn run_retry(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    word(&app, &caller, &id, key, RunWord::Retry).await
}

/// Has a dead run go on behind the step that failed, as if that had `on_error: continue`: nothing of
/// the step is done, `steps` says that it failed, and the log who skipped it. For those who manage
/// everything.
#[utoipa::path(post, path = "/runs/{id}/skip", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It did not fail at a step"),
    ))]
pub(crate) async fn run_skip(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    word(&app, &caller, &id, key, RunWord::Skip).await
}

/// Ends a run that has not ended: what it did stays, what is under way commits nothing any more.
/// For those who manage everything.
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn run_cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    word(&app, &caller, &id, key, RunWord::Cancel).await
}
