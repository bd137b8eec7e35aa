//! `/members`: who has which roles here, beside those that the login gives. For those who manage
//! everything.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::overlay::ModelChange;
use crm_model::{Model, RoleSlug, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;

/// Somebody with roles.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    user_id: String,
    roles: Vec<String>,
}

impl MemberBody {
    fn of(user: &UserId, roles: &BTreeSet<RoleSlug>) -> Self {
        Self {
            user_id: user.to_string(),
            roles: roles.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Who is to have which roles.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberInput {
    /// The login's name for the person.
    #[schema(value_type = String)]
    user_id: UserId,
    /// In the place of those that they had here.
    #[schema(value_type = Vec<String>, example = json!(["agent"]))]
    roles: BTreeSet<RoleSlug>,
}

/// The members, by user id.
#[utoipa::path(get, path = "/members", tag = "permissions", params(PageParameters),
    responses(
        (status = 200, body = List<MemberBody>),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn members_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Json<List<MemberBody>>, Problem> {
    let page = parameters.request::<UserId>()?;
    let members = app
        .engine
        .members(caller.tenant, &caller.actor, page)
        .await?;
    Ok(Json(List::page(
        members,
        |(user, _)| user.to_string(),
        |(user, roles)| MemberBody::of(&user, &roles),
    )))
}

/// Gives somebody roles, in the place of those that they had here. From the next request on, on
/// every instance.
#[utoipa::path(post, path = "/members", tag = "permissions",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = MemberInput,
    responses(
        (status = 201, body = MemberBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "You would no longer manage everything"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn member_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<MemberInput>,
) -> Result<Response, Problem> {
    let user = input.user_id.clone();
    let change = ModelChange::MemberPut(input.user_id, input.roles);
    let answer = move |model: &Model| match model.members().get(&user) {
        Some(roles) => Answer::json(StatusCode::CREATED, &MemberBody::of(&user, roles)),
        None => Answer::empty(StatusCode::CREATED),
    };
    change_once(&app, &caller, key, change, answer).await
}

/// Takes all roles from somebody that they had here. Those of the login stay.
#[utoipa::path(delete, path = "/members/{user}", tag = "permissions",
    params(("user" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "You would no longer manage everything"),
    ))]
pub(crate) async fn member_remove(
    State(app): State<App>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<StatusCode, Problem> {
    let change = ModelChange::MemberRemove(segment(&user)?);
    app.engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
