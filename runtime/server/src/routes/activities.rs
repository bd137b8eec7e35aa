//! `/records/{module}/{id}/activities` and `/activities`: entries on timelines, of a record and
//! of all.

mod shapes;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use crm_model::Mutation;
use crm_store::activities::Activity;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::records::write_once;
use shapes::{ActivitiesParameters, ActivityChange, ActivityInput, ActivityParameters};

pub(crate) use shapes::ActivityBody;

/// The entries of a record's timeline that were written down, the last first.
#[utoipa::path(get, path = "/records/{module}/{id}/activities", tag = "activities",
    params(("module" = String, Path), ("id" = String, Path), ActivityParameters),
    responses((status = 200, body = List<ActivityBody>), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(crate) async fn activities_list(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(parameters): Parameters<ActivityParameters>,
) -> Result<Json<List<ActivityBody>>, Problem> {
    let parameters = ActivitiesParameters::from(parameters);
    let page = parameters.page()?;
    let filter = parameters.filter(&caller)?;
    let (module, id) = (segment(&module)?, segment(&id)?);
    let page = app
        .engine
        .activities(caller.tenant, &caller.actor, (&module, id), &filter, page)
        .await?;
    Ok(Json(List::page(
        page,
        |activity| activity.id.to_string(),
        ActivityBody::from,
    )))
}

/// Entries of all records, the last written first.
#[utoipa::path(get, path = "/activities", tag = "activities", params(ActivitiesParameters),
    responses((status = 200, body = List<ActivityBody>), (status = 422, body = ProblemBody)))]
pub(crate) async fn activities_across(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<ActivitiesParameters>,
) -> Result<Json<List<ActivityBody>>, Problem> {
    let page = parameters.page()?;
    let filter = parameters.filter(&caller)?;
    let page = app
        .engine
        .activities_across(caller.tenant, &caller.actor, &filter, page)
        .await?;
    Ok(Json(List::page(
        page,
        |activity| activity.id.to_string(),
        ActivityBody::from,
    )))
}

/// Adds to a record's timeline.
#[utoipa::path(post, path = "/records/{module}/{id}/activities", tag = "activities",
    params(("module" = String, Path), ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)),
    request_body = ActivityInput,
    responses(
        (status = 201, body = ActivityBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "Every violation, with its pointer"),
    ))]
pub(crate) async fn activity_add(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Keyed { key, input }: Keyed<ActivityInput>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Activity {
        module: segment(&module)?,
        record_id: segment(&id)?,
        activity: input.activity(&caller),
    };
    write_once(&app, &caller, key, mutation).await
}

/// The answer to whoever added it.
pub(crate) fn activity_answer(activity: Activity) -> Answer {
    let location = format!("/api/crm/activities/{}", activity.id);
    Answer::json(StatusCode::CREATED, &ActivityBody::from(activity))
        .with_header(header::LOCATION, location)
}

/// One entry.
#[utoipa::path(get, path = "/activities/{id}", tag = "activities",
    params(("id" = String, Path)),
    responses((status = 200, body = ActivityBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn activity_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ActivityBody>, Problem> {
    let id = segment(&id)?;
    let activity = app.engine.activity(caller.tenant, &caller.actor, id);
    Ok(Json(activity.await?.into()))
}

/// Changes an entry. What the system wrote stays as it is.
#[utoipa::path(patch, path = "/activities/{id}", tag = "activities",
    params(("id" = String, Path)), request_body = ActivityChange,
    responses(
        (status = 200, body = ActivityBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn activity_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<ActivityChange>,
) -> Result<Json<ActivityBody>, Problem> {
    let id = segment(&id)?;
    let patch = change.patch(&caller);
    let changed = app
        .engine
        .activity_change(caller.tenant, caller.actor, id, patch);
    Ok(Json(changed.await?.into()))
}

/// Takes an entry away. What the system wrote stays.
#[utoipa::path(delete, path = "/activities/{id}", tag = "activities",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn activity_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = segment(&id)?;
    let removed = app.engine.activity_remove(caller.tenant, caller.actor, id);
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}
