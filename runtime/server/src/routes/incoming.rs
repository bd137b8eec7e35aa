//! Requests from outside that start workflows: `/workflows/{id}/address` for those who give them
//! one, `/hooks/{secret}` for whoever has it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::api_keys::ApiSecret;
use crm_engine::incoming::Incoming;
use crm_model::Violations;
use crm_model::limits::HTTP_ANSWER_MAX_BYTES;
use crm_store::incoming::Address;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::problem::{Kind, Problem, ProblemBody};

/// What the sender calls a message in Standard Webhooks; the same when it is sent again.
const MESSAGE_HEADER: &str = "webhook-id";
const MESSAGE_MAX_CHARACTERS: usize = 200;

/// An address at which requests start a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddressBody {
    /// Where to send requests, on this host. It holds the secret, and is told once: in the answer
    /// that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// How the secret begins.
    prefix: String,
    created_at: DateTime<Utc>,
    created_by: String,
}

impl AddressBody {
    fn of(address: Address, secret: Option<&ApiSecret>) -> Self {
        Self {
            path: secret.map(|secret| format!("/hooks/{}", secret.reveal())),
            prefix: address.prefix,
            created_at: address.created_at,
            created_by: address.created_by,
        }
    }
}

/// Gives a workflow that starts on `request_received` an address, in the place of the one before,
/// which works no more. For those who manage everything.
#[utoipa::path(post, path = "/workflows/{id}/address", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 201, body = AddressBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn address_make(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    let slug = segment(&id)?;
    let told = |address: &Address, secret: Option<&ApiSecret>| {
        let body = AddressBody::of(address.clone(), secret);
        Answer::json(StatusCode::CREATED, &body)
    };
    once(&app, &caller, key, async |key| {
        // What is kept for the same request has no secret.
        let kept = receipt_of(key, move |address: &Address| told(address, None));
        let (tenant, actor) = (caller.tenant, caller.actor.clone());
        let (address, secret) = app.engine.address_make(tenant, actor, slug, kept).await?;
        Ok(told(&address, Some(&secret)))
    })
    .await
}

/// A workflow's address, without its secret. For those who manage everything.
#[utoipa::path(get, path = "/workflows/{id}/address", tag = "workflows",
    params(("id" = String, Path)),
    responses((status = 200, body = AddressBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn address_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AddressBody>, Problem> {
    let slug = segment(&id)?;
    let found = app.engine.address(caller.tenant, &caller.actor, &slug);
    Ok(Json(AddressBody::of(found.await?, None)))
}

/// Ends a workflow's address at once. For those who manage everything.
#[utoipa::path(delete, path = "/workflows/{id}/address", tag = "workflows",
    params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = ProblemBody)))]
pub(crate) async fn address_end(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let slug = segment(&id)?;
    app.engine
        .address_end(caller.tenant, caller.actor, slug)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The run that a request started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceivedBody {
    /// Its id; none where the workflow's condition does not hold.
    run: Option<String>,
}

/// Starts the workflow whose address this is. The body is JSON of at most 128 KiB, which the
/// workflow finds as `payload.body`. With a `webhook-id` the same message starts one run, however
/// often it is sent.
#[utoipa::path(post, path = "/hooks/{secret}", tag = "workflows", security(()),
    params(
        ("secret" = String, Path),
        ("webhook-id" = Option<String>, Header),
    ),
    request_body = Object,
    responses(
        (status = 202, body = ReceivedBody),
        (status = 404, body = ProblemBody),
        (status = 413, body = ProblemBody),
        (status = 429, body = ProblemBody),
    ))]
pub(crate) async fn request_received(
    State(app): State<App>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    Body(body): Body<Value>,
) -> Result<(StatusCode, Json<ReceivedBody>), Problem> {
    if body.to_string().len() > HTTP_ANSWER_MAX_BYTES {
        let detail = format!("a message has at most {HTTP_ANSWER_MAX_BYTES} bytes");
        return Err(Problem::detailed(Kind::TooLarge, detail));
    }
    let message = match headers.get(MESSAGE_HEADER).map(|message| message.to_str()) {
        None => None,
        Some(Ok(message)) if (1..=MESSAGE_MAX_CHARACTERS).contains(&message.len()) => {
            Some(message.to_owned())
        }
        Some(_) => {
            let message = format!("1 to {MESSAGE_MAX_CHARACTERS} printable ASCII characters");
            let violations = Violations::one("/webhook-id", "header", message);
            return Err(Problem::invalid(violations));
        }
    };
    let incoming = Incoming { body, message };
    let run = app.engine.request_received(&secret, incoming).await?;
    let run = run.map(|run| run.to_string());
    Ok((StatusCode::ACCEPTED, Json(ReceivedBody { run })))
}
