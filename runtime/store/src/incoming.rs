//! Addresses at which requests from outside start workflows.

use chrono::{DateTime, Utc};
use crm_model::{EventId, JobId, WorkflowSlug};
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// An address, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Address {
    /// How the secret begins.
    pub prefix: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// Gives a workflow an address; the one before it works no more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn address_put(
    tx: &mut TenantTx,
    workflow: &WorkflowSlug,
    address: &Address,
    secret_hash: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_incoming (
            tenant_id, workflow_slug, secret_hash, prefix, created_at, created_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, workflow_slug) do update
        set secret_hash = excluded.secret_hash, prefix = excluded.prefix,
            created_at = excluded.created_at, created_by = excluded.created_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(workflow.as_str())
    .bind(secret_hash)
    .bind(&address.prefix)
    .bind(address.created_at)
    .bind(&address.created_by)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A workflow's address, if it has one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn address_find(
    tx: &mut TenantTx,
    workflow: &WorkflowSlug,
) -> Result<Option<Address>, StoreError> {
    let found = sqlx::query_as(
        "select prefix, created_at, created_by from crm_incoming
        where tenant_id = $1 and workflow_slug = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(workflow.as_str())
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// Whether there was an address, which works no more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn address_remove(
    tx: &mut TenantTx,
    workflow: &WorkflowSlug,
) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from crm_incoming where tenant_id = $1 and workflow_slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(workflow.as_str())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The workflow that a secret is of.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn workflow_of_secret(
    tx: &mut TenantTx,
    secret_hash: &[u8],
) -> Result<Option<WorkflowSlug>, StoreError> {
    let slug: Option<String> = sqlx::query_scalar(
        "select workflow_slug from crm_incoming where tenant_id = $1 and secret_hash = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(secret_hash)
    .fetch_optional(tx.connection())
    .await?;
    let slug = slug.map(|slug| slug.parse());
    slug.transpose()
        .map_err(|error| StoreError::corrupt("workflow name", error))
}

/// The run that an event of no record started, if there is that event.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_of_event(tx: &mut TenantTx, event: EventId) -> Result<Option<JobId>, StoreError> {
    let job: Option<Uuid> = sqlx::query_scalar(
        "select id from crm_jobs
        where tenant_id = $1 and event_id = $2
            and record_id = '00000000-0000-0000-0000-000000000000'
        order by id limit 1",
    )
    .bind(tx.tenant_id().uuid())
    .bind(event.uuid())
    .fetch_optional(tx.connection())
    .await?;
    Ok(job.map(JobId::new))
}
