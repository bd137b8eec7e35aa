//! Files that people import: what is known of them, and their bytes in chunks.

use chrono::{DateTime, Utc};
use crm_model::import::Column;
use crm_model::{ImportId, ModuleSlug, TaskId, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tasks::{Task, task_read};
use crate::tenant_tx::TenantTx;

/// A file that was uploaded.
#[derive(Clone, Debug)]
pub struct Import {
    pub id: ImportId,
    pub file_name: String,
    pub module: ModuleSlug,
    /// An ASCII character.
    pub delimiter: u8,
    pub columns: Vec<Column>,
    /// Rows of data.
    pub row_count: u64,
    pub byte_count: u64,
    /// Whether its bytes are still there.
    pub has_file: bool,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    /// The run that began last.
    pub task: Option<Task>,
}

/// What an upload turned out to be.
#[derive(Clone, Debug)]
pub struct Uploaded<'a> {
    pub module: &'a ModuleSlug,
    pub delimiter: u8,
    pub columns: &'a [Column],
    pub row_count: u64,
    pub byte_count: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    file_name: String,
    module_slug: String,
    delimiter: String,
    columns: Json<Vec<Column>>,
    row_count: i64,
    byte_count: i64,
    task_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    created_by: String,
    has_file: bool,
}

async fn import_of(tx: &mut TenantTx, row: Row) -> Result<Import, StoreError> {
    let task = match row.task_id {
        None => None,
        Some(task) => task_read(tx, TaskId::new(task)).await?,
    };
    let delimiter = row.delimiter.bytes().next();
    Ok(Import {
        id: ImportId::new(row.id),
        file_name: row.file_name,
        module: row
            .module_slug
            .parse()
            .map_err(|error| StoreError::corrupt("module name", error))?,
        delimiter: delimiter.ok_or_else(|| StoreError::corrupt("delimiter", "none"))?,
        columns: row.columns.0,
        row_count: u64::try_from(row.row_count).unwrap_or_default(),
        byte_count: u64::try_from(row.byte_count).unwrap_or_default(),
        has_file: row.has_file,
        created_at: row.created_at,
        created_by: row.created_by,
        task,
    })
}

/// Begins an upload.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn import_insert(
    tx: &mut TenantTx,
    id: ImportId,
    file_name: &str,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_imports (tenant_id, id, file_name, created_at, created_by)
        values ($1, $2, $3, $4, $5)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(file_name)
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps a chunk of a file; chunks count from 0.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn chunk_insert(
    tx: &mut TenantTx,
    id: ImportId,
    position: i32,
    bytes: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_import_chunks (tenant_id, import_id, position, bytes)
        values ($1, $2, $3, $4)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(position)
    .bind(bytes)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Chunks of a file from this one on, at most `limit`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn chunks_read(
    tx: &mut TenantTx,
    id: ImportId,
    from: i32,
    limit: i32,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let chunks = sqlx::query_scalar(
        "select bytes from crm_import_chunks
        where tenant_id = $1 and import_id = $2 and position >= $3 and position < $3 + $4
        order by position",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(from)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    Ok(chunks)
}

/// The upload is complete.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn import_complete(
    tx: &mut TenantTx,
    id: ImportId,
    uploaded: &Uploaded<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_imports
        set module_slug = $3, delimiter = $4, columns = $5, row_count = $6, byte_count = $7
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(uploaded.module.as_str())
    .bind(char::from(uploaded.delimiter).to_string())
    .bind(Json(uploaded.columns))
    .bind(i64::try_from(uploaded.row_count).unwrap_or(i64::MAX))
    .bind(i64::try_from(uploaded.byte_count).unwrap_or(i64::MAX))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// An upload broke off: nothing of it stays. One that is complete stays as it is, because whoever
/// lost the answer to its commit cannot know.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn import_delete(tx: &mut TenantTx, id: ImportId) -> Result<(), StoreError> {
    sqlx::query(
        "with gone as (
            delete from crm_imports
            where tenant_id = $1 and id = $2 and module_slug is null
            returning id)
        delete from crm_import_chunks c
        using gone
        where c.tenant_id = $1 and c.import_id = gone.id",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Deletes a file's bytes; what is known of it stays.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn file_delete(tx: &mut TenantTx, id: ImportId) -> Result<(), StoreError> {
    sqlx::query("delete from crm_import_chunks where tenant_id = $1 and import_id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(id.uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Deletes the tenant's files that were uploaded before `before` and are not being imported.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn files_expire(tx: &mut TenantTx, before: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query(
        "delete from crm_import_chunks c
        using crm_imports i
        where c.tenant_id = $1 and i.tenant_id = $1 and i.id = c.import_id
            and i.created_at < $2
            and not exists (
                select from crm_tasks t
                where t.tenant_id = $1 and t.id = i.task_id and t.status in ('queued', 'running'))",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before)
    .execute(tx.connection())
    .await?;
    sqlx::query(
        "delete from crm_imports
        where tenant_id = $1 and created_at < $2 and module_slug is null",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// One import whose upload is complete, locked against other runs until the transaction ends
/// where `lock` says so.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn import_read(
    tx: &mut TenantTx,
    id: ImportId,
    lock: bool,
) -> Result<Option<Import>, StoreError> {
    if lock {
        sqlx::query("select from crm_imports where tenant_id = $1 and id = $2 for update")
            .bind(tx.tenant_id().uuid())
            .bind(id.uuid())
            .execute(tx.connection())
            .await?;
    }
    let row: Option<Row> = sqlx::query_as(
        "select i.id, i.file_name, i.module_slug, i.delimiter, i.columns, i.row_count,
            i.byte_count, i.task_id, i.created_at, i.created_by,
            exists (
                select from crm_import_chunks c
                where c.tenant_id = $1 and c.import_id = i.id and c.position = 0) as has_file
        from crm_imports i
        where i.tenant_id = $1 and i.id = $2 and i.module_slug is not null",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .fetch_optional(tx.connection())
    .await?;
    match row {
        None => Ok(None),
        Some(row) => import_of(tx, row).await.map(Some),
    }
}

/// A page of imports, newest first: those into these modules; only those of `by`, where given.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn imports_page(
    tx: &mut TenantTx,
    modules: &[ModuleSlug],
    by: Option<&UserId>,
    before: Option<ImportId>,
    limit: u32,
) -> Result<Vec<Import>, StoreError> {
    let modules: Vec<&str> = modules.iter().map(ModuleSlug::as_str).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "select i.id, i.file_name, i.module_slug, i.delimiter, i.columns, i.row_count,
            i.byte_count, i.task_id, i.created_at, i.created_by,
            exists (
                select from crm_import_chunks c
                where c.tenant_id = $1 and c.import_id = i.id and c.position = 0) as has_file
        from crm_imports i
        where i.tenant_id = $1 and i.id < $2 and i.module_slug = any($3)
            and ($4::text is null or i.created_by = $4)
        order by i.id desc
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before.map_or(Uuid::max(), ImportId::uuid))
    .bind(modules)
    .bind(by.map(UserId::as_str))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let mut imports = Vec::with_capacity(rows.len());
    for row in rows {
        imports.push(import_of(tx, row).await?);
    }
    Ok(imports)
}

/// A run of an import begins.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn import_run(tx: &mut TenantTx, id: ImportId, task: TaskId) -> Result<(), StoreError> {
    sqlx::query("update crm_imports set task_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(id.uuid())
        .bind(task.uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}
