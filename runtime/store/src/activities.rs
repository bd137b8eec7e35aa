//! Timelines.

use chrono::{DateTime, Utc};
use crm_model::{ActivityId, RecordId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// An entry on a record's timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    pub id: ActivityId,
    pub kind: String,
    pub title: String,
    pub body: Option<String>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub cause: serde_json::Value,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    title: String,
    body: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    cause: Json<serde_json::Value>,
}

/// A page of a record's timeline, newest first: entries before `before`, or from the start.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activities_page(
    tx: &mut TenantTx,
    record: RecordId,
    before: Option<ActivityId>,
    limit: u32,
) -> Result<Vec<Activity>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, kind, title, body, created_at, created_by, cause
        from crm_activities
        where tenant_id = $1 and record_id = $2 and id < $3
        order by id desc
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(before.map_or(Uuid::max(), ActivityId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let activity = |row: Row| Activity {
        id: ActivityId::new(row.id),
        kind: row.kind,
        title: row.title,
        body: row.body,
        created_at: row.created_at,
        created_by: row.created_by,
        cause: row.cause.0,
    };
    Ok(rows.into_iter().map(activity).collect())
}
