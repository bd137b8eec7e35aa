//! Webhooks on their way out, signed as Standard Webhooks has it (standardwebhooks.com):
//! `webhook-id` is the same for every attempt.

use crm_model::TenantId;
use crm_model::effect::Webhook;
use crm_store::TenantTx;
use crm_store::effects::LoadedEffect;
use serde_json::json;
use url::Url;

use super::address::check_url;
use super::http::unsent;
use super::webhooks::place;
use super::{End, idempotency_key};
use crate::{Engine, EngineError, fresh};

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
        let Some((endpoint, sealed)) = found else {
            let reason = format!("there is no webhook “{}”", hook.endpoint);
            return Ok(End::never(reason));
        };
        if !endpoint.enabled {
            return Ok(End::never(format!(
                "the webhook “{}” is off",
                endpoint.name
            )));
        }
        let url = Url::parse(&endpoint.url).map_err(|_| "has no address".to_owned());
        let private = self.outside().private;
        let url = match url.and_then(|url| check_url(&url, private).map(|()| url)) {
            Ok(url) => url,
            Err(why) => return Ok(End::never(format!("the webhook “{}” {why}", endpoint.name))),
        };
        let secret = self.secret_key()?;
        let secret = secret.open(tenant, &place(endpoint.id), &sealed)?;
        let id = idempotency_key(effect);
        let body = json!({
            "type": hook.topic,
            "timestamp": effect.occurred_at,
            "data": hook.payload,
        })
        .to_string();
        let seconds = fresh::now().timestamp();
        let signature = standardwebhooks::Webhook::new(&secret)
            .and_then(|signing| signing.sign(&id, seconds, body.as_bytes()))
            .map_err(|error| EngineError::Internal(format!("a webhook's secret: {error}")))?;
        let client = match self.outside().client() {
            Ok(client) => client,
            Err(end) => return Ok(end),
        };
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .header(standardwebhooks::HEADER_WEBHOOK_ID, id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, seconds)
            .header(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature)
            .body(body)
            .send();
        Ok(match sent.await {
            Ok(response) => taken(response.status().as_u16()),
            Err(error) => unsent(&error),
        })
    }
}

/// Whether the other side took it: anything but 2xx is a no, also a redirect; 410 is one for good.
fn taken(status: u16) -> End {
    let reason = format!("the other system answered with {status}");
    let status = Some(status);
    match status {
        Some(200..=299) => End::Done { status, next: None },
        Some(410) => End::Never { reason, status },
        _ => End::Again {
            reason,
            status,
            after: None,
        },
    }
}
