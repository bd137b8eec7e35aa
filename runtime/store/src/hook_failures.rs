//! Failures of templates' `before-save`: the newest of each tenant.

use chrono::{DateTime, Utc};
use crm_model::HookFailureId;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A hook that failed over a change.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct HookFailure {
    /// Sorts by time.
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub template_slug: String,
    pub template_version: String,
    pub module_slug: String,
    /// `create` or `update`.
    pub kind: String,
    /// None for a new record.
    pub record_id: Option<Uuid>,
    /// Who wanted to make the change.
    pub user_id: String,
    /// How it failed: `trapped`, `timed_out`, `misfit`, `left_alone`, ….
    pub status: String,
    /// What became of the change: `refused` or `passed`.
    pub outcome: String,
    /// Holds no values of records.
    pub reason: String,
    /// More than 1 where it stands for others of its minute, too.
    pub failures: i64,
}

/// Adds rows, and takes those away that are older than the newest `kept`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn hook_failures_insert(
    tx: &mut TenantTx,
    failures: &[HookFailure],
    kept: i64,
) -> Result<(), StoreError> {
    for failure in failures {
        sqlx::query(
            "insert into crm_hook_failures (
                tenant_id, id, at, template_slug, template_version, module_slug, kind, record_id,
                user_id, status, outcome, reason, failures)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(tx.tenant_id().uuid())
        .bind(failure.id)
        .bind(failure.at)
        .bind(&failure.template_slug)
        .bind(&failure.template_version)
        .bind(&failure.module_slug)
        .bind(&failure.kind)
        .bind(failure.record_id)
        .bind(&failure.user_id)
        .bind(&failure.status)
        .bind(&failure.outcome)
        .bind(&failure.reason)
        .bind(failure.failures)
        .execute(tx.connection())
        .await?;
    }
    sqlx::query(
        "delete from crm_hook_failures
        where tenant_id = $1 and id <= (
            select id from crm_hook_failures where tenant_id = $1
            order by id desc offset $2 limit 1)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(kept)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page of them, newest first: those before `before`, or from the start.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn hook_failures_page(
    tx: &mut TenantTx,
    before: Option<HookFailureId>,
    limit: u32,
) -> Result<Vec<HookFailure>, StoreError> {
    let rows = sqlx::query_as(
        "select id, at, template_slug, template_version, module_slug, kind, record_id, user_id,
            status, outcome, reason, failures
        from crm_hook_failures
        where tenant_id = $1 and id < $2
        order by id desc
        limit $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before.map_or(Uuid::max(), HookFailureId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}
