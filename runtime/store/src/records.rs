//! Reading records. Writing them is [`crate::commit`]'s alone.

use chrono::{DateTime, Utc};
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
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    module_slug: String,
    data: Json<Data>,
    version: i64,
    owner_id: String,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
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
    let row: ReadRow = sqlx::query_as("select * from crm_record_read($1, $2, $3)")
        .bind(tenant.uuid())
        .bind(module.as_str())
        .bind(record.uuid())
        .fetch_one(store.statements())
        .await?;
    let model_version = row.model_version;
    Ok((model_version, row.row().map(Record::try_from).transpose()?))
}

/// Which of these records are there, as pairs of module and record.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_present(
    tx: &mut TenantTx,
    records: &[RecordId],
) -> Result<Vec<(ModuleSlug, RecordId)>, StoreError> {
    let ids: Vec<Uuid> = records.iter().map(|record| record.uuid()).collect();
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "select module_slug, id from crm_records
        where tenant_id = $1 and id = any($2) and deleted_at is null",
    )
    .bind(tx.tenant_id().uuid())
    .bind(ids)
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|(module, id)| {
            let module = module
                .parse()
                .map_err(|error| StoreError::corrupt("module name", error))?;
            Ok((module, RecordId::new(id)))
        })
        .collect()
}
