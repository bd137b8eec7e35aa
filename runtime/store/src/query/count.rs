//! How long a list is: counted up to a limit, estimated by the planner above.

use crm_model::limits::TOTAL_EXACT_MAX_RECORDS;
use crm_model::query::Query;
use serde_json::Value;
use sqlx::types::Json;

use super::plan::{self, Plan};
use super::sql::{Bind, Sql};
use super::{page, search};
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// How long a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub value: i64,
    /// Otherwise `value` is an estimate.
    pub is_exact: bool,
}

/// Counts a query's whole list, whatever its cursor and limit.
///
/// # Errors
/// [`StoreError::TooSlow`] under [`TenantTx::begin_query`]; [`StoreError::Unavailable`].
pub async fn count(tx: &mut TenantTx, query: &Query) -> Result<Count, StoreError> {
    let terms = match &query.search {
        Some(search) => search::terms(tx, search).await?,
        None => Vec::new(),
    };
    let plan = if query.deleted {
        Plan::Walk
    } else {
        plan::plan_all(
            tx,
            query.module.as_str(),
            (&query.filter, query.reach.as_ref()),
            &terms,
        )
        .await?
    };
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    let rows = rows(&mut sql, query, &terms, &plan);
    let limit = sql.bind(Bind::Integer(TOTAL_EXACT_MAX_RECORDS + 1));
    sql.push(&format!(
        "select count(*) from (select from {rows} limit {limit}) counted"
    ));
    let counted: Vec<(i64,)> = sql.rows(tx.connection()).await?;
    let value = counted.first().map_or(0, |(value,)| *value);
    if value <= TOTAL_EXACT_MAX_RECORDS {
        return Ok(Count {
            value,
            is_exact: true,
        });
    }
    Ok(Count {
        value: estimate(tx, query, &terms, &plan).await?.max(value),
        is_exact: false,
    })
}

async fn estimate(
    tx: &mut TenantTx,
    query: &Query,
    terms: &[Vec<String>],
    plan: &Plan,
) -> Result<i64, StoreError> {
    let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
    sql.push("explain (format json) select from ");
    let rows = rows(&mut sql, query, terms, plan);
    sql.push(&rows);
    let explained: Vec<(Json<Value>,)> = sql.rows(tx.connection()).await?;
    let rows = explained
        .first()
        .and_then(|(plan,)| plan.0.pointer("/0/Plan/Plan Rows"));
    Ok(rows.and_then(Value::as_i64).unwrap_or(0))
}

fn rows(sql: &mut Sql, query: &Query, terms: &[Vec<String>], plan: &Plan) -> String {
    let passes = page::passes(sql, query, terms);
    from(sql, query.module.as_str(), plan, &passes)
}

/// The records that pass, as what stands behind `from`.
pub(super) fn from(sql: &mut Sql, module: &str, plan: &Plan, passes: &str) -> String {
    match plan {
        Plan::Pick(source) => {
            let table = source.table(sql, module);
            let picked = source.rows(sql, module, "i");
            format!(
                "(select distinct i.record_id from {table} i where {picked}) p \
                cross join lateral (\
                select * from crm_records r where r.id = p.record_id and {passes} offset 0) r"
            )
        }
        _ => format!("crm_records r where {passes}"),
    }
}
