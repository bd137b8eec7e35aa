//! Webhooks on their way out, signed as Standard Webhooks has it (standardwebhooks.com):
//! `webhook-id` is the same for every attempt, and while a secret is replaced both sign. An endpoint
//! that takes nothing for a day, or says that it is gone, is paused.

use chrono::TimeDelta;
use crm_model::effect::{ROLE_START, Webhook};
use crm_model::limits::WEBHOOK_FAILING_MAX_SECONDS;
use crm_model::{RunSource, TenantId, UserId};
use crm_store::TenantTx;
use crm_store::effects::LoadedEffect;
use crm_store::webhooks::Webhook as Endpoint;
use serde_json::json;
use url::Url;

use super::address::check_url;
use super::http::unsent;
use super::notify::note_keep;
use super::webhooks::place;
use super::{End, idempotency_key};
use crate::{Engine, EngineError, fresh};

/// The other side wants no more of it.
const GONE: u16 = 410;

impl Engine {
    /// Sends a signed message to the tenant's endpoint of that name.
    pub(super) async fn webhook_send(
        &self,
        tenant: TenantId,
        effect: &LoadedEffect,
        hook: &Webhook,
    ) -> Result<End, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let found = crm_store::webhooks::webhook_named(&mut tx, &hook.endpoint).await?;
        drop(tx);
        let Some((endpoint, sealed, previous)) = found else {
            let reason = format!("there is no webhook “{}”", hook.endpoint);
            return Ok(End::never(reason));
        };
        let name = &endpoint.name;
        if !endpoint.enabled {
            return Ok(End::never(match &endpoint.paused_reason {
                None => format!("the webhook “{name}” is off"),
                Some(why) => format!("the webhook “{name}” is paused: {why}"),
            }));
        }
        let url = Url::parse(&endpoint.url).map_err(|_| "has no address".to_owned());
        let private = self.outside().private;
        let url = match url.and_then(|url| check_url(&url, private).map(|()| url)) {
            Ok(url) => url,
            Err(why) => return Ok(End::never(format!("the webhook “{name}” {why}"))),
        };
        let payload = match &effect.workflow {
            RunSource::Webhook(_) => match self.told_payload(tenant, effect, &endpoint).await? {
                Ok(payload) => payload,
                Err(reason) => return Ok(End::never(reason)),
            },
            _ => hook.payload.clone(),
        };
        let id = idempotency_key(effect);
        let body = json!({
            "type": hook.topic,
            "timestamp": effect.occurred_at,
            "data": payload,
        })
        .to_string();
        let now = fresh::now();
        let previous = previous.filter(|_| endpoint.previous_until.is_some_and(|end| end > now));
        let mut signatures = Vec::new();
        for sealed in [Some(sealed), previous].into_iter().flatten() {
            let secret = self.secret_key()?;
            let secret = secret.open(tenant, &place(endpoint.id), &sealed)?;
            let signature = standardwebhooks::Webhook::new(&secret)
                .and_then(|signing| signing.sign(&id, now.timestamp(), body.as_bytes()))
                .map_err(|error| EngineError::Internal(format!("a webhook's secret: {error}")))?;
            signatures.push(signature);
        }
        let client = match self.outside().client() {
            Ok(client) => client,
            Err(end) => return Ok(end),
        };
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .header(standardwebhooks::HEADER_WEBHOOK_ID, id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, now.timestamp())
            .header(
                standardwebhooks::HEADER_WEBHOOK_SIGNATURE,
                signatures.join(" "),
            )
            .body(body)
            .send();
        let end = match sent.await {
            Ok(response) => taken(response.status().as_u16()),
            Err(error) => unsent(&error),
        };
        self.webhook_judged((tenant, effect), endpoint, &end)
            .await?;
        Ok(end)
    }

    /// Remembers since when an endpoint takes nothing, and pauses it when that is too long.
    async fn webhook_judged(
        &self,
        (tenant, effect): (TenantId, &LoadedEffect),
        seen: Endpoint,
        end: &End,
    ) -> Result<(), EngineError> {
        let why = match end {
            End::Done { .. } if seen.failing_since.is_none() => return Ok(()),
            End::Done { .. } => None,
            End::Again { reason, .. } | End::Never { reason, .. } => Some(reason),
            End::Wait { .. } | End::Partly(_) | End::Written => return Ok(()),
        };
        let is_gone = matches!(
            end,
            End::Never {
                status: Some(GONE),
                ..
            }
        );
        let now = fresh::now();
        let most = TimeDelta::seconds(WEBHOOK_FAILING_MAX_SECONDS);
        let is_dead = |since| is_gone || now - since >= most;
        if why.is_some() && seen.failing_since.is_some_and(|since| !is_dead(since)) {
            return Ok(());
        }
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let found = crm_store::webhooks::webhook_lock(&mut tx, seen.id).await?;
        // Somebody may have turned it off, or mended it meanwhile.
        let Some(endpoint) = found.filter(|there| there.enabled && there.url == seen.url) else {
            return Ok(());
        };
        let after = match why {
            None => Endpoint {
                failing_since: None,
                ..endpoint
            },
            Some(why) => {
                let since = endpoint.failing_since.unwrap_or(now);
                let paused = is_dead(since).then(|| match is_gone {
                    true => why.clone(),
                    false => format!("it took nothing since {}: {why}", since.to_rfc3339()),
                });
                if paused.is_some() {
                    tracing::warn!(tenant.id = %tenant, webhook = endpoint.name, "a webhook is paused");
                }
                Endpoint {
                    failing_since: Some(since),
                    enabled: paused.is_none(),
                    paused_at: paused.is_some().then_some(now),
                    paused_reason: paused,
                    ..endpoint
                }
            }
        };
        crm_store::webhooks::webhook_update(&mut tx, &after).await?;
        if let Some(why) = &after.paused_reason {
            self.pause_tell(&mut tx, effect, (&after, why)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Tells whoever added an endpoint, and those who manage everything, that nothing is sent there
    /// any more.
    async fn pause_tell(
        &self,
        tx: &mut TenantTx,
        effect: &LoadedEffect,
        (endpoint, why): (&Endpoint, &str),
    ) -> Result<(), EngineError> {
        let model = self.model_at(tx.tenant_id(), tx.model_version()).await?;
        let Some(model) = model else {
            return Ok(());
        };
        let managing = model
            .all_roles()
            .filter(|role| role.definition.manages_all());
        let roles = managing.map(|role| format!("{ROLE_START}{}", role.definition.slug));
        let roles: Vec<String> = roles.collect();
        // More people than a note may have are told by the page of webhooks alone.
        let mut people = self.people(tx, &model, &roles).await?.unwrap_or_default();
        people.extend(endpoint.created_by.parse::<UserId>().ok());
        let title = format!("The webhook “{}” is paused", endpoint.name);
        let about = (&effect.module, effect.record);
        Ok(note_keep(tx, people, (&title, Some(why)), &effect.workflow, about).await?)
    }
}

/// Whether the other side took it: anything but 2xx is a no, also a redirect; 410 is one for good.
fn taken(status: u16) -> End {
    let reason = format!("the other system answered with {status}");
    let status = Some(status);
    match status {
        Some(200..=299) => End::Done { status, next: None },
        Some(GONE) => End::Never { reason, status },
        _ => End::Again {
            reason,
            status,
            after: None,
        },
    }
}
