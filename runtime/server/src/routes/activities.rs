//! `/records/{module}/{id}/activities`: a record's timeline.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_model::{ActivityId, Mutation, NewActivity};
use crm_store::activities::Activity;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::records::write_once;

/// An entry on a timeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
pub(crate) struct ActivityBody {
    id: String,
    /// `note`, `call`, `meeting`, `email`, `task` or `system`.
    kind: String,
    title: String,
    body: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    /// A person (`user`) or a workflow's run.
    cause: serde_json::Value,
}

impl From<Activity> for ActivityBody {
    fn from(activity: Activity) -> Self {
        Self {
            id: activity.id.to_string(),
            kind: activity.kind,
            title: activity.title,
            body: activity.body,
            created_at: activity.created_at,
            created_by: activity.created_by,
            cause: activity.cause,
        }
    }
}

/// A new entry.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivityInput {
    #[schema(example = "note")]
    kind: String,
    title: String,
    body: Option<String>,
}

/// Where the new entry stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActivityCreated {
    id: String,
}

/// A record's timeline, newest first.
#[utoipa::path(get, path = "/records/{module}/{id}/activities", tag = "records",
    params(("module" = String, Path), ("id" = String, Path), PageParameters),
    responses((status = 200, body = List<ActivityBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn activities_list(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Json<List<ActivityBody>>, Problem> {
    let page = parameters.request::<ActivityId>()?;
    let (module, id) = (segment(&module)?, segment(&id)?);
    let page = app
        .engine
        .activities(caller.tenant, &caller.actor, &module, id, page)
        .await?;
    Ok(Json(List::page(
        page,
        |activity| activity.id.to_string(),
        ActivityBody::from,
    )))
}

/// Adds to a record's timeline.
#[utoipa::path(post, path = "/records/{module}/{id}/activities", tag = "records",
    params(("module" = String, Path), ("id" = String, Path)),
    request_body = ActivityInput,
    responses(
        (status = 201, body = ActivityCreated),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn activity_add(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Keyed { key, input }: Keyed<ActivityInput>,
) -> Result<Response, Problem> {
    let (module, record_id) = (segment(&module)?, segment(&id)?);
    let activity = NewActivity::new(&input.kind, &input.title, input.body.as_deref())
        .map_err(Problem::invalid)?;
    let mutation = Mutation::Activity {
        module,
        record_id,
        activity,
    };
    write_once(&app, &caller, key, mutation).await
}

pub(crate) fn activity_answer(id: ActivityId) -> Answer {
    let body = ActivityCreated { id: id.to_string() };
    Answer::json(StatusCode::CREATED, &body)
}
