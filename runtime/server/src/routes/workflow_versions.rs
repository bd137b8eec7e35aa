//! `/workflows/{id}/…`: drafts, versions, and what is published.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::workflows::{Edition, MovedRuns, Publication, VersionView};
use crm_model::definition::WorkflowDefinition;
use crm_model::{Violations, WorkflowSlug};
use crm_store::workflows::Draft;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::workflows::answer;

/// What is to become the next version of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DraftBody {
    /// As `POST /workflows` takes it.
    #[schema(value_type = Object)]
    definition: WorkflowDefinition,
    saved_at: DateTime<Utc>,
    saved_by: String,
}

/// Saves the first draft of a new workflow.
pub(crate) async fn draft_first(
    app: &App,
    caller: &Caller,
    Keyed { key, input }: Keyed<WorkflowDefinition>,
) -> Result<Response, Problem> {
    let told = |draft: &Draft| Answer::json(StatusCode::CREATED, &DraftBody::from(draft.clone()));
    once(app, caller, key, async |key| {
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let kept = receipt_of(key, told);
        let draft = app
            .engine
            .draft_save(tenant, actor, (None, input), kept)
            .await?;
        Ok(told(&draft))
    })
    .await
}

impl From<Draft> for DraftBody {
    fn from(draft: Draft) -> Self {
        Self {
            definition: draft.definition,
            saved_at: draft.saved_at,
            saved_by: draft.saved_by,
        }
    }
}

/// A version of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionBody {
    /// Counts from 1.
    version: u32,
    /// Whether events start it.
    live: bool,
    published_at: DateTime<Utc>,
    published_by: String,
    /// What is new in it.
    note: Option<String>,
    /// Runs that began on it and have not ended.
    open_runs: i64,
    /// As `POST /workflows` takes it.
    #[schema(value_type = Object)]
    definition: WorkflowDefinition,
}

impl From<VersionView> for VersionBody {
    fn from(view: VersionView) -> Self {
        Self {
            version: view.version.version,
            live: view.is_live,
            published_at: view.version.published_at,
            published_by: view.version.published_by,
            note: view.version.note,
            open_runs: view.open_runs,
            definition: view.version.definition,
        }
    }
}

/// Saves what is to become the next version of a workflow: nothing of it is live before `publish`. It is checked as a whole. The template's workflows are adapted this way
/// too. For those who manage its module.
#[utoipa::path(put, path = "/workflows/{id}/draft", tag = "workflows",
    params(("id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = DraftBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn draft_put(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(definition): Body<WorkflowDefinition>,
) -> Result<Json<DraftBody>, Problem> {
    let (tenant, actor) = (caller.tenant, caller.actor);
    let saved = (Some(segment(&id)?), definition);
    let draft = app.engine.draft_save(tenant, actor, saved, None).await?;
    Ok(Json(draft.into()))
}

/// The draft of a workflow. For those who manage its module.
#[utoipa::path(get, path = "/workflows/{id}/draft", tag = "workflows",
    params(("id" = String, Path)),
    responses((status = 200, body = DraftBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn draft_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<DraftBody>, Problem> {
    let slug: WorkflowSlug = segment(&id)?;
    let drafts = app
        .engine
        .drafts(caller.tenant, &caller.actor, Some(&slug))
        .await?;
    let draft = drafts.into_iter().next().ok_or_else(Problem::not_found)?;
    Ok(Json(draft.into()))
}

/// Throws a draft away.
#[utoipa::path(delete, path = "/workflows/{id}/draft", tag = "workflows",
    params(("id" = String, Path)),
    responses((status = 204), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn draft_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let slug = segment(&id)?;
    app.engine
        .draft_discard(caller.tenant, caller.actor, slug)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What to publish.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishInput {
    /// A version that was published before, to go back to; 0 is the template's own. The draft where
    /// it is left out.
    version: Option<u32>,
    /// What is new in it, for the list of versions.
    #[schema(max_length = 500)]
    note: Option<String>,
}

/// Makes the draft the next version of its workflow, and live; or what was live before, as the next
/// version. What is published never changes. Runs that have begun finish on the version that they
/// began on; `POST /workflows/{id}/runs/move` has them go over. For those who manage its module.
#[utoipa::path(post, path = "/workflows/{id}/publish", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = PublishInput,
    responses(
        (status = 200, body = crate::routes::workflows::WorkflowBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn workflow_publish(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed { key, input }): KeyedOrEmpty<PublishInput>,
) -> Result<Response, Problem> {
    let slug: WorkflowSlug = segment(&id)?;
    let publication = Publication {
        version: input.version,
        note: input.note,
    };
    once(&app, &caller, key, async |key| {
        let named = slug.clone();
        let kept = receipt_of(key, move |model| answer(StatusCode::OK, model, &named));
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let model = app
            .engine
            .workflow_publish(tenant, actor, slug.clone(), publication, kept);
        Ok(answer(StatusCode::OK, &*model.await?, &slug))
    })
    .await
}

/// Runs that went over to the live version, and those that did not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovedBody {
    /// They do what the live version says.
    moved: u64,
    /// They finish on the version that they began on: they are being worked on, in a loop or in a
    /// `parallel`, at a step that is not there any more, or have something that may have to be taken
    /// back.
    finishing: u64,
}

impl From<MovedRuns> for MovedBody {
    fn from(runs: MovedRuns) -> Self {
        Self {
            moved: runs.moved,
            finishing: runs.finishing,
        }
    }
}

/// Has the runs that have not ended do what the live version says, as far as they can. For those who
/// manage the workflow's module.
#[utoipa::path(post, path = "/workflows/{id}/runs/move", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = MovedBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn runs_move(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    let slug = segment(&id)?;
    let told = |runs: &MovedRuns| Answer::json(StatusCode::OK, &MovedBody::from(*runs));
    once(&app, &caller, key, async |key| {
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let kept = receipt_of(key, told);
        Ok(told(
            &app.engine.runs_move(tenant, actor, slug, kept).await?,
        ))
    })
    .await
}

/// Takes a workflow away; the template's is again as the template has it, where it was adapted. Runs
/// that have begun come to their end. For those who manage its module.
#[utoipa::path(delete, path = "/workflows/{id}", tag = "workflows",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn workflow_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let slug = segment(&id)?;
    app.engine
        .workflow_remove(caller.tenant, caller.actor, slug)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All versions of a workflow that were ever published, newest first. For those who manage its
/// module.
#[utoipa::path(get, path = "/workflows/{id}/versions", tag = "workflows",
    params(("id" = String, Path)),
    responses((status = 200, body = List<VersionBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn versions_list(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<List<VersionBody>>, Problem> {
    let slug = segment(&id)?;
    let versions = app
        .engine
        .workflow_versions(caller.tenant, &caller.actor, &slug)
        .await?;
    let versions = versions.into_iter().map(VersionBody::from).collect();
    Ok(Json(List::whole(versions)))
}

/// Which two to compare: a version's number, 0 for the template's own, `live`, or `draft`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Between {
    /// `live` unless given.
    from: Option<String>,
    /// `draft` unless given.
    to: Option<String>,
}

/// What is different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiffBody {
    /// A JSON Patch (RFC 6902) that turns the one definition into the other.
    #[schema(value_type = Vec<Object>)]
    patch: json_patch::Patch,
}

/// What turns one version of a workflow into another, or into the draft. For those who manage its
/// module.
#[utoipa::path(get, path = "/workflows/{id}/diff", tag = "workflows",
    params(("id" = String, Path), Between),
    responses(
        (status = 200, body = DiffBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn workflow_diff(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Parameters(between): Parameters<Between>,
) -> Result<Json<DiffBody>, Problem> {
    let slug = segment(&id)?;
    let of = |name, text: Option<String>, usual| match text {
        Some(text) => edition(name, &text),
        None => Ok(usual),
    };
    let from = of("from", between.from, Edition::Live)?;
    let to = of("to", between.to, Edition::Draft)?;
    let patch = app
        .engine
        .workflow_diff(caller.tenant, &caller.actor, (&slug, from, to))
        .await?;
    Ok(Json(DiffBody { patch }))
}

pub(crate) fn edition(name: &str, text: &str) -> Result<Edition, Problem> {
    match text {
        "draft" => Ok(Edition::Draft),
        "live" => Ok(Edition::Live),
        number => number.parse().map(Edition::Version).map_err(|_| {
            let message = "a version's number, 0 for the template's own, `live`, or `draft`";
            Problem::invalid(Violations::one(&format!("/{name}"), "version", message))
        }),
    }
}
