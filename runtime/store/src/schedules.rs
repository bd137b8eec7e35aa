//! When workflows are looked at that a time starts.

use chrono::{DateTime, Utc};
use crm_model::{TenantId, WorkflowSlug};
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// When to look at a workflow again, and how far was looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    pub next_at: DateTime<Utc>,
    /// The newest value of the field whose time was reached; none where a clock says when.
    pub reached: Option<String>,
    /// Where the next page of records begins, while there are more.
    pub page: Option<SchedulePage>,
}

/// A page of the records whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulePage {
    /// The newest value of the field that all of the pages go up to.
    pub until: String,
    /// Of the query that finds them.
    pub cursor: String,
}

/// Workflows whose time has come, of all tenants, the longest due first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn schedules_due(
    store: &Store,
    now: DateTime<Utc>,
    limit: i32,
) -> Result<Vec<(TenantId, WorkflowSlug)>, StoreError> {
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select tenant_id, workflow_slug from crm_schedules_due($1, $2)")
        .bind(now)
        .bind(limit)
        .fetch_all(lent.connection())
        .await;
    let rows: Vec<(Uuid, String)> = lent.give_back(rows)?;
    let rows = rows.into_iter().map(|(tenant, slug)| {
        let slug = slug
            .parse()
            .map_err(|error| StoreError::corrupt("workflow name", error))?;
        Ok((TenantId::new(tenant), slug))
    });
    rows.collect()
}

/// Takes what is due of a workflow until the transaction ends; none where somebody else has it, or
/// had it just now.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn schedule_lock(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
    now: DateTime<Utc>,
) -> Result<Option<ScheduleRow>, StoreError> {
    type Row = (
        DateTime<Utc>,
        Option<String>,
        Option<String>,
        Option<String>,
    );
    let row: Option<Row> = sqlx::query_as(
        "select next_at, reached, page_until, page_cursor from crm_schedules
        where tenant_id = $1 and workflow_slug = $2 and next_at <= $3
        for update skip locked",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|(next_at, reached, until, cursor)| ScheduleRow {
        next_at,
        reached,
        page: until
            .zip(cursor)
            .map(|(until, cursor)| SchedulePage { until, cursor }),
    }))
}

/// When to look at a workflow again.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn schedule_put(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
    row: &ScheduleRow,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_schedules
            (tenant_id, workflow_slug, next_at, reached, page_until, page_cursor)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, workflow_slug) do update
        set next_at = excluded.next_at, reached = excluded.reached,
            page_until = excluded.page_until, page_cursor = excluded.page_cursor",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .bind(row.next_at)
    .bind(row.reached.as_deref())
    .bind(row.page.as_ref().map(|page| page.until.as_str()))
    .bind(row.page.as_ref().map(|page| page.cursor.as_str()))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A workflow is not looked at any more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn schedule_remove(tx: &mut TenantTx, slug: &WorkflowSlug) -> Result<(), StoreError> {
    sqlx::query("delete from crm_schedules where tenant_id = $1 and workflow_slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(slug.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}
