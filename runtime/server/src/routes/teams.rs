//! `/teams`: people who work together. For those who manage everything.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::definition::TeamDefinition;
use crm_model::overlay::ModelChange;
use crm_model::{Data, Model, TeamSlug, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub(crate) struct TeamBody {
    slug: String,
    label: String,
    /// Ids of users.
    members: Vec<String>,
}

impl From<&TeamDefinition> for TeamBody {
    fn from(team: &TeamDefinition) -> Self {
        Self {
            slug: team.slug.to_string(),
            label: team.label.clone(),
            members: team.members.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TeamBody {
    fn find(model: &Model, slug: &TeamSlug) -> Result<Json<Self>, Problem> {
        let team = model.teams().get(slug).ok_or_else(Problem::not_found)?;
        Ok(Json(team.into()))
    }
}

/// A new team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamInput {
    #[schema(value_type = String, example = "west")]
    slug: TeamSlug,
    #[schema(example = "West")]
    label: String,
    /// Ids of users.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    members: BTreeSet<UserId>,
}

/// All teams, by name.
#[utoipa::path(get, path = "/teams", tag = "permissions",
    responses((status = 200, body = List<TeamBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn teams_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<TeamBody>>, Problem> {
    let model = app
        .engine
        .model_managed(caller.tenant, &caller.actor)
        .await?;
    let teams = model.teams().values().map(TeamBody::from);
    Ok(Json(List::whole(teams.collect())))
}

/// Adds a team. Live for the next request.
#[utoipa::path(post, path = "/teams", tag = "permissions",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TeamInput,
    responses(
        (status = 201, body = TeamBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn team_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<TeamInput>,
) -> Result<Response, Problem> {
    let slug = input.slug.clone();
    let change = ModelChange::TeamAdd(TeamDefinition {
        slug: input.slug,
        label: input.label,
        members: input.members,
    });
    let answer = move |model: &Model| match TeamBody::find(model, &slug) {
        Ok(Json(team)) => Answer::json(StatusCode::CREATED, &team),
        Err(_) => Answer::empty(StatusCode::CREATED),
    };
    change_once(&app, &caller, key, change, answer).await
}

/// One team.
#[utoipa::path(get, path = "/teams/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    responses(
        (status = 200, body = TeamBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn team_get(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<Json<TeamBody>, Problem> {
    let model = app
        .engine
        .model_managed(caller.tenant, &caller.actor)
        .await?;
    TeamBody::find(&model, &segment(&slug)?)
}

/// Changes a team: a merge patch of `label` and `members`, the members as a whole.
#[utoipa::path(patch, path = "/teams/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = TeamBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn team_edit(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
    Body(patch): Body<Data>,
) -> Result<Json<TeamBody>, Problem> {
    let slug: TeamSlug = segment(&slug)?;
    let change = ModelChange::TeamEdit(slug.clone(), patch);
    let model = app
        .engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    TeamBody::find(&model, &slug)
}

/// Deletes a team; what was shared with it is shared with nobody in its place.
#[utoipa::path(delete, path = "/teams/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn team_remove(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<StatusCode, Problem> {
    let change = ModelChange::TeamRemove(segment(&slug)?);
    app.engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
