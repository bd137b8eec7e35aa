//! Which of some records are there for a reader: the same condition that lists are read under,
//! over records by their ids, and over records that are about to be written.

use crm_model::query::Filter;
use crm_model::{Data, ModuleSlug, RecordId};
use serde_json::json;
use sqlx::types::Json;
use std::collections::HashSet;
use uuid::Uuid;

use super::predicate;
use super::sql::{Bind, Sql};
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A record that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    pub id: RecordId,
    pub data: &'a Data,
    /// Whose it will be, and who makes it.
    pub user: &'a str,
}

/// Those of these records of a module, in the trash or not, that pass.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn passing(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    filter: &Filter,
    ids: &[RecordId],
) -> Result<HashSet<RecordId>, StoreError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let ids = sql.bind(Bind::Uuids(ids.iter().map(|id| id.uuid()).collect()));
    let module = sql.bind(Bind::Text(module.to_string()));
    let passes = predicate::filter(&mut sql, filter, "r");
    sql.push(&format!(
        "select r.id from crm_records r where r.tenant_id = $1 and r.id = any({ids}) \
        and r.module_slug = {module} and {passes}"
    ));
    let rows: Vec<(Uuid,)> = sql.rows(tx.connection()).await?;
    Ok(rows.into_iter().map(|(id,)| RecordId::new(id)).collect())
}

/// Those of these new records that would pass.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn would_pass(
    tx: &mut TenantTx,
    filter: &Filter,
    records: &[NewRecord<'_>],
) -> Result<HashSet<RecordId>, StoreError> {
    let rows: Vec<serde_json::Value> = records
        .iter()
        .map(|record| {
            json!({ "id": record.id, "data": record.data, "version": 1, "owner_id": record.user,
                "created_by": record.user, "updated_by": record.user })
        })
        .collect();
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let rows = sql.bind(Bind::Json(Json(rows.into())));
    let passes = predicate::filter(&mut sql, filter, "r");
    sql.push(&format!(
        "select r.id from (\
            select n.*, now() as created_at, now() as updated_at \
            from jsonb_to_recordset({rows}) as n (\
                id uuid, data jsonb, version bigint, owner_id text, created_by text, \
                updated_by text)) r \
        where $1::uuid is not null and {passes}"
    ));
    let rows: Vec<(Uuid,)> = sql.rows(tx.connection()).await?;
    Ok(rows.into_iter().map(|(id,)| RecordId::new(id)).collect())
}
