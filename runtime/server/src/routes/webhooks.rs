//! `/webhooks`: where signed messages of workflows go (Standard Webhooks), and what became of
//! them. The secret that signs is in the answer that makes the webhook and nowhere else.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::effects::webhooks::{DeliveryId, NewWebhook, WebhookEdit};
use crm_store::webhooks::Webhook;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::effects::EffectBody;

/// An address that signed messages go to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookBody {
    id: String,
    /// What plugins call it.
    name: String,
    url: String,
    /// Whether anything is sent there at the moment; what is asked for meanwhile fails.
    enabled: bool,
    /// To check signatures with (standardwebhooks.com). Only in the first answer to the request
    /// that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
}

impl From<Webhook> for WebhookBody {
    fn from(hook: Webhook) -> Self {
        Self {
            id: hook.id.to_string(),
            name: hook.name,
            url: hook.url,
            enabled: hook.enabled,
            secret: None,
            created_at: hook.created_at,
            created_by: hook.created_by,
            updated_at: hook.updated_at,
        }
    }
}

/// An address to send signed messages to.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewWebhook)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookInput {
    /// What plugins call it.
    #[schema(example = "shipping")]
    name: String,
    /// Over https.
    #[schema(example = "https://example.com/hooks/crm")]
    url: String,
}

/// What is to be another of it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChange {
    url: Option<String>,
    enabled: Option<bool>,
}

/// Where webhooks go, by name. For people who may manage all modules.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks",
    responses((status = 200, body = List<WebhookBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn webhooks_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<WebhookBody>>, Problem> {
    let hooks = app.engine.webhooks(caller.tenant, &caller.actor).await?;
    let hooks = hooks.into_iter().map(WebhookBody::from);
    Ok(Json(List::whole(hooks.collect())))
}

/// Keeps an address under a name. The answer's `secret` is shown this once.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = WebhookInput,
    responses(
        (status = 201, body = WebhookBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn webhook_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<WebhookInput>,
) -> Result<Response, Problem> {
    let answer = |hook: &Webhook, secret: Option<String>| {
        let location = format!("/api/crm/webhooks/{}", hook.id);
        let body = WebhookBody {
            secret,
            ..WebhookBody::from(hook.clone())
        };
        Answer::json(StatusCode::CREATED, &body).with_header(header::LOCATION, location)
    };
    once(&app, &caller, key, async |key| {
        let kept = receipt_of(key, move |hook: &Webhook| answer(hook, None));
        let wanted = NewWebhook {
            name: input.name,
            url: input.url,
        };
        let actor = caller.actor.clone();
        let added = app.engine.webhook_add(caller.tenant, actor, wanted, kept);
        let (hook, secret) = added.await?;
        Ok(answer(&hook, Some(secret)))
    })
    .await
}

/// One webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = WebhookBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn webhook_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WebhookBody>, Problem> {
    let hook = app
        .engine
        .webhook(caller.tenant, &caller.actor, segment(&id)?);
    Ok(Json(hook.await?.into()))
}

/// Sends somewhere else, or nowhere for now.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path)),
    request_body = WebhookChange,
    responses(
        (status = 200, body = WebhookBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn webhook_edit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<WebhookChange>,
) -> Result<Json<WebhookBody>, Problem> {
    let edit = WebhookEdit {
        url: change.url,
        enabled: change.enabled,
    };
    let id = segment(&id)?;
    let edited = app
        .engine
        .webhook_edit(caller.tenant, caller.actor, id, edit);
    Ok(Json(edited.await?.into()))
}

/// Forgets an address. What waits to be sent there fails.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn webhook_remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = segment(&id)?;
    app.engine
        .webhook_remove(caller.tenant, caller.actor, id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was sent to an address, or waits to be, newest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path), PageParameters),
    responses(
        (status = 200, body = List<EffectBody>),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn webhook_deliveries(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<List<EffectBody>>, Problem> {
    let (id, page) = (segment(&id)?, page.request::<DeliveryId>()?);
    let sent = app
        .engine
        .webhook_deliveries(caller.tenant, &caller.actor, id, page);
    Ok(Json(List::page(
        sent.await?,
        |fate| format!("{}:{}", fate.job_id, fate.number),
        EffectBody::from,
    )))
}
