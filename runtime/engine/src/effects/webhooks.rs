//! Where tenants have webhooks sent: kept by those who manage everything. The secret that signs
//! is told once.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use crm_model::limits::{
    EFFECT_KEY_MAX_CHARACTERS, TENANT_MAX_WEBHOOKS, URL_MAX_CHARACTERS, WEBHOOK_MAX_REDELIVERED,
    WEBHOOK_OVERLAP_MAX_SECONDS,
};
use crm_model::subscription::{Watch, check_watches};
use crm_model::{Actor, JobId, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::effects::EffectFate;
use crm_store::webhooks::Webhook;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::address::check_url;
use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// How secrets of webhooks begin (Standard Webhooks).
const SECRET_START: &str = "whsec_";
const NOT_FOUND: EngineError = EngineError::NotFound("webhook");

/// Where a webhook's secret stands, which it is bound to.
pub(super) fn place(id: Uuid) -> String {
    format!("webhooks/{id}")
}

fn secret() -> Result<String, EngineError> {
    let secret = BASE64_STANDARD.encode(fresh::secret()?);
    Ok(format!("{SECRET_START}{secret}"))
}

/// An address that somebody wants webhooks sent to.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// What plugins call it.
    pub name: String,
    pub url: String,
    /// What it is told of without a workflow.
    pub events: Vec<Watch>,
}

/// What is to be another of it.
#[derive(Clone, Debug, Default)]
pub struct WebhookEdit {
    pub url: Option<String>,
    pub enabled: Option<bool>,
    pub events: Option<Vec<Watch>>,
}

/// What is to be sent once more.
#[derive(Clone, Debug, Default)]
pub struct Redelivery {
    pub deliveries: Vec<DeliveryId>,
    /// All that failed since then, beside them.
    pub failed_since: Option<DateTime<Utc>>,
}

/// One delivery in the list of an endpoint's: the run, and the effect's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryId(pub JobId, pub i32);

impl std::str::FromStr for DeliveryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (job, number) = text.split_once(':').ok_or(())?;
        Ok(Self(
            job.parse().map_err(|_| ())?,
            number.parse().map_err(|_| ())?,
        ))
    }
}

fn check_address(url: &str, private: bool, violations: &mut Violations) {
    let pointer = || "/url".to_owned();
    if url.chars().count() > URL_MAX_CHARACTERS as usize {
        let message = format!("an address has at most {URL_MAX_CHARACTERS} characters");
        violations.add(pointer(), "length", message);
        return;
    }
    let parsed = Url::parse(url).map_err(|_| "is no address".to_owned());
    if let Err(why) = parsed.and_then(|url| check_url(&url, private)) {
        violations.add(pointer(), "format", format!("it {why}"));
    }
}

fn act(action: &'static str, before: Option<&Webhook>, after: Option<&Webhook>) -> Act {
    let told = |hook: &Webhook| {
        json!({"name": hook.name, "url": hook.url, "enabled": hook.enabled,
            "events": hook.events.0})
    };
    let id = after.or(before).map(|hook| hook.id).unwrap_or_default();
    Act {
        before: before.map(told),
        after: after.map(told),
        ..Act::plain(action, format!("webhooks/{id}"))
    }
}

impl Engine {
    async fn begin_webhooks(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<TenantTx, EngineError> {
        self.begin_managed(
            tenant,
            actor,
            "webhooks are for people who may manage all modules",
        )
        .await
    }

    /// What is wrong with what a webhook is to be told of.
    async fn check_events(
        &self,
        tx: &TenantTx,
        tenant: TenantId,
        events: &[Watch],
        violations: &mut Violations,
    ) -> Result<(), EngineError> {
        // Who got here has a model.
        if let Some(model) = self.model_at(tenant, tx.model_version()).await? {
            violations.extend(check_watches(events, &model));
        }
        Ok(())
    }

    /// Where the tenant has webhooks sent, by name.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn webhooks(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Vec<Webhook>, EngineError> {
        let mut tx = self.begin_webhooks(tenant, actor).await?;
        Ok(crm_store::webhooks::webhooks_list(&mut tx).await?)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn webhook(
        &self,
        tenant: TenantId,
        actor: &Actor,
        id: Uuid,
    ) -> Result<Webhook, EngineError> {
        let all = self.webhooks(tenant, actor).await?;
        all.into_iter().find(|hook| hook.id == id).ok_or(NOT_FOUND)
    }

    /// Keeps an address, and makes the secret that signs what is sent there.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Refused`]; [`EngineError::Conflict`] where the
    /// name is taken, the tenant has too many, or the server has no key.
    pub async fn webhook_add(
        &self,
        tenant: TenantId,
        actor: Actor,
        wanted: NewWebhook,
        receipt: Option<ReceiptMaker<Webhook>>,
    ) -> Result<(Webhook, String), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_webhooks(tenant, &actor).await?;
            let mut violations = Violations::default();
            let length = wanted.name.trim().chars().count();
            let printable = !wanted.name.contains(char::is_control);
            if length == 0 || length > EFFECT_KEY_MAX_CHARACTERS || !printable {
                let message = format!("a name has 1 to {EFFECT_KEY_MAX_CHARACTERS} characters");
                violations.add("/name".to_owned(), "length", message);
            }
            check_address(&wanted.url, engine.outside().private, &mut violations);
            let events = &wanted.events;
            engine
                .check_events(&tx, tenant, events, &mut violations)
                .await?;
            violations.into_result().map_err(EngineError::invalid)?;
            crm_store::api_keys::api_keys_lock(&mut tx).await?;
            let there = crm_store::webhooks::webhooks_list(&mut tx).await?;
            if there.len() >= TENANT_MAX_WEBHOOKS {
                return Err(EngineError::Conflict(format!(
                    "there are {TENANT_MAX_WEBHOOKS} webhooks, which is the most: remove one first"
                )));
            }
            let secret = secret()?;
            let (id, at) = (fresh::id(), fresh::now());
            if !wanted.events.is_empty() {
                crm_store::models::model_advance(&mut tx).await?;
            }
            let hook = Webhook {
                id,
                name: wanted.name.trim().to_owned(),
                url: wanted.url,
                enabled: true,
                events: wanted.events.into(),
                previous_until: None,
                failing_since: None,
                paused_reason: None,
                paused_at: None,
                created_at: at,
                created_by: actor.user_id.to_string(),
                updated_at: at,
            };
            let sealed = engine.secret_key()?.seal(tenant, &place(id), &secret)?;
            crm_store::webhooks::webhook_insert(&mut tx, &hook, &sealed).await?;
            audit_write(&mut tx, &actor, act("webhook.added", None, Some(&hook))).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &hook).await?;
            tx.commit().await?;
            Ok((hook, secret))
        })
        .await
    }

    /// Sends somewhere else, or nowhere for now.
    ///
    /// # Errors
    /// As [`Engine::webhook_add`], and [`EngineError::NotFound`].
    pub async fn webhook_edit(
        &self,
        tenant: TenantId,
        actor: Actor,
        id: Uuid,
        edit: WebhookEdit,
    ) -> Result<Webhook, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_webhooks(tenant, &actor).await?;
            let found = crm_store::webhooks::webhook_lock(&mut tx, id).await?;
            let before = found.ok_or(NOT_FOUND)?;
            let mut violations = Violations::default();
            if let Some(url) = &edit.url {
                check_address(url, engine.outside().private, &mut violations);
            }
            if let Some(events) = &edit.events {
                engine
                    .check_events(&tx, tenant, events, &mut violations)
                    .await?;
            }
            violations.into_result().map_err(EngineError::invalid)?;
            let mut after = Webhook {
                url: edit.url.unwrap_or_else(|| before.url.clone()),
                enabled: edit.enabled.unwrap_or(before.enabled),
                events: edit.events.map_or(before.events.clone(), Into::into),
                updated_at: fresh::now(),
                ..before.clone()
            };
            if edit.enabled.is_some() || after.url != before.url {
                // What it failed at before is forgotten with somebody's say.
                after.failing_since = None;
                after.paused_reason = None;
                after.paused_at = None;
            }
            if after.events != before.events {
                crm_store::models::model_advance(&mut tx).await?;
            }
            crm_store::webhooks::webhook_update(&mut tx, &after).await?;
            let edited = act("webhook.edited", Some(&before), Some(&after));
            audit_write(&mut tx, &actor, edited).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }

    /// Forgets an address; what waits for it fails.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn webhook_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        id: Uuid,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_webhooks(tenant, &actor).await?;
            let found = crm_store::webhooks::webhook_lock(&mut tx, id).await?;
            let hook = found.ok_or(NOT_FOUND)?;
            crm_store::webhooks::webhook_remove(&mut tx, id).await?;
            if !hook.events.is_empty() {
                crm_store::models::model_advance(&mut tx).await?;
            }
            audit_write(&mut tx, &actor, act("webhook.removed", Some(&hook), None)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Gives one another secret; the one before signs beside it for so many seconds more, so that
    /// whoever checks signatures has time to change over.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Refused`].
    pub async fn webhook_rotate(
        &self,
        tenant: TenantId,
        actor: Actor,
        (id, overlap_seconds): (Uuid, i64),
        receipt: Option<ReceiptMaker<Webhook>>,
    ) -> Result<(Webhook, String), EngineError> {
        if !(0..=WEBHOOK_OVERLAP_MAX_SECONDS).contains(&overlap_seconds) {
            let message = format!("is 0 to {WEBHOOK_OVERLAP_MAX_SECONDS}");
            let violations = Violations::one("/overlap_seconds", "range", message);
            return Err(EngineError::invalid(violations));
        }
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_webhooks(tenant, &actor).await?;
            let found = crm_store::webhooks::webhook_lock(&mut tx, id).await?;
            let before = found.ok_or(NOT_FOUND)?;
            let (secret, at) = (secret()?, fresh::now());
            let sealed = engine.secret_key()?.seal(tenant, &place(id), &secret)?;
            let until = at + TimeDelta::seconds(overlap_seconds);
            crm_store::webhooks::webhook_rotate(&mut tx, id, &sealed, (at, until)).await?;
            let hook = Webhook {
                previous_until: (until > at).then_some(until),
                updated_at: at,
                ..before
            };
            audit_write(&mut tx, &actor, act("webhook.rotated", None, Some(&hook))).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &hook).await?;
            tx.commit().await?;
            Ok((hook, secret))
        })
        .await
    }

    /// Sends messages once more, under the same `webhook-id`s. How many; whoever gets
    /// [`WEBHOOK_MAX_REDELIVERED`] asks again.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], [`EngineError::Refused`].
    pub async fn webhook_redeliver(
        &self,
        tenant: TenantId,
        actor: Actor,
        (id, wanted): (Uuid, Redelivery),
        receipt: Option<ReceiptMaker<i32>>,
    ) -> Result<i32, EngineError> {
        let named = wanted.deliveries.len();
        let violations = match (named, wanted.failed_since) {
            (0, None) => Some("name deliveries, or say failed_since".to_owned()),
            (named, _) if named > WEBHOOK_MAX_REDELIVERED => Some(format!(
                "names at most {WEBHOOK_MAX_REDELIVERED} deliveries"
            )),
            _ => None,
        };
        if let Some(message) = violations {
            let violations = Violations::one("/deliveries", "length", message);
            return Err(EngineError::invalid(violations));
        }
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_webhooks(tenant, &actor).await?;
            let found = crm_store::webhooks::webhook_lock(&mut tx, id).await?;
            let hook = found.ok_or(NOT_FOUND)?;
            let named = wanted.deliveries.iter();
            let named: Vec<_> = named.map(|one| (one.0, one.1)).collect();
            let what = (named.as_slice(), wanted.failed_since);
            let most = WEBHOOK_MAX_REDELIVERED;
            let redelivered = crm_store::effects::effects_redeliver(
                &mut tx,
                &hook.name,
                fresh::now(),
                what,
                most,
            );
            let count = redelivered.await?;
            let act = Act {
                after: Some(json!({ "queued": count })),
                ..Act::plain("webhook.redelivered", place(id))
            };
            audit_write(&mut tx, &actor, act).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &count).await?;
            tx.commit().await?;
            engine.effects_notify();
            Ok(count)
        })
        .await
    }

    /// A page of what was sent to one, newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn webhook_deliveries(
        &self,
        tenant: TenantId,
        actor: &Actor,
        id: Uuid,
        page: PageRequest<DeliveryId>,
    ) -> Result<Page<EffectFate>, EngineError> {
        let hook = self.webhook(tenant, actor, id).await?;
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let before = page.before.map(|DeliveryId(job, number)| (job, number));
        let limit = page.limit + 1;
        let rows =
            crm_store::effects::effects_of_endpoint(&mut tx, &hook.name, before, limit).await?;
        Ok(Page::cut(rows, page.limit))
    }
}
