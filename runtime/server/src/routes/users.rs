//! `/users`: people who log in here, with a password; for those who manage everything. Where the
//! local issuer is off, there is nothing. The link of an invitation is in the answer that makes it
//! and nowhere else: the answer that is kept for an Idempotency-Key has none, so a repeated
//! request tells who was invited, and `…/invitation` makes another link.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_model::RoleSlug;
use crm_model::local_user::{LocalUserEdit, NewLocalUser};
use crm_store::users::LocalUser;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::{Caller, invitation_url};
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// Somebody who logs in here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LocalUser)]
pub(crate) struct UserBody {
    id: String,
    /// What records and members call them.
    #[schema(example = "local:01890a5d-ac96-774b-bcce-b302099a8057")]
    user_id: String,
    email: String,
    name: String,
    /// From the login; those of `/members` come on top.
    roles: Vec<String>,
    /// `invited`, `active` or `disabled`.
    state: &'static str,
    /// Until when the link of an invitation is good, if one is open.
    invited_until: Option<DateTime<Utc>>,
    /// The link by which they choose a password. Only in the first answer to the request that
    /// made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation_url: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    last_login_at: Option<DateTime<Utc>>,
}

impl From<LocalUser> for UserBody {
    fn from(user: LocalUser) -> Self {
        Self {
            id: user.id.to_string(),
            user_id: format!("local:{}", user.id),
            email: user.email,
            name: user.name,
            roles: user.roles.iter().map(ToString::to_string).collect(),
            state: match (user.disabled_at, user.active) {
                (Some(_), _) => "disabled",
                (None, true) => "active",
                (None, false) => "invited",
            },
            invited_until: user.invited_until,
            invitation_url: None,
            created_at: user.created_at,
            created_by: user.created_by.to_string(),
            last_login_at: user.last_login_at,
        }
    }
}

/// Whom to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InviteUser)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteBody {
    email: String,
    #[serde(default)]
    name: String,
    #[schema(value_type = Vec<String>, example = json!(["agent"]))]
    roles: Vec<RoleSlug>,
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EditUser)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditBody {
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    roles: Option<Vec<RoleSlug>>,
    /// Who is disabled does not log in; `false` lets them in again.
    #[serde(default)]
    disabled: Option<bool>,
}

/// There is something here where the local issuer is on.
fn check_local(app: &App) -> Result<(), Problem> {
    app.local().map(|_| ()).ok_or_else(Problem::not_found)
}

fn answer(status: StatusCode, user: &LocalUser, link: Option<String>) -> Answer {
    let body = UserBody {
        invitation_url: link,
        ..UserBody::from(user.clone())
    };
    Answer::json(status, &body)
}

/// Where the browser of whoever asks reaches the server, for the link of an invitation.
fn origin(app: &App, headers: &HeaderMap) -> Result<String, Problem> {
    let browsers = app.browsers.as_ref().ok_or_else(Problem::not_found)?;
    browsers.origin(headers)
}

/// Who logs in here, the newest first. For those who may manage all modules.
#[utoipa::path(get, path = "/users", tag = "users",
    params(PageParameters),
    responses(
        (status = 200, body = List<UserBody>),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "The local issuer is off"),
    ))]
pub(crate) async fn users_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<List<UserBody>>, Problem> {
    check_local(&app)?;
    let users = app
        .engine
        .users(caller.tenant, &caller.actor, page.request()?);
    let cursor = |user: &LocalUser| user.id.to_string();
    Ok(Json(List::page(users.await?, cursor, UserBody::from)))
}

/// Invites somebody. The answer's `invitation_url` is shown this once: they choose a password
/// there.
#[utoipa::path(post, path = "/users", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = InviteBody,
    responses(
        (status = 201, body = UserBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "The local issuer is off"),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn user_invite(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Keyed { key, input }: Keyed<InviteBody>,
) -> Result<Response, Problem> {
    check_local(&app)?;
    let origin = origin(&app, &headers)?;
    let wanted = NewLocalUser {
        email: input.email,
        name: input.name,
        roles: input.roles,
    };
    once(&app, &caller, key, async |key| {
        let kept = receipt_of(key, |user: &LocalUser| {
            answer(StatusCode::CREATED, user, None)
        });
        let actor = caller.actor.clone();
        let invited = app.engine.user_invite(caller.tenant, actor, wanted, kept);
        let (user, invitation) = invited.await?;
        let link = invitation_url(&origin, &invitation);
        Ok(answer(StatusCode::CREATED, &user, Some(link)))
    })
    .await
}

/// Gives somebody another link in the place of the one before, by which they choose a password:
/// the first, or a new one. Their sessions end when they do.
#[utoipa::path(post, path = "/users/{id}/invitation", tag = "users",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Object>,
    responses(
        (status = 200, body = UserBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "They are disabled"),
    ))]
pub(crate) async fn user_reinvite(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    KeyedOrEmpty(Keyed { key, .. }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    check_local(&app)?;
    let (id, origin) = (segment(&id)?, origin(&app, &headers)?);
    once(&app, &caller, key, async |key| {
        let kept = receipt_of(key, |user: &LocalUser| answer(StatusCode::OK, user, None));
        let actor = caller.actor.clone();
        let invited = app.engine.user_reinvite(caller.tenant, actor, id, kept);
        let (user, invitation) = invited.await?;
        let link = invitation_url(&origin, &invitation);
        Ok(answer(StatusCode::OK, &user, Some(link)))
    })
    .await
}

/// Gives somebody other roles, disables or enables them. Their sessions end at once.
#[utoipa::path(patch, path = "/users/{id}", tag = "users",
    params(("id" = String, Path)),
    request_body = EditBody,
    responses(
        (status = 200, body = UserBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It is you"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn user_edit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(input): Body<EditBody>,
) -> Result<Json<UserBody>, Problem> {
    check_local(&app)?;
    let edit = LocalUserEdit {
        roles: input.roles,
        disabled: input.disabled,
    };
    let (engine, id) = (&app.engine, segment(&id)?);
    let edited = engine.user_edit(caller.tenant, caller.actor, id, edit);
    Ok(Json(edited.await?.into()))
}
