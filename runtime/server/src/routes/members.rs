//! `/members`: who has which roles here, beside those that the login gives, and what rules for
//! records know of them. For those who manage everything.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::overlay::ModelChange;
use crm_model::roles::Member;
use crm_model::{Data, Model, RoleSlug, UserId};
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
    /// What rules for records see as `user.…`.
    #[schema(value_type = Object)]
    attributes: Data,
}

impl MemberBody {
    fn of(user: &UserId, member: Member) -> Self {
        Self {
            user_id: user.to_string(),
            roles: member.roles.iter().map(ToString::to_string).collect(),
            attributes: member.attributes,
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
    #[serde(default)]
    roles: BTreeSet<RoleSlug>,
    /// What rules for records see as `user.…`, in the place of what they had: texts, numbers,
    /// truth values, and lists of those.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"regions": ["west"]}))]
    attributes: Data,
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
        |(user, member)| MemberBody::of(&user, member),
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
    let member = Member {
        roles: input.roles,
        attributes: input.attributes,
    };
    let change = ModelChange::MemberPut(input.user_id, member);
    let answer = move |model: &Model| match model.members().get(&user) {
        Some(member) => {
            let body = MemberBody::of(&user, member.clone());
            Answer::json(StatusCode::CREATED, &body)
        }
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
