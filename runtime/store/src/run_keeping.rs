//! Looking after the runs of all tenants: how many are stuck, the months of their log, and the
//! taking away of what is older than it is kept. Nothing here hands out what a run holds.

use chrono::{DateTime, Utc};
use crm_model::TenantId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::jobs::amount;
use crate::store::Store;

/// How the queue of the whole installation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct QueueHealth {
    /// Runs that nothing moves any more, and not on purpose.
    pub stuck: i64,
    /// Since when the oldest job is due that may be taken.
    pub oldest_due: Option<DateTime<Utc>>,
}

/// Looks at the queues of all tenants. What was due before `late` is stuck, unless limits hold it;
/// counts `most` at most. `running`: how many a tenant may have under way, unless something else was
/// set for it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn queue_health(
    store: &Store,
    (now, late): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
    running: Option<u64>,
) -> Result<QueueHealth, StoreError> {
    let mut lent = store.for_statement().await?;
    let health = sqlx::query_as("select stuck, oldest_due from crm_jobs_watch($1, $2, $3, $4)")
        .bind(now)
        .bind(late)
        .bind(most)
        .bind(running.map(amount))
        .fetch_one(lent.connection())
        .await;
    lent.give_back(health)
}

/// Makes the months of the run log that come. How many could not be made, because rows of them lie
/// elsewhere already; none where another instance is at it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_logs_ahead(store: &Store, months: i32) -> Result<Option<i32>, StoreError> {
    let mut lent = store.for_statement().await?;
    let missing = sqlx::query_scalar("select crm_run_logs_ahead($1)")
        .bind(months)
        .fetch_one(lent.connection())
        .await;
    lent.give_back(missing)
}

/// Drops the months of the run log that are beyond so many days. How many; none where another
/// instance is at it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_logs_drop(store: &Store, days: i32) -> Result<Option<i32>, StoreError> {
    let mut lent = store.for_statement().await?;
    let dropped = sqlx::query_scalar("select crm_run_logs_drop($1)")
        .bind(days)
        .fetch_one(lent.connection())
        .await;
    lent.give_back(dropped)
}

/// The next tenants, in the order of their ids, that have runs.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn tenants_with_runs(
    store: &Store,
    after: Option<TenantId>,
    limit: i32,
) -> Result<Vec<TenantId>, StoreError> {
    let mut lent = store.for_statement().await?;
    let tenants = sqlx::query_scalar("select tenant_id from crm_runs_tenants($1, $2)")
        .bind(after.map_or(Uuid::nil(), TenantId::uuid))
        .bind(limit)
        .fetch_all(lent.connection())
        .await;
    let tenants: Vec<Uuid> = lent.give_back(tenants)?;
    Ok(tenants.into_iter().map(TenantId::new).collect())
}

/// Takes away some of a tenant's runs and log entries that are older than they are kept, by the
/// tenant or, for so many days, by the operator. As many as `limit`: there may be more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn runs_trim(
    store: &Store,
    tenant: TenantId,
    days: i32,
    limit: i32,
) -> Result<i32, StoreError> {
    let mut lent = store.for_statement().await?;
    let gone = sqlx::query_scalar("select crm_runs_trim($1, $2, $3)")
        .bind(tenant.uuid())
        .bind(days)
        .bind(limit)
        .fetch_one(lent.connection())
        .await;
    lent.give_back(gone)
}
