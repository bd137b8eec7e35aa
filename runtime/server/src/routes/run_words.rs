//! Repeating, skipping on and ending many runs by one request.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use crm_engine::receipt::RequestKey;
use crm_engine::run_control::{RunWord, RunsAsked, TakenRuns};
use crm_model::Violations;
use crm_model::limits::RUNS_WORD_MAX;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::problem::{Problem, ProblemBody};
use crate::routes::runs::RunParameters;

fn asked(which: RunParameters) -> Result<RunsAsked, Problem> {
    let mut violations = Violations::default();
    if which.is_open() {
        let message = "say which runs: for all that are dead, {\"status\": \"dead\"}";
        violations.add(String::new(), "required", message);
    }
    let limit = which.limit.unwrap_or(RUNS_WORD_MAX);
    if !(1..=RUNS_WORD_MAX).contains(&limit) {
        let message = format!("limit is 1 to {RUNS_WORD_MAX}");
        violations.add("/limit".to_owned(), "limit", message);
    }
    let after = which.cursor.as_deref().map(str::parse).transpose();
    if after.is_err() {
        let message = "take next_cursor of the answer before, unchanged";
        violations.add("/cursor".to_owned(), "cursor", message);
    }
    violations.into_result().map_err(Problem::invalid)?;
    Ok(RunsAsked {
        filter: which.filter()?,
        after: after.ok().flatten(),
        limit,
    })
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TakenRuns)]
pub(crate) struct TakenBody {
    /// It was done to so many.
    taken: u64,
    /// It could not be done to so many, which are as they were: they stand elsewhere by now, or
    /// did not fail at a step that could be skipped.
    left: u64,
    /// There may be more behind these: send it as `cursor`; null where there are none.
    next_cursor: Option<String>,
}

fn told(taken: &TakenRuns) -> Answer {
    let body = TakenBody {
        taken: taken.taken,
        left: taken.left,
        next_cursor: taken.next.map(|run| run.to_string()),
    };
    Answer::json(StatusCode::OK, &body)
}

async fn words(
    app: &App,
    caller: &Caller,
    (key, input): (Option<RequestKey>, RunParameters),
    word: RunWord,
) -> Result<Response, Problem> {
    let asked = asked(input)?;
    once(app, caller, key, async |key| {
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let kept = receipt_of(key, told);
        let taken = app.engine.runs_word(tenant, actor, (asked, word), kept);
        Ok(told(&taken.await?))
    })
    .await
}

/// Has dead runs tried again, as `POST /runs/{id}/retry` has one: those of a filter, the oldest
/// first, up to 500 in one commit. For those who manage everything.
#[utoipa::path(post, path = "/runs/retry", tag = "workflows",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = RunParameters,
    responses(
        (status = 200, body = TakenBody),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn runs_retry(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<RunParameters>,
) -> Result<Response, Problem> {
    words(&app, &caller, (key, input), RunWord::Retry).await
}

/// Has dead runs go on behind the steps that failed, as `POST /runs/{id}/skip` has one: those of a
/// filter, the oldest first, up to 500 in one commit. For those who manage everything.
#[utoipa::path(post, path = "/runs/skip", tag = "workflows",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = RunParameters,
    responses(
        (status = 200, body = TakenBody),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn runs_skip(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<RunParameters>,
) -> Result<Response, Problem> {
    words(&app, &caller, (key, input), RunWord::Skip).await
}

/// Ends runs that have not ended, as `POST /runs/{id}/cancel` ends one: those of a filter, the
/// oldest first, up to 500 in one commit. For those who manage everything.
#[utoipa::path(post, path = "/runs/cancel", tag = "workflows",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = RunParameters,
    responses(
        (status = 200, body = TakenBody),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn runs_cancel(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<RunParameters>,
) -> Result<Response, Problem> {
    words(&app, &caller, (key, input), RunWord::Cancel).await
}
