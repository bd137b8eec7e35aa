//! `/secrets`: what workflows send along without ever seeing it. No answer has a secret's value.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::effects::secrets::NewSecret;
use crm_store::secrets::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Secret)]
pub(crate) struct SecretBody {
    name: String,
    /// Where it may be sent: names of hosts; `*.example.com` is what is below one.
    hosts: Vec<String>,
    updated_at: DateTime<Utc>,
    updated_by: String,
}

impl From<Secret> for SecretBody {
    fn from(secret: Secret) -> Self {
        Self {
            name: secret.name,
            hosts: secret.hosts,
            updated_at: secret.updated_at,
            updated_by: secret.updated_by,
        }
    }
}

/// A secret to keep.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewSecret)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretInput {
    /// What plugins call it.
    #[schema(example = "stripe")]
    name: String,
    /// Nobody is ever told it again.
    value: String,
    /// Where it may be sent: names of hosts; `*.example.com` is what is below one.
    hosts: Vec<String>,
}

/// The tenant's secrets, by name. For people who may manage all modules.
#[utoipa::path(get, path = "/secrets", tag = "secrets",
    responses((status = 200, body = List<SecretBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn secrets_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<SecretBody>>, Problem> {
    let secrets = app.engine.secrets(caller.tenant, &caller.actor).await?;
    let secrets = secrets.into_iter().map(SecretBody::from);
    Ok(Json(List::whole(secrets.collect())))
}

/// Keeps a secret, in the place of the one of that name.
#[utoipa::path(post, path = "/secrets", tag = "secrets",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = SecretInput,
    responses(
        (status = 201, body = SecretBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn secret_put(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<SecretInput>,
) -> Result<Response, Problem> {
    let answer =
        |secret: &Secret| Answer::json(StatusCode::CREATED, &SecretBody::from(secret.clone()));
    once(&app, &caller, key, async |key| {
        let wanted = NewSecret {
            name: input.name,
            value: input.value,
            hosts: input.hosts,
        };
        let (actor, receipt) = (caller.actor.clone(), receipt_of(key, answer));
        let put = app.engine.secret_put(caller.tenant, actor, wanted, receipt);
        Ok(answer(&put.await?))
    })
    .await
}

/// Forgets a secret. Requests that wait to be sent with it fail.
#[utoipa::path(delete, path = "/secrets/{name}", tag = "secrets",
    params(("name" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn secret_remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.engine
        .secret_remove(caller.tenant, caller.actor, name)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
