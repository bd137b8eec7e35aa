//! `/api-keys`: keys for programs. The key itself is in the answer that makes it and nowhere else:
//! the answer that is kept for an Idempotency-Key has none, so a repeated request tells which key
//! was made, and `rotate` gives it another secret.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::api_keys::ApiSecret;
use crm_model::api_key::{NewApiKey, Scope};
use crm_store::api_keys::ApiKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// How long a replaced secret goes on unless it is said: a day, to bring the new one everywhere.
const OVERLAP_DEFAULT_SECONDS: i64 = 24 * 3600;

/// A key for programs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyBody {
    id: String,
    name: String,
    /// How the key begins.
    #[schema(example = "crm_1f0c9a2b")]
    prefix: String,
    /// Send it as `Authorization: Bearer …`. Only in the first answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Whom records name that it changes.
    user_id: String,
    roles: Vec<String>,
    /// `modules` and `actions`: what it may do at most; all where a list is missing.
    #[schema(value_type = Object)]
    scopes: Scope,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    /// In whole minutes.
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            prefix: key.prefix,
            key: None,
            user_id: key.user_id.to_string(),
            roles: key.roles.iter().map(ToString::to_string).collect(),
            scopes: key.scope,
            created_at: key.created_at,
            created_by: key.created_by.to_string(),
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// How a key is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = RotateApiKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// How long the old secret goes on: a day unless given, at most 30 days, 0 to end it at once.
    overlap_seconds: Option<i64>,
}

fn answer(status: StatusCode, key: &ApiKey, secret: Option<&ApiSecret>) -> Answer {
    let location = format!("/api/crm/api-keys/{}", key.id);
    let body = ApiKeyBody {
        key: secret.map(|secret| secret.reveal().to_owned()),
        ..ApiKeyBody::from(key.clone())
    };
    Answer::json(status, &body).with_header(header::LOCATION, location)
}

/// The tenant's keys, newest first, also those that have ended. For those who may manage all
/// modules.
#[utoipa::path(get, path = "/api-keys", tag = "api-keys",
    params(PageParameters),
    responses((status = 200, body = List<ApiKeyBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn api_keys_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<List<ApiKeyBody>>, Problem> {
    let page = page.request()?;
    let keys = app.engine.api_keys(caller.tenant, &caller.actor, page);
    let cursor = |key: &ApiKey| key.id.to_string();
    Ok(Json(List::page(keys.await?, cursor, ApiKeyBody::from)))
}

/// Makes a key: `name`, and where they are to be narrower than yours `roles`, `scopes`
/// (`modules`, `actions`) and `expires_at`. The answer's `key` is shown this once.
#[utoipa::path(post, path = "/api-keys", tag = "api-keys",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = Object,
    responses(
        (status = 201, body = ApiKeyBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn api_key_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<NewApiKey>,
) -> Result<Response, Problem> {
    once(&app, &caller, key, async |key| {
        let kept = receipt_of(key, |key: &ApiKey| answer(StatusCode::CREATED, key, None));
        let actor = caller.actor.clone();
        let made = app.engine.api_key_add(caller.tenant, actor, input, kept);
        let (key, secret) = made.await?;
        Ok(answer(StatusCode::CREATED, &key, Some(&secret)))
    })
    .await
}

/// Gives a key a new secret, in the answer's `key`; the old one goes on for `overlap_seconds`.
#[utoipa::path(post, path = "/api-keys/{id}/rotate", tag = "api-keys",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<RotateBody>,
    responses(
        (status = 200, body = ApiKeyBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn api_key_rotate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed { key, input }): KeyedOrEmpty<RotateBody>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let overlap = input.overlap_seconds.unwrap_or(OVERLAP_DEFAULT_SECONDS);
    once(&app, &caller, key, async |key| {
        let kept = receipt_of(key, |key: &ApiKey| answer(StatusCode::OK, key, None));
        let (engine, actor) = (&app.engine, caller.actor.clone());
        let rotated = engine.api_key_rotate(caller.tenant, actor, id, overlap, kept);
        let (key, secret) = rotated.await?;
        Ok(answer(StatusCode::OK, &key, Some(&secret)))
    })
    .await
}

/// Ends a key at once. It stays in the list.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn api_key_revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let key = segment(&id)?;
    app.engine
        .api_key_revoke(caller.tenant, caller.actor, key)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
