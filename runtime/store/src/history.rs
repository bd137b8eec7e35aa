//! What records were: one entry for each version, append-only.

use chrono::{DateTime, Utc};
use crm_model::limits::{CONFLICT_MAX_VERSIONS, STAGES_MAX_CHANGES};
use crm_model::stages::StageChange;
use crm_model::{Data, EventId, EventKind, FieldKey, ModuleSlug, RecordId, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::activities::slugs;
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// One change of a record. `before` and `after` hold the changed fields only.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    pub version: i64,
    pub kind: EventKind,
    pub before: Data,
    pub after: Data,
    pub changed_at: DateTime<Utc>,
    pub changed_by: String,
    pub cause: serde_json::Value,
    pub event_id: EventId,
    /// Whose the record is from then on, where it changed hands.
    pub new_owner_id: Option<String>,
}

/// A change, and the record that it changed.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordChange {
    pub module: ModuleSlug,
    pub record_id: RecordId,
    pub entry: HistoryEntry,
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
    event_id: Uuid,
    new_owner_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    module_slug: String,
    record_id: Uuid,
    #[sqlx(flatten)]
    row: Row,
}

/// Kind, moment, changed fields before and after.
type StageRow = (
    String,
    DateTime<Utc>,
    Option<Json<Data>>,
    Option<Json<Data>>,
);

/// Names of the changed fields, and the fields before.
type BeforeRow = (Json<Vec<FieldKey>>, Option<Json<Data>>);

impl TryFrom<Row> for HistoryEntry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            version: row.version,
            kind: kind(&row.kind)?,
            before: row.changed_before.map(|data| data.0).unwrap_or_default(),
            after: row.changed_after.map(|data| data.0).unwrap_or_default(),
            changed_at: row.changed_at,
            changed_by: row.changed_by,
            cause: row.cause.0,
            event_id: EventId::new(row.event_id),
            new_owner_id: row.new_owner_id,
        })
    }
}

impl TryFrom<ChangeRow> for RecordChange {
    type Error = StoreError;

    fn try_from(row: ChangeRow) -> Result<Self, StoreError> {
        Ok(Self {
            module: row
                .module_slug
                .parse()
                .map_err(|error| StoreError::corrupt("module name", error))?,
            record_id: RecordId::new(row.record_id),
            entry: row.row.try_into()?,
        })
    }
}

fn kind(name: &str) -> Result<EventKind, StoreError> {
    EventKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| StoreError::corrupt("kind of event", name))
}

/// A page of a record's history, newest first: versions before `before`, or all; of one field,
/// or of all.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn history_page(
    tx: &mut TenantTx,
    record: RecordId,
    field: Option<&FieldKey>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select version, kind, changed_before, changed_after, changed_at, changed_by, cause,
            event_id, new_owner_id
        from crm_record_history
        where tenant_id = $1 and record_id = $2 and version < $3
            and ($5::text is null or changed_before ? $5 or changed_after ? $5)
        order by version desc
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .bind(field.map(FieldKey::as_str))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(HistoryEntry::try_from).collect()
}

/// What somebody changed in records of these modules, newest first: before this event, or from
/// the start.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn changes_by_user(
    tx: &mut TenantTx,
    user: &UserId,
    modules: &[ModuleSlug],
    before: Option<EventId>,
    limit: u32,
) -> Result<Vec<RecordChange>, StoreError> {
    let rows: Vec<ChangeRow> = sqlx::query_as(
        "select r.module_slug, h.record_id, h.version, h.kind, h.changed_before,
            h.changed_after, h.changed_at, h.changed_by, h.cause, h.event_id,
            h.new_owner_id
        from crm_record_history h
        join crm_records r on r.tenant_id = h.tenant_id and r.id = h.record_id
        where h.tenant_id = $1 and h.changed_by = $2 and h.event_id < $4
            and r.module_slug = any($3)
        order by h.event_id desc
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.as_str())
    .bind(slugs(modules))
    .bind(before.map_or(Uuid::max(), EventId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(RecordChange::try_from).collect()
}

/// The changes of a record that can have changed one of these fields, oldest first; of more than
/// [`STAGES_MAX_CHANGES`] the newest.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn stage_changes(
    tx: &mut TenantTx,
    record: RecordId,
    fields: &[&FieldKey],
) -> Result<Vec<StageChange>, StoreError> {
    let fields: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let rows: Vec<StageRow> = sqlx::query_as(
        "select kind, changed_at, changed_before, changed_after
        from crm_record_history
        where tenant_id = $1 and record_id = $2
            and (kind <> 'record_updated' or changed_before ?| $3 or changed_after ?| $3)
        order by version desc
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(fields)
    .bind(i64::from(STAGES_MAX_CHANGES))
    .fetch_all(tx.connection())
    .await?;
    let change = |(name, at, before, after): StageRow| {
        Ok(StageChange {
            kind: kind(&name)?,
            at,
            before: before.map(|data| data.0).unwrap_or_default(),
            after: after.map(|data| data.0).unwrap_or_default(),
        })
    };
    rows.into_iter().rev().map(change).collect()
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
    let rows: Vec<BeforeRow> = sqlx::query_as(
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
    let change =
        |(fields, before): BeforeRow| (fields.0, before.map(|data| data.0).unwrap_or_default());
    Ok(rows.into_iter().map(change).collect())
}
