//! Records at the other end of a relation, for many records at once.

use crm_model::RecordId;
use crm_model::query::{Expansion, Link, Way};
use sqlx::types::Json;
use uuid::Uuid;

use super::page::Found;
use super::predicate;
use super::sql::{Bind, Sql};
use crate::error::StoreError;
use crate::records::Row;
use crate::tenant_tx::TenantTx;

const COLUMNS: &str = "r.id, r.module_slug, r.data, r.version, r.owner_id, r.created_at, \
    r.created_by, r.updated_at, r.updated_by, r.deleted_at";

/// Records at the end of a link by their ids, in one statement; in the order of ids, newest
/// first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn by_ids(
    tx: &mut TenantTx,
    link: &Link,
    ids: Vec<RecordId>,
) -> Result<Vec<Found>, StoreError> {
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let ids = sql.bind(Bind::Uuids(ids.into_iter().map(RecordId::uuid).collect()));
    let module = sql.bind(Bind::Text(link.module.to_string()));
    let reached = predicate::reached(&mut sql, link.reach.as_deref(), "r");
    sql.push(&format!(
        "select {COLUMNS} from crm_records r where r.tenant_id = $1 and r.id = any({ids}) \
        and r.module_slug = {module} and r.deleted_at is null{reached} order by r.id desc"
    ));
    let rows: Vec<Row> = sql.rows(tx.connection()).await?;
    rows.into_iter().map(Found::try_from).collect()
}

/// For each of these records, which records point to it: at most `most` each, newest first, as
/// pairs of the record pointed to and the one that points. One statement.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn pointing_to(
    tx: &mut TenantTx,
    expansion: &Expansion,
    targets: &[RecordId],
    most: u32,
) -> Result<Vec<(RecordId, RecordId)>, StoreError> {
    let Way::Inverse { field, many, slot } = &expansion.link.way else {
        return Ok(Vec::new());
    };
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let targets: Vec<Uuid> = targets.iter().map(|target| target.uuid()).collect();
    let targets = sql.bind(Bind::Uuids(targets));
    let module = sql.bind(Bind::Text(expansion.link.module.to_string()));
    let most = sql.bind(Bind::Integer(i64::from(most)));
    let reached = predicate::reached(&mut sql, expansion.link.reach.as_deref(), "r");
    let pointing = match slot {
        Some(slot) => {
            let slot = sql.bind(Bind::Text(slot.clone()));
            format!(
                "select i.record_id as id from crm_index i cross join lateral (\
                    select from crm_records r where r.tenant_id = $1 and r.id = i.record_id \
                        and r.module_slug = {module} and r.deleted_at is null{reached} \
                    offset 0) r \
                where i.tenant_id = $1 and i.slot = {slot} and i.key = t.id::text \
                order by i.record_id desc limit {most}"
            )
        }
        None => {
            let points = match many {
                true => format!("(r.data -> '{field}') ? (t.id::text)"),
                false => format!("(r.data ->> '{field}') = t.id::text"),
            };
            format!(
                "select r.id from crm_records r where r.tenant_id = $1 \
                and r.module_slug = {module} and r.deleted_at is null{reached} and {points} \
                order by r.id desc limit {most}"
            )
        }
    };
    sql.push(&format!(
        "select jsonb_build_array(t.id, p.id) from unnest({targets}) t (id) \
        cross join lateral ({pointing}) p"
    ));
    let rows: Vec<(Json<(RecordId, RecordId)>,)> = sql.rows(tx.connection()).await?;
    Ok(rows.into_iter().map(|(pair,)| pair.0).collect())
}
