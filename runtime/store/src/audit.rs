//! The audit log: rows come and stay.

use chrono::{DateTime, Utc};
use crm_model::{AuditId, TenantId, UserId};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// Who did what to what, and where from.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub id: AuditId,
    pub at: DateTime<Utc>,
    pub actor: UserId,
    /// The actor's own tenant, where it is another.
    pub home_tenant: Option<TenantId>,
    pub action: String,
    /// The path of what it was done to, below `/api/crm/`.
    pub target: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub address: Option<String>,
    pub request_id: Option<String>,
}

/// Which entries; all where nothing is named.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    pub from: Option<DateTime<Utc>>,
    /// Not itself.
    pub to: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    actor: String,
    home_tenant: Option<Uuid>,
    action: String,
    target: String,
    before: Option<Json<Value>>,
    after: Option<Json<Value>>,
    address: Option<String>,
    request_id: Option<String>,
}

impl TryFrom<Row> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let actor = UserId::try_from(row.actor);
        Ok(Self {
            id: AuditId::new(row.id),
            at: row.at,
            actor: actor.map_err(|error| StoreError::corrupt("user id", error))?,
            home_tenant: row.home_tenant.map(TenantId::new),
            action: row.action,
            target: row.target,
            before: row.before.map(|before| before.0),
            after: row.after.map(|after| after.0),
            address: row.address,
            request_id: row.request_id,
        })
    }
}

/// Adds an entry.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn audit_insert(tx: &mut TenantTx, entry: &AuditEntry) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_audit (
            tenant_id, id, at, actor, home_tenant, action, target, before, after, address,
            request_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(entry.id.uuid())
    .bind(entry.at)
    .bind(entry.actor.as_str())
    .bind(entry.home_tenant.map(TenantId::uuid))
    .bind(&entry.action)
    .bind(&entry.target)
    .bind(entry.before.as_ref().map(Json))
    .bind(entry.after.as_ref().map(Json))
    .bind(&entry.address)
    .bind(&entry.request_id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page of entries, newest first: those before `before`, or from the start.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn audit_page(
    tx: &mut TenantTx,
    filter: &AuditFilter,
    before: Option<AuditId>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, at, actor, home_tenant, action, target, before, after, address, request_id
        from crm_audit
        where tenant_id = $1 and id < $2
            and ($3::text is null or actor = $3)
            and ($4::text is null or action = $4)
            and ($5::text is null or target = $5)
            and ($6::timestamptz is null or at >= $6)
            and ($7::timestamptz is null or at < $7)
        order by id desc
        limit $8",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before.map_or(Uuid::max(), AuditId::uuid))
    .bind(&filter.actor)
    .bind(&filter.action)
    .bind(&filter.target)
    .bind(filter.from)
    .bind(filter.to)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(AuditEntry::try_from).collect()
}

/// How many entries there are; counts no further than `most` and one more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn audit_count(
    tx: &mut TenantTx,
    filter: &AuditFilter,
    most: i64,
) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "select count(*) from (
            select from crm_audit
            where tenant_id = $1
                and ($2::text is null or actor = $2)
                and ($3::text is null or action = $3)
                and ($4::text is null or target = $4)
                and ($5::timestamptz is null or at >= $5)
                and ($6::timestamptz is null or at < $6)
            limit $7) as counted",
    )
    .bind(tx.tenant_id().uuid())
    .bind(&filter.actor)
    .bind(&filter.action)
    .bind(&filter.target)
    .bind(filter.from)
    .bind(filter.to)
    .bind(most + 1)
    .fetch_one(tx.connection())
    .await?;
    Ok(count)
}
