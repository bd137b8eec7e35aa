//! Where tenants have webhooks sent.

use chrono::{DateTime, Utc};
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
        "select id, name, url, enabled, created_at, created_by, updated_at
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
        "select id, name, url, enabled, created_at, created_by, updated_at
        from crm_webhooks where tenant_id = $1 and id = $2 for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row)
}

/// The one of this name, with its secret as it was sealed.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_named(
    tx: &mut TenantTx,
    name: &str,
) -> Result<Option<(Webhook, Vec<u8>)>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        #[sqlx(flatten)]
        webhook: Webhook,
        sealed: Vec<u8>,
    }
    let row: Option<Row> = sqlx::query_as(
        "select id, name, url, enabled, created_at, created_by, updated_at, sealed
        from crm_webhooks where tenant_id = $1 and name = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(name)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| (row.webhook, row.sealed)))
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
            tenant_id, id, name, url, enabled, sealed, created_at, created_by, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
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
    .execute(tx.connection())
    .await?;
    fresh_or_exists(&inserted, || format!("a webhook “{}”", webhook.name))
}

/// Keeps where one is sent, and whether.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn webhook_update(tx: &mut TenantTx, webhook: &Webhook) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_webhooks set url = $3, enabled = $4, updated_at = $5
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(webhook.id)
    .bind(&webhook.url)
    .bind(webhook.enabled)
    .bind(webhook.updated_at)
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
