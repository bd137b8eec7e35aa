//! `/workflows`: the automations of the tenant's model.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::definition::WorkflowDefinition;
use crm_model::limits::WORKFLOW_DEFAULT_ORDER;
use crm_model::overlay::{ModelChange, WorkflowPatch};
use crm_model::permission::RunAs;
use crm_model::workflow::Workflow;
use crm_model::{Model, WorkflowSlug};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;
use crate::routes::workflow_versions::draft_first;

/// A workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub(crate) struct WorkflowBody {
    /// The same as `slug`.
    pub(crate) id: String,
    /// `slug`, `name`, `module`, `trigger`, `condition`, `steps`; `order`: its place among the
    /// workflows that one event starts, lower ones first, ties by slug; where it says so, `priority`
    /// (`interactive`, `normal` or `bulk`), `concurrency`: how many of its runs may be under way at
    /// once, and `in_order`: its runs of one record go one after the other.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    definition: WorkflowDefinition,
    /// `person`: within the roles of who caused the event, and what its plugin was granted;
    /// `itself`: within the grant alone.
    #[schema(value_type = String, example = "person")]
    run_as: RunAs,
    /// Events start it no more, and its runs wait.
    paused: bool,
    /// The version that is live; 0 for the template's own, null for one that is a draft alone.
    version: Option<u32>,
    /// Whether there is a draft of the next version, at `/workflows/{id}/draft`, which you may see.
    has_draft: bool,
}

impl WorkflowBody {
    pub(crate) fn of(workflow: &Workflow) -> Self {
        let definition = workflow.definition().clone();
        Self {
            paused: workflow.is_paused(),
            version: Some(workflow.version()),
            ..Self::made_of(definition, workflow.order(), workflow.run_as())
        }
    }

    fn draft(definition: WorkflowDefinition) -> Self {
        Self {
            version: None,
            has_draft: true,
            ..Self::added(definition)
        }
    }

    fn added(definition: WorkflowDefinition) -> Self {
        let order = definition.order.unwrap_or(WORKFLOW_DEFAULT_ORDER);
        Self::made_of(definition, order, RunAs::Person)
    }

    fn made_of(definition: WorkflowDefinition, order: u32, run_as: RunAs) -> Self {
        Self {
            id: definition.slug.to_string(),
            definition: WorkflowDefinition {
                order: Some(order),
                ..definition
            },
            run_as,
            paused: false,
            version: Some(1),
            has_draft: false,
        }
    }
}

/// The workflows of the modules that the caller may read, but for those that name a field which
/// is not there for them.
pub(crate) async fn visible(app: &App, caller: &Caller) -> Result<Vec<WorkflowBody>, Problem> {
    let bootstrap = app.engine.bootstrap(caller.tenant, &caller.actor).await?;
    let Some(ready) = bootstrap.ready else {
        return Ok(Vec::new());
    };
    let workflows = ready.model.workflows().iter();
    let mut workflows: Vec<WorkflowBody> = workflows
        .filter(|workflow| {
            let module = &workflow.definition().module;
            ready.permissions.contains_key(module)
        })
        .filter(|workflow| {
            let definition = workflow.definition();
            let module = ready.model.module(&definition.module);
            let sight = module.map(|module| ready.model.sight(module, Some(&caller.actor)));
            let text = serde_json::to_string(definition).unwrap_or_default();
            !sight.is_some_and(|sight| sight.tells(&text))
        })
        .map(|workflow| WorkflowBody::of(workflow))
        .collect();
    for draft in app
        .engine
        .drafts(caller.tenant, &caller.actor, None)
        .await?
    {
        let mut of_draft = workflows.iter_mut();
        match of_draft.find(|workflow| workflow.id == draft.definition.slug.as_str()) {
            Some(workflow) => workflow.has_draft = true,
            None => workflows.push(WorkflowBody::draft(draft.definition)),
        }
    }
    Ok(workflows)
}

/// All workflows that you may see; at the end those that were never published.
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

/// Adds a workflow: `slug`, `name`, `module`, `trigger`, `condition`, `steps`, `order` (100 unless
/// said), `priority`, `concurrency`, `in_order`. A step is an `action` with its `config`, or one of
/// `if`, `switch`, `for_each`, `parallel`, `delay`, `wait_for`, `approval`, `call` and `stop`;
/// `{"$expression": "…"}` in a `config` stands for a value, over what started the run and what the
/// steps before said. Live for the next request.
#[utoipa::path(post, path = "/workflows", tag = "workflows",
    params(AddParameters, ("Idempotency-Key" = Option<String>, Header)),
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
    Parameters(how): Parameters<AddParameters>,
    Keyed { key, input }: Keyed<WorkflowDefinition>,
) -> Result<Response, Problem> {
    if how.draft {
        return draft_first(&app, &caller, Keyed { key, input }).await;
    }
    let slug = input.slug.clone();
    let change = ModelChange::WorkflowAdd(input);
    change_once(&app, &caller, key, change, move |model| {
        answer(StatusCode::CREATED, model, &slug)
    })
    .await
}

/// How a workflow is added.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddParameters {
    /// It is a draft, and not live before `publish`; the answer is that of `…/draft`.
    #[serde(default)]
    draft: bool,
}

/// A workflow as a model has it.
pub(crate) fn answer(status: StatusCode, model: &Model, slug: &WorkflowSlug) -> Answer {
    match model.workflow(slug) {
        Some(workflow) => Answer::json(status, &WorkflowBody::of(workflow)),
        None => Answer::empty(StatusCode::NO_CONTENT),
    }
}

/// What is said of a workflow beside what stands in it; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowChange {
    /// `person` or `itself`.
    #[schema(value_type = Option<String>, example = "itself")]
    run_as: Option<RunAs>,
    /// Its place among the workflows that one event starts, from 0 to 10,000: lower ones first,
    /// ties by slug. The next one starts when the one before it has ended its first attempt.
    #[schema(maximum = 10_000)]
    order: Option<u32>,
    /// Events start it no more, and its runs wait until it is no longer paused.
    paused: Option<bool>,
}

/// Lets a workflow run as itself: within what its plugin was granted, whoever causes the event; or
/// as that person again. Says when it runs among those that one event starts, and pauses it. For
/// those who manage everything.
#[utoipa::path(patch, path = "/workflows/{id}", tag = "workflows",
    params(("id" = String, Path)),
    request_body = WorkflowChange,
    responses(
        (status = 200, body = WorkflowBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn workflow_edit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<WorkflowChange>,
) -> Result<Json<WorkflowBody>, Problem> {
    let slug: WorkflowSlug = segment(&id)?;
    let patch = WorkflowPatch {
        run_as: change.run_as,
        order: change.order,
        paused: change.paused,
    };
    let model = app
        .engine
        .model_change(
            caller.tenant,
            caller.actor,
            ModelChange::WorkflowEdit(slug.clone(), patch),
            None,
        )
        .await?;
    let found = model.workflow(&slug).ok_or_else(Problem::not_found)?;
    Ok(Json(WorkflowBody::of(found)))
}
