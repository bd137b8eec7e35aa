//! `/tasks`: long work that requests asked for.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_model::TaskId;
use crm_model::import::ImportState;
use crm_store::tasks::{Task, TaskSpec};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// Long work.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskBody {
    id: String,
    /// `import`, `reindex` or `field_remove`.
    kind: &'static str,
    /// The module whose records it is about.
    module: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    status: &'static str,
    progress: TaskProgressBody,
    /// Why it failed.
    error: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

/// How far a task came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskProgress)]
struct TaskProgressBody {
    /// Rows or records that are done.
    done: u64,
    /// In all; null while nobody knows.
    total: Option<u64>,
}

impl From<Task> for TaskBody {
    fn from(task: Task) -> Self {
        let number = |name: &str| task.state.get(name).and_then(serde_json::Value::as_u64);
        let progress = match &task.spec {
            TaskSpec::Import(_) => {
                let state: ImportState =
                    serde_json::from_value(task.state.clone()).unwrap_or_default();
                TaskProgressBody {
                    done: state.rows,
                    total: (state.total > 0).then_some(state.total),
                }
            }
            TaskSpec::Reindex { .. }
            | TaskSpec::FieldRemove { .. }
            | TaskSpec::ModuleRemove { .. } => TaskProgressBody {
                done: number("records").unwrap_or_default(),
                total: number("total"),
            },
        };
        Self {
            id: task.id.to_string(),
            kind: task.spec.name(),
            module: task.spec.module().to_string(),
            status: task.status.name(),
            progress,
            error: task.error,
            created_at: task.created_at,
            created_by: task.created_by,
            updated_at: task.updated_at,
            finished_at: task.finished_at,
        }
    }
}

/// Your tasks, newest first; everybody's if you may manage a module.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(PageParameters),
    responses((status = 200, body = List<TaskBody>)))]
pub(crate) async fn tasks_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Json<List<TaskBody>>, Problem> {
    let page = parameters.request::<TaskId>()?;
    let page = app.engine.tasks(caller.tenant, &caller.actor, page).await?;
    Ok(Json(List::page(
        page,
        |task| task.id.to_string(),
        TaskBody::from,
    )))
}

/// One task.
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks",
    params(("id" = String, Path)),
    responses((status = 200, body = TaskBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn task_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<TaskBody>, Problem> {
    let task = app
        .engine
        .task(caller.tenant, &caller.actor, segment(&id)?)
        .await?;
    Ok(Json(task.into()))
}

/// Stops an import; what it has written stays.
#[utoipa::path(post, path = "/tasks/{id}/cancel", tag = "tasks",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = TaskBody),
        (status = 403, body = ProblemBody, description = "The work follows from the model"),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It has come to its end"),
    ))]
pub(crate) async fn task_cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let cancelled = |task: &Task| Answer::json(StatusCode::OK, &TaskBody::from(task.clone()));
    once(&app, &caller, key, async |key| {
        let receipt = receipt_of(key, cancelled);
        let actor = caller.actor.clone();
        let task = app.engine.task_cancel(caller.tenant, actor, id, receipt);
        Ok(cancelled(&task.await?))
    })
    .await
}
