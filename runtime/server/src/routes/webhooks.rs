//! `/webhooks`: where signed messages of workflows go (Standard Webhooks), and what became of
//! them. The secret that signs is in the answer that makes the webhook and nowhere else.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::effects::webhooks::{DeliveryId, NewWebhook, Redelivery, WebhookEdit};
use crm_model::limits::WEBHOOK_OVERLAP_DEFAULT_SECONDS;
use crm_model::subscription::Watch;
use crm_model::{EventKind, FieldKey, ModuleSlug, Violations};
use crm_store::webhooks::Webhook;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::effects::EffectBody;

/// Records of one module that a webhook is told of, in the order of each record's versions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookEvents)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchBody {
    #[schema(value_type = String, example = "patients")]
    module: ModuleSlug,
    /// `record_created`, `record_updated`, `record_deleted` or `record_restored`.
    #[schema(value_type = Vec<String>, example = json!(["record_created", "record_updated"]))]
    on: BTreeSet<EventKind>,
    /// Of updates, those that change one of these fields; and of each record these fields alone.
    /// Everything, where there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["email"]))]
    fields: BTreeSet<FieldKey>,
}

impl From<WatchBody> for Watch {
    fn from(body: WatchBody) -> Self {
        Self {
            module: body.module,
            on: body.on,
            fields: body.fields,
        }
    }
}

impl From<Watch> for WatchBody {
    fn from(watch: Watch) -> Self {
        Self {
            module: watch.module,
            on: watch.on,
            fields: watch.fields,
        }
    }
}

/// An address that signed messages go to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookBody {
    id: String,
    /// What plugins call it.
    name: String,
    url: String,
    /// Whether anything is sent there at the moment; what is asked for meanwhile fails, and can be
    /// sent once more with `POST …/redeliver`.
    enabled: bool,
    /// What it is told of without a workflow.
    events: Vec<WatchBody>,
    /// Since when nothing was taken there; after a day of that it is turned off.
    failing_since: Option<DateTime<Utc>>,
    /// When it was turned off because of that, or because it answered with 410.
    paused_at: Option<DateTime<Utc>>,
    paused_reason: Option<String>,
    /// Until when the secret before the present one signs too.
    previous_signs_until: Option<DateTime<Utc>>,
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
            events: hook.events.0.into_iter().map(WatchBody::from).collect(),
            failing_since: hook.failing_since,
            paused_at: hook.paused_at,
            paused_reason: hook.paused_reason,
            previous_signs_until: hook.previous_until,
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
    /// What it is to be told of without a workflow.
    #[serde(default)]
    events: Vec<WatchBody>,
}

/// What is to be another of it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChange {
    url: Option<String>,
    enabled: Option<bool>,
    /// In the place of what it was told of.
    events: Option<Vec<WatchBody>>,
}

fn watches(events: Vec<WatchBody>) -> Vec<Watch> {
    events.into_iter().map(Watch::from).collect()
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
            events: watches(input.events),
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
        events: change.events.map(watches),
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

/// How the secret before goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = WebhookRotation)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationInput {
    /// How long it signs beside the new one: at most 30 days, a day unless given.
    overlap_seconds: Option<i64>,
}

/// Gives a webhook another secret. Messages carry signatures of both until the one before ends, so
/// that whoever checks them can change over. The answer's `secret` is shown this once.
#[utoipa::path(post, path = "/webhooks/{id}/rotate", tag = "webhooks",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RotationInput,
    responses(
        (status = 200, body = WebhookBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn webhook_rotate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed { key, input }): KeyedOrEmpty<RotationInput>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let answer = |hook: &Webhook, secret: Option<String>| {
        let body = WebhookBody {
            secret,
            ..WebhookBody::from(hook.clone())
        };
        Answer::json(StatusCode::OK, &body)
    };
    once(&app, &caller, key, async |key| {
        let kept = receipt_of(key, move |hook: &Webhook| answer(hook, None));
        let overlap = input.overlap_seconds;
        let what = (id, overlap.unwrap_or(WEBHOOK_OVERLAP_DEFAULT_SECONDS));
        let actor = caller.actor.clone();
        let rotated = app.engine.webhook_rotate(caller.tenant, actor, what, kept);
        let (hook, secret) = rotated.await?;
        Ok(answer(&hook, Some(secret)))
    })
    .await
}

/// What to send once more.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookRedelivery)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedeliveryInput {
    /// `key`s of deliveries that have ended.
    #[serde(default)]
    deliveries: Vec<String>,
    /// All that failed since then.
    failed_since: Option<DateTime<Utc>>,
}

/// What was taken up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookRedelivered)]
pub(crate) struct RedeliveredBody {
    /// Messages that are sent once more. Ask again where it is 1,000, which is the most at once.
    queued: i32,
}

/// Sends messages once more, with the same `webhook-id`s.
#[utoipa::path(post, path = "/webhooks/{id}/redeliver", tag = "webhooks",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RedeliveryInput,
    responses(
        (status = 200, body = RedeliveredBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn webhook_redeliver(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Keyed { key, input }: Keyed<RedeliveryInput>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let mut violations = Violations::default();
    let mut deliveries = Vec::new();
    for (index, delivery) in input.deliveries.iter().enumerate() {
        match delivery.parse::<DeliveryId>() {
            Ok(delivery) => deliveries.push(delivery),
            Err(()) => {
                let message = "is the `key` of a delivery";
                violations.add(format!("/deliveries/{index}"), "format", message);
            }
        }
    }
    violations.into_result().map_err(Problem::invalid)?;
    let wanted = Redelivery {
        deliveries,
        failed_since: input.failed_since,
    };
    let answer = |queued: &i32| Answer::json(StatusCode::OK, &RedeliveredBody { queued: *queued });
    once(&app, &caller, key, async |key| {
        let (actor, kept) = (caller.actor.clone(), receipt_of(key, answer));
        let what = (id, wanted);
        let queued = app
            .engine
            .webhook_redeliver(caller.tenant, actor, what, kept);
        Ok(answer(&queued.await?))
    })
    .await
}
