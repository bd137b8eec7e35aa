//! `/records/{module}/{id}/shares`: letting people and teams in to one record that they would not
//! reach otherwise. For those who may update the record.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::reach::Subject;
use crm_store::shares::Share;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::segment;
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};

/// How far somebody is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShareAccess {
    #[default]
    Read,
    /// And read.
    Update,
}

/// Somebody whom a record is shared with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Share)]
pub(crate) struct ShareBody {
    /// `user:…` or `team:…`.
    #[schema(value_type = String, example = "team:west")]
    with: Subject,
    access: ShareAccess,
    shared_at: String,
    shared_by: String,
}

impl From<Share> for ShareBody {
    fn from(share: Share) -> Self {
        Self {
            with: share.subject,
            access: match share.may_update {
                true => ShareAccess::Update,
                false => ShareAccess::Read,
            },
            shared_at: share
                .shared_at
                .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            shared_by: share.shared_by,
        }
    }
}

/// Who is to be let in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareInput {
    /// `user:…` or `team:…`.
    #[schema(value_type = String, example = "team:west")]
    with: Subject,
    /// It opens no more than their roles let them do in the module at all.
    #[serde(default)]
    access: ShareAccess,
}

/// With whom a record is shared, by name.
#[utoipa::path(get, path = "/records/{module}/{id}/shares", tag = "permissions",
    params(("module" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = List<ShareBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn shares_list(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
) -> Result<Json<List<ShareBody>>, Problem> {
    let (module, id) = (segment(&module)?, segment(&id)?);
    let shares = app
        .engine
        .shares(caller.tenant, &caller.actor, (&module, id))
        .await?;
    let shares = shares.into_iter().map(ShareBody::from);
    Ok(Json(List::whole(shares.collect())))
}

/// Shares a record with a person or a team, or says anew how far.
#[utoipa::path(post, path = "/records/{module}/{id}/shares", tag = "permissions",
    params(("module" = String, Path), ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)),
    request_body = ShareInput,
    responses(
        (status = 201, body = ShareBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn share_add(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Keyed { key, input }: Keyed<ShareInput>,
) -> Result<Response, Problem> {
    let (module, id) = (segment(&module)?, segment(&id)?);
    let may_update = input.access == ShareAccess::Update;
    let answer = |share: &Share| Answer::json(StatusCode::CREATED, &ShareBody::from(share.clone()));
    once(&app, &caller, key, async |key| {
        let shared = app.engine.share_put(
            caller.tenant,
            caller.actor.clone(),
            (module, id),
            (input.with, may_update),
            receipt_of(key, answer),
        );
        Ok(answer(&shared.await?))
    })
    .await
}

/// Ends that a record is shared with somebody.
#[utoipa::path(delete, path = "/records/{module}/{id}/shares/{with}", tag = "permissions",
    params(("module" = String, Path), ("id" = String, Path), ("with" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn share_remove(
    State(app): State<App>,
    caller: Caller,
    Path((module, id, with)): Path<(String, String, String)>,
) -> Result<StatusCode, Problem> {
    let place = (segment(&module)?, segment(&id)?);
    app.engine
        .share_remove(caller.tenant, caller.actor, place, segment(&with)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
