//! Queries as SQL: the one compiler, over parsed names, with every value bound. It decides how
//! records are found, never which: that is the model's [`crm_model::query`].

mod aggregate;
mod count;
mod expression;
mod page;
mod plan;
mod predicate;
mod related;
mod search;
mod sql;

pub use aggregate::{Aggregated, AggregatedRow, aggregate};
pub use count::{Count, count};
pub use page::{Found, explain, page};
pub use related::{by_ids, pointing_to};

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// Readies a transaction for queries of clients: each statement has a limit of time, and the
/// planner neither scans tables as a whole nor compiles. For the rest of the transaction, so
/// only for those that read.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn limit_time(tx: &mut TenantTx, milliseconds: u32) -> Result<(), StoreError> {
    sqlx::query(
        "select set_config('statement_timeout', $1::text, true),
            set_config('enable_seqscan', 'off', true),
            set_config('enable_hashjoin', 'off', true),
            set_config('enable_mergejoin', 'off', true),
            set_config('jit', 'off', true)",
    )
    .bind(milliseconds.to_string())
    .execute(tx.connection())
    .await?;
    Ok(())
}
