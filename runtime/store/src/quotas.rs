//! Quotas: what was set for a tenant, what it has used in which window, and whose jobs wait for
//! fuel. Adds in batches, never one by one.

use chrono::{DateTime, Utc};
use crm_model::quota::{QuotaChoice, QuotaName};
use crm_model::{JobId, TenantId};
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// What a process has to add, or wants to know, of one quota of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToSettle {
    pub tenant: TenantId,
    pub quota: QuotaName,
    /// None for what is not counted in windows.
    pub window: Option<DateTime<Utc>>,
    pub added: u64,
}

/// How it stands in the database then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub tenant: TenantId,
    pub quota: QuotaName,
    pub window: Option<DateTime<Utc>>,
    /// In that window, by all processes together.
    pub used: u64,
    /// What was set for the tenant, where something was; none inside: no limit.
    pub own_limit: Option<Option<u64>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: Uuid,
    quota_name: String,
    since: Option<DateTime<Utc>>,
    total: i64,
    is_set: bool,
    set_amount: Option<i64>,
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn quota(name: &str) -> Result<QuotaName, StoreError> {
    name.parse()
        .map_err(|error: String| StoreError::corrupt("quota", error))
}

impl TryFrom<Row> for Settled {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            tenant: TenantId::new(row.tenant),
            quota: quota(&row.quota_name)?,
            window: row.since,
            used: count(row.total),
            own_limit: row.is_set.then(|| row.set_amount.map(count)),
        })
    }
}

/// Adds what was used, for any number of tenants in one round trip, and says how all of it stands
/// then. Rows have to be sorted by tenant.
///
/// # Errors
/// [`StoreError::Unavailable`]: then it is unknown whether anything was added.
pub async fn usage_settle(
    store: &Store,
    at: DateTime<Utc>,
    rows: &[ToSettle],
) -> Result<Vec<Settled>, StoreError> {
    let tenants: Vec<Uuid> = rows.iter().map(|row| row.tenant.uuid()).collect();
    let quotas: Vec<&str> = rows.iter().map(|row| row.quota.name()).collect();
    let windows: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.window).collect();
    let added = rows.iter().map(|row| row.added);
    let added: Vec<i64> = added
        .map(|added| i64::try_from(added).unwrap_or(i64::MAX))
        .collect();
    let mut lent = store.for_statement().await?;
    let settled = sqlx::query_as("select * from crm_usage_settle($1, $2, $3, $4, $5)")
        .bind(at)
        .bind(tenants)
        .bind(quotas)
        .bind(windows)
        .bind(added)
        .fetch_all(lent.connection())
        .await;
    let settled: Vec<Row> = lent.give_back(settled)?;
    settled.into_iter().map(Settled::try_from).collect()
}

/// How many records the tenant has that are not deleted. Walks an index of all of them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_count(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let records = sqlx::query_scalar(
        "select count(*) from crm_records where tenant_id = $1 and deleted_at is null",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_one(tx.connection())
    .await?;
    Ok(records)
}

/// What was set for the tenant.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn quotas_own(tx: &mut TenantTx) -> Result<Vec<(QuotaName, Option<u64>)>, StoreError> {
    let rows: Vec<(String, Option<i64>)> =
        sqlx::query_as("select quota, amount from crm_quotas where tenant_id = $1 order by quota")
            .bind(tx.tenant_id().uuid())
            .fetch_all(tx.connection())
            .await?;
    let own = rows.into_iter();
    own.map(|(name, amount)| Ok((quota(&name)?, amount.map(count))))
        .collect()
}

/// Sets a tenant's own quota, or takes it back. Who may ask for that was asked before.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn quota_set(
    tx: &mut TenantTx,
    quota: QuotaName,
    choice: QuotaChoice,
    at: DateTime<Utc>,
    by: &str,
) -> Result<(), StoreError> {
    let (is_set, amount) = columns(choice);
    sqlx::query("select crm_quota_set($1, $2, $3, $4, $5, $6)")
        .bind(tx.tenant_id().uuid())
        .bind(quota.name())
        .bind(is_set)
        .bind(amount)
        .bind(at)
        .bind(by)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Whether something is set, and what.
pub(crate) fn columns(choice: QuotaChoice) -> (bool, Option<i64>) {
    match choice {
        QuotaChoice::AtMost(amount) => (true, Some(i64::try_from(amount).unwrap_or(i64::MAX))),
        QuotaChoice::Unlimited => (true, None),
        QuotaChoice::Default => (false, None),
    }
}

/// Gives leased jobs back as if nobody had taken them, and lets all of the tenant's jobs wait
/// until then.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_defer(
    tx: &mut TenantTx,
    jobs: &[JobId],
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.uuid()).collect();
    sqlx::query(
        "with waiting as (
            insert into crm_deferrals as d (tenant_id, until) values ($1, $5)
            on conflict (tenant_id) do update set until = excluded.until
            where d.until < excluded.until)
        update crm_jobs
        set state = 'queued', attempts = greatest(attempts - 1, 0), available_at = $4,
            lease_token = null
        where tenant_id = $1 and id = any($2) and state = 'leased' and lease_token = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(ids)
    .bind(token)
    .bind(now)
    .bind(until)
    .execute(tx.connection())
    .await?;
    Ok(())
}
