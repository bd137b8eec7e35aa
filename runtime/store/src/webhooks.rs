//! Where tenants have webhooks sent.

use chrono::{DateTime, Utc};
use crm_model::subscription::{Subscription, Watch};
use crm_model::{Data, EventId, FieldKey};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::models::fresh_or_exists;
use crate::tenant_tx::TenantTx;

/// An address under a name.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Webhook {
    pub id: Uuid,
    pub name: String,
    pub url: String,
    /// Whether anything is sent there at the moment.
    pub enabled: bool,
    /// What it is told of without a workflow.
    pub events: Json<Vec<Watch>>,
    /// Until when the secret before the present one signs too.
    pub previous_until: Option<DateTime<Utc>>,
    /// Since when nothing was taken there.
    pub failing_since: Option<DateTime<Utc>>,
    /// Why the host has turned it off, and when.
    pub paused_reason: Option<String>,
    pub paused_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub updated_at: DateTime<Utc>,
}

/// All of the tenant's, by name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhooks_list(tx: &mut TenantTx) -> Result<Vec<Webhook>, StoreError> {
    let rows = sqlx::query_as(
        "select id, name, url, enabled, events, previous_until, failing_since, paused_reason,
            paused_at, created_at, created_by, updated_at
        from crm_webhooks where tenant_id = $1 order by name",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// One, locked: others wait to change it until this transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_lock(tx: &mut TenantTx, id: Uuid) -> Result<Option<Webhook>, StoreError> {
    let row = sqlx::query_as(
        "select id, name, url, enabled, events, previous_until, failing_since, paused_reason,
            paused_at, created_at, created_by, updated_at
        from crm_webhooks where tenant_id = $1 and id = $2 for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row)
}

/// The one of this name, with its secret as it was sealed, and the one before that.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_named(
    tx: &mut TenantTx,
    name: &str,
) -> Result<Option<(Webhook, Vec<u8>, Option<Vec<u8>>)>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        #[sqlx(flatten)]
        webhook: Webhook,
        sealed: Vec<u8>,
        previous_sealed: Option<Vec<u8>>,
    }
    let row: Option<Row> = sqlx::query_as(
        "select id, name, url, enabled, events, previous_until, failing_since, paused_reason,
            paused_at, created_at, created_by, updated_at, sealed,
            previous_sealed
        from crm_webhooks where tenant_id = $1 and name = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(name)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| (row.webhook, row.sealed, row.previous_sealed)))
}

/// Keeps a new one.
///
/// # Errors
/// [`StoreError::Exists`] where another has the name.
pub async fn webhook_insert(
    tx: &mut TenantTx,
    webhook: &Webhook,
    sealed: &[u8],
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "insert into crm_webhooks (
            tenant_id, id, name, url, enabled, sealed, created_at, created_by, updated_at, events)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (tenant_id, name) do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(webhook.id)
    .bind(&webhook.name)
    .bind(&webhook.url)
    .bind(webhook.enabled)
    .bind(sealed)
    .bind(webhook.created_at)
    .bind(&webhook.created_by)
    .bind(webhook.updated_at)
    .bind(&webhook.events)
    .execute(tx.connection())
    .await?;
    fresh_or_exists(&inserted, || format!("a webhook “{}”", webhook.name))
}

/// Keeps where one is sent, whether, and what it is told of; with what became of it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_update(tx: &mut TenantTx, webhook: &Webhook) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_webhooks
        set url = $3, enabled = $4, updated_at = $5, events = $6, failing_since = $7,
            paused_reason = $8, paused_at = $9
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(webhook.id)
    .bind(&webhook.url)
    .bind(webhook.enabled)
    .bind(webhook.updated_at)
    .bind(&webhook.events)
    .bind(webhook.failing_since)
    .bind(&webhook.paused_reason)
    .bind(webhook.paused_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_remove(tx: &mut TenantTx, id: Uuid) -> Result<(), StoreError> {
    sqlx::query("delete from crm_webhooks where tenant_id = $1 and id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives one another secret; the present one signs beside it until then.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_rotate(
    tx: &mut TenantTx,
    id: Uuid,
    sealed: &[u8],
    (at, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_webhooks
        set previous_sealed = case when $4 > $5 then sealed end,
            previous_until = case when $4 > $5 then $4 end,
            sealed = $3, updated_at = $5
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id)
    .bind(sealed)
    .bind(until)
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What those are told of that are told of something by themselves.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn subscriptions_read(tx: &mut TenantTx) -> Result<Vec<Subscription>, StoreError> {
    let rows: Vec<(Uuid, String, Json<Vec<Watch>>)> = sqlx::query_as(
        "select id, name, events from crm_webhooks
        where tenant_id = $1 and events <> '[]' order by id",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    let subscriptions = rows
        .into_iter()
        .map(|(webhook, name, events)| Subscription {
            webhook,
            name,
            events: events.0,
        });
    Ok(subscriptions.collect())
}

/// What an event tells of its record.
#[derive(Clone, Debug)]
pub struct EventTold {
    pub version: i64,
    /// The record after it; none where it was deleted.
    pub after: Option<Data>,
    pub changed: Vec<FieldKey>,
}

/// What an event tells of its record, without the fields that there are no more; none where the
/// event is gone.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn event_told(
    tx: &mut TenantTx,
    event: EventId,
) -> Result<Option<EventTold>, StoreError> {
    type Row = (i64, Option<Json<Data>>, Json<Vec<FieldKey>>);
    let row: Option<Row> = sqlx::query_as(
        "select record_version, after, changed_fields from crm_events
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(event.uuid())
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|(version, after, changed)| EventTold {
        version,
        after: after.map(|after| after.0),
        changed: changed.0,
    }))
}
