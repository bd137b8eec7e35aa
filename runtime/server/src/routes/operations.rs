//! What those who run the server ask, and what problems mean.

use axum::extract::{Path, State};
use crm_engine::EngineError;

use crate::app::App;
use crate::problem::{Kind, Problem, ProblemBody};

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// Can it serve, and go on: does the database answer, with this build's schema?
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, body = String), (status = 503, body = ProblemBody)))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.stopping.is_cancelled() {
        let detail = "this instance is stopping; another one serves";
        return Err(Problem::detailed(Kind::Unavailable, detail));
    }
    match app.engine.check_ready().await {
        Ok(()) => Ok("ready"),
        Err(EngineError::Internal(message)) => Err(Problem::detailed(Kind::Unavailable, message)),
        Err(error) => Err(error.into()),
    }
}

/// What a problem means and what to do about it.
#[utoipa::path(get, path = "/problems/{kind}", tag = "operations", security(()),
    params(("kind" = String, Path)),
    responses((status = 200, body = String), (status = 404, body = ProblemBody)))]
pub(crate) async fn problem_get(Path(name): Path<String>) -> Result<String, Problem> {
    let facts = Kind::ALL
        .into_iter()
        .map(Kind::facts)
        .find(|facts| facts.0 == name);
    let (_, status, title, advice) = facts.ok_or_else(Problem::not_found)?;
    Ok(format!("{title} ({})\n\n{advice}\n", status.as_u16()))
}
