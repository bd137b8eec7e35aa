//! What happened keeps no values of a deleted field: they are taken out of history, events, run
//! logs and kept answers, some rows at a time. Only while the task of the deletion runs; rows are
//! emptied, never deleted (migrations/0032_field_forget.sql).

use crm_model::derived::slot;
use crm_model::{FieldKey, ModuleSlug};
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// Takes a field out of the history and events of up to `limit` records of its module, deleted
/// ones too, from after `after` in the order of their ids. The last of them; none at the end.
///
/// # Errors
/// [`StoreError::Unavailable`], also where the field is not being removed.
pub async fn history_forget(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
    after: Uuid,
    limit: u32,
) -> Result<Option<Uuid>, StoreError> {
    let statement = "select crm_field_forget($1, $2, $3, $4)";
    page_forget(tx, statement, (module, field), after, limit).await
}

/// Takes a field out of up to `limit` entries of the tenant's run log, from after `after` in the
/// order of their ids. The last that was looked at; none at the end.
///
/// # Errors
/// [`StoreError::Unavailable`], also where the field is not being removed.
pub async fn runs_forget(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
    after: Uuid,
    limit: u32,
) -> Result<Option<Uuid>, StoreError> {
    let statement = "select crm_field_forget_runs($1, $2, $3, $4)";
    page_forget(tx, statement, (module, field), after, limit).await
}

async fn page_forget(
    tx: &mut TenantTx,
    statement: &'static str,
    (module, field): (&ModuleSlug, &FieldKey),
    after: Uuid,
    limit: u32,
) -> Result<Option<Uuid>, StoreError> {
    let last = sqlx::query_scalar(statement)
        .bind(module.as_str())
        .bind(field.as_str())
        .bind(after)
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .fetch_one(tx.connection())
        .await?;
    Ok(last)
}

/// Takes a field out of up to `limit` answers that hold a record of its module with a value of
/// it; how many there were. The answers stay, so that a request which is sent again still does
/// nothing.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn receipts_forget(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
    limit: u32,
) -> Result<u64, StoreError> {
    // A record's answer is one object. Others, and texts that are no JSON, are not looked into.
    let forgotten = sqlx::query(
        "with answer as materialized (
            select r.user_id, r.key, r.body::jsonb as body
            from crm_receipts r
            where r.tenant_id = $1 and r.body like '{%'
                and case when r.body like '{%' then
                    r.body::jsonb ->> 'module' = $2 and r.body::jsonb -> 'data' ? $3
                end
            limit $4
        ),
        taken as (
            delete from crm_receipts r
            using answer
            where r.tenant_id = $1 and r.user_id = answer.user_id and r.key = answer.key
            returning r.*, answer.body as held
        )
        insert into crm_receipts (
            tenant_id, user_id, key, fingerprint, status, headers, body, created_at)
        select tenant_id, user_id, key, fingerprint, status, headers,
            (held #- array['data', $3])::text, created_at
        from taken",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(field.as_str())
    .bind(i64::from(limit))
    .execute(tx.connection())
    .await?;
    Ok(forgotten.rows_affected())
}

/// Forgets which number a deleted auto number field gave out last.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn counter_forget(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
) -> Result<(), StoreError> {
    sqlx::query("delete from crm_counters where tenant_id = $1 and slot = $2")
        .bind(tx.tenant_id().uuid())
        .bind(slot(module, field))
        .execute(tx.connection())
        .await?;
    Ok(())
}
