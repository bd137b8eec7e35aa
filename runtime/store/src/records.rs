//! Reading records. Writing them is [`crate::commit`]'s alone.

use chrono::{DateTime, Utc};
use crm_model::derived::Entry;
use crm_model::validate::ValidPurge;
use crm_model::{Data, ModuleSlug, RecordId, TenantId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: RecordId,
    pub module: ModuleSlug,
    pub version: i64,
    pub data: Data,
    pub owner_id: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
    /// Since when it is in the trash.
    pub deleted_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    module_slug: String,
    data: Json<Data>,
    version: i64,
    owner_id: String,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
    deleted_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Record {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: RecordId::new(row.id),
            module: row
                .module_slug
                .parse()
                .map_err(|error| StoreError::corrupt("module name", error))?,
            version: row.version,
            data: row.data.0,
            owner_id: row.owner_id,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
            deleted_at: row.deleted_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct ReadRow {
    model_version: Option<i64>,
    id: Option<Uuid>,
    #[sqlx(default)]
    module_slug: Option<String>,
    data: Option<Json<Data>>,
    version: Option<i64>,
    owner_id: Option<String>,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    updated_at: Option<DateTime<Utc>>,
    updated_by: Option<String>,
}

impl ReadRow {
    fn row(self) -> Option<Row> {
        Some(Row {
            id: self.id?,
            module_slug: self.module_slug?,
            data: self.data?,
            version: self.version?,
            owner_id: self.owner_id?,
            created_at: self.created_at?,
            created_by: self.created_by?,
            updated_at: self.updated_at?,
            updated_by: self.updated_by?,
            // The function reads what is not deleted.
            deleted_at: None,
        })
    }
}

/// Reads one record, in one round trip, with the version of the tenant's model.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn record_read(
    store: &Store,
    tenant: TenantId,
    module: &ModuleSlug,
    record: RecordId,
) -> Result<(Option<i64>, Option<Record>), StoreError> {
    let mut lent = store.for_statement().await?;
    let row = sqlx::query_as("select * from crm_record_read($1, $2, $3)")
        .bind(tenant.uuid())
        .bind(module.as_str())
        .bind(record.uuid())
        .fetch_one(lent.connection())
        .await;
    let row: ReadRow = lent.give_back(row)?;
    let model_version = row.model_version;
    Ok((model_version, row.row().map(Record::try_from).transpose()?))
}

/// Those of these records that are there, deleted ones too, in the order of their ids; nobody
/// else changes them until the transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`]; [`StoreError::StaleRecords`] where two writes wait for each
/// other.
pub async fn records_lock(
    tx: &mut TenantTx,
    records: &[RecordId],
) -> Result<Vec<Record>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, module_slug, data, version, owner_id, created_at, created_by, updated_at,
            updated_by, deleted_at
        from crm_records
        where tenant_id = $1 and id = any($2)
        order by id
        for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(uuids(records))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Record::try_from).collect()
}

/// Those of these records that are there and not deleted.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_read(
    tx: &mut TenantTx,
    records: &[RecordId],
) -> Result<Vec<Record>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, module_slug, data, version, owner_id, created_at, created_by, updated_at,
            updated_by, deleted_at
        from crm_records
        where tenant_id = $1 and id = any($2) and deleted_at is null",
    )
    .bind(tx.tenant_id().uuid())
    .bind(uuids(records))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Record::try_from).collect()
}

/// The records that have these unique values.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_by_unique(
    tx: &mut TenantTx,
    entries: &[Entry],
) -> Result<Vec<(Entry, RecordId)>, StoreError> {
    let slots: Vec<&str> = entries.iter().map(|entry| entry.slot.as_str()).collect();
    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let rows: Vec<(String, String, Uuid)> = sqlx::query_as(
        "select q.slot, q.key, q.record_id
        from unnest($2::text[], $3::text[]) as u (slot, key)
        join crm_unique q on q.tenant_id = $1 and q.slot = u.slot and q.key = u.key",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slots)
    .bind(keys)
    .fetch_all(tx.connection())
    .await?;
    let found = |(slot, key, id): (String, String, Uuid)| (Entry { slot, key }, RecordId::new(id));
    Ok(rows.into_iter().map(found).collect())
}

/// The records whose index rows in this slot have these keys, as pairs of key and record; at
/// most `limit`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_by_key(
    tx: &mut TenantTx,
    slot: &str,
    keys: &[String],
    limit: usize,
) -> Result<Vec<(String, RecordId)>, StoreError> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "select i.key, i.record_id
        from unnest($3::text[]) as u (key)
        join crm_index i on i.tenant_id = $1 and i.slot = $2 and i.key = u.key
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slot)
    .bind(keys)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(tx.connection())
    .await?;
    let found = |(key, id): (String, Uuid)| (key, RecordId::new(id));
    Ok(rows.into_iter().map(found).collect())
}

/// Takes the next `count` numbers of each slot; the first of each. A transaction of its own:
/// numbers that are not used are lost, and nobody waits for the write that uses them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn numbers_take(
    store: &Store,
    tenant: TenantId,
    slots: &[String],
    count: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select slot, first from crm_numbers_take($1, $2, $3)")
        .bind(tenant.uuid())
        .bind(slots)
        .bind(count)
        .fetch_all(lent.connection())
        .await;
    lent.give_back(rows)
}

/// Removes a deleted record for good, with its history, events, timeline and runs. False where
/// there is no such deleted record.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn record_purge(tx: &mut TenantTx, purge: &ValidPurge) -> Result<bool, StoreError> {
    let purged = sqlx::query_scalar("select crm_record_purge($1, $2, $3)")
        .bind(tx.tenant_id().uuid())
        .bind(purge.module().as_str())
        .bind(purge.record_id().uuid())
        .fetch_one(tx.connection())
        .await?;
    Ok(purged)
}

fn uuids(records: &[RecordId]) -> Vec<Uuid> {
    records.iter().map(|record| record.uuid()).collect()
}
