//! What is still to be done for records that were there before the model changed: fields that
//! are being built, names of what is being removed. Tasks do it; here it is only noted.

use crm_model::{FieldKey, ModuleSlug};
use std::collections::BTreeSet;
use uuid::Uuid;

use crate::error::StoreError;
use crate::overlay::{field_key, module_slug};
use crate::tenant_tx::TenantTx;

pub(crate) async fn building_read(
    tx: &mut TenantTx,
) -> Result<BTreeSet<(ModuleSlug, FieldKey)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select module_slug, field_key from crm_fields_building where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    rows.iter()
        .map(|(module, field)| Ok((module_slug(module)?, field_key(field)?)))
        .collect()
}

/// Whether values of a deleted field of that key, or all of a deleted module of that name, are
/// still being taken away. Without a field: whether anything of that module is.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn is_being_removed(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: Option<&FieldKey>,
) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar(
        "select exists (
            select from crm_tasks t
            where t.tenant_id = $1
                and t.kind in ('field_remove', 'module_remove')
                and t.status <> 'done'
                and t.spec ->> 'module' = $2
                and ($3::text is null or t.spec ->> 'field' = $3))",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(field.map(FieldKey::as_str))
    .fetch_one(tx.connection())
    .await?;
    Ok(found)
}

/// Whether a module has records, apart from deleted ones.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn has_records(tx: &mut TenantTx, module: &ModuleSlug) -> Result<bool, StoreError> {
    // The order is there for the planner: only one index has it, and its first row is enough.
    // Asked whether any row exists, it may take to reading the whole table.
    let found: Option<Uuid> = sqlx::query_scalar(
        "select r.id from crm_records r
        where r.tenant_id = $1 and r.module_slug = $2 and r.deleted_at is null
        order by r.created_at
        limit 1",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .fetch_optional(tx.connection())
    .await?;
    Ok(found.is_some())
}

/// Notes that a task builds these fields. Where another did, this one has the last word.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn building_insert(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    fields: &BTreeSet<FieldKey>,
    task: Uuid,
) -> Result<(), StoreError> {
    let keys: Vec<&str> = fields.iter().map(FieldKey::as_str).collect();
    sqlx::query(
        "insert into crm_fields_building (tenant_id, module_slug, field_key, task_id)
        select $1, $2, key, $4 from unnest($3::text[]) as key
        on conflict (tenant_id, module_slug, field_key) do update
        set task_id = excluded.task_id",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(keys)
    .bind(task)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes that a task has built its fields: those that no later task builds again are ready. The
/// caller advances the model in the same transaction, so that everybody learns it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn building_finish(tx: &mut TenantTx, task: Uuid) -> Result<(), StoreError> {
    sqlx::query("delete from crm_fields_building where tenant_id = $1 and task_id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(task)
        .execute(tx.connection())
        .await?;
    Ok(())
}
