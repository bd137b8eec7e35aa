//! `/workflows`: the automations of the tenant's model.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::definition::WorkflowDefinition;
use crm_model::overlay::ModelChange;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;

/// A workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub(crate) struct WorkflowBody {
    /// The same as `slug`.
    id: String,
    /// `slug`, `name`, `module`, `trigger`, `condition`, `steps`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    definition: WorkflowDefinition,
}

impl From<&WorkflowDefinition> for WorkflowBody {
    fn from(definition: &WorkflowDefinition) -> Self {
        Self {
            id: definition.slug.to_string(),
            definition: definition.clone(),
        }
    }
}

/// The workflows of the modules that the caller may read, but for those that name a field which
/// is not there for them.
async fn visible(app: &App, caller: &Caller) -> Result<Vec<WorkflowBody>, Problem> {
    let bootstrap = app.engine.bootstrap(caller.tenant, &caller.actor).await?;
    let Some(ready) = bootstrap.ready else {
        return Ok(Vec::new());
    };
    let definitions = ready
        .model
        .workflows()
        .iter()
        .map(|workflow| workflow.definition());
    Ok(definitions
        .filter(|definition| ready.permissions.contains_key(&definition.module))
        .filter(|definition| {
            let module = ready.model.module(&definition.module);
            let sight = module.map(|module| ready.model.sight(module, Some(&caller.actor)));
            let text = serde_json::to_string(definition).unwrap_or_default();
            !sight.is_some_and(|sight| sight.tells(&text))
        })
        .map(WorkflowBody::from)
        .collect())
}

/// All workflows that you may see.
#[utoipa::path(get, path = "/workflows", tag = "workflows", responses(
    (status = 200, body = List<WorkflowBody>),
))]
pub(crate) async fn workflows_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<WorkflowBody>>, Problem> {
    Ok(Json(List::whole(visible(&app, &caller).await?)))
}

/// One workflow.
#[utoipa::path(get, path = "/workflows/{id}", tag = "workflows",
    params(("id" = String, Path)),
    responses((status = 200, body = WorkflowBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn workflow_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WorkflowBody>, Problem> {
    let workflows = visible(&app, &caller).await?;
    let found = workflows.into_iter().find(|workflow| workflow.id == id);
    found.map(Json).ok_or_else(Problem::not_found)
}

/// Adds a workflow: `slug`, `name`, `module`, `trigger`, `condition`, `steps`. Live for the next
/// request.
#[utoipa::path(post, path = "/workflows", tag = "workflows",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = Object,
    responses(
        (status = 201, body = WorkflowBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn workflow_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<WorkflowDefinition>,
) -> Result<Response, Problem> {
    let added = Answer::json(StatusCode::CREATED, &WorkflowBody::from(&input));
    let change = ModelChange::WorkflowAdd(input);
    change_once(&app, &caller, key, change, move |_| added.clone()).await
}
