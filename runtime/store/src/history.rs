//! What a record was: one entry for each version.

use chrono::{DateTime, Utc};
use crm_model::limits::CONFLICT_MAX_VERSIONS;
use crm_model::{Data, FieldKey, RecordId};
use sqlx::types::Json;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// One change of a record. `before` and `after` hold the changed fields only.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    pub version: i64,
    pub kind: String,
    pub before: Data,
    pub after: Data,
    pub changed_at: DateTime<Utc>,
    pub changed_by: String,
    pub cause: serde_json::Value,
}

#[derive(sqlx::FromRow)]
struct Row {
    version: i64,
    kind: String,
    changed_before: Option<Json<Data>>,
    changed_after: Option<Json<Data>>,
    changed_at: DateTime<Utc>,
    changed_by: String,
    cause: Json<serde_json::Value>,
}

/// A page of a record's history, newest first: versions before `before`, or all.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn history_page(
    tx: &mut TenantTx,
    record: RecordId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select version, kind, changed_before, changed_after, changed_at, changed_by, cause
        from crm_record_history
        where tenant_id = $1 and record_id = $2 and version < $3
        order by version desc
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let entry = |row: Row| HistoryEntry {
        version: row.version,
        kind: row.kind,
        before: row.changed_before.map(|data| data.0).unwrap_or_default(),
        after: row.changed_after.map(|data| data.0).unwrap_or_default(),
        changed_at: row.changed_at,
        changed_by: row.changed_by,
        cause: row.cause.0,
    };
    Ok(rows.into_iter().map(entry).collect())
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    changed_fields: Json<Vec<FieldKey>>,
    changed_before: Option<Json<Data>>,
}

/// How a record's fields were before each change after `version`, oldest first: the changed
/// fields only.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn history_since(
    tx: &mut TenantTx,
    record: RecordId,
    version: i64,
) -> Result<Vec<(Vec<FieldKey>, Data)>, StoreError> {
    let rows: Vec<ChangeRow> = sqlx::query_as(
        "select e.changed_fields, h.changed_before
        from crm_record_history h
        join crm_events e on e.tenant_id = h.tenant_id and e.id = h.event_id
        where h.tenant_id = $1 and h.record_id = $2 and h.version > $3
        order by h.version
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(version)
    .bind(i64::from(CONFLICT_MAX_VERSIONS))
    .fetch_all(tx.connection())
    .await?;
    let change = |row: ChangeRow| {
        let before = row.changed_before.map(|data| data.0);
        (row.changed_fields.0, before.unwrap_or_default())
    };
    Ok(rows.into_iter().map(change).collect())
}
