//! Plans: what the operator says of the limits of one tenant's guests.

use chrono::{DateTime, Utc};
use crm_model::TenantId;
use crm_model::plan::Plan;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// The tenant's plan; one that says nothing where none was set.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn plan_read(tx: &mut TenantTx) -> Result<Plan, StoreError> {
    let tenant = tx.tenant_id();
    plan_of(tx.connection(), tenant).await
}

pub(crate) async fn plan_of(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Plan, StoreError> {
    let plan: Option<Json<Plan>> = sqlx::query_scalar(
        "select jsonb_build_object('plan', name, 'limits', limits)
        from crm_plans where tenant_id = $1",
    )
    .bind(tenant.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(plan.map(|plan| plan.0).unwrap_or_default())
}

/// Sets the tenant's plan, with another version of its model. Who may ask for that was asked
/// before, and that it keeps to the caps.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn plan_set(
    tx: &mut TenantTx,
    plan: &Plan,
    at: DateTime<Utc>,
    by: &str,
) -> Result<(), StoreError> {
    sqlx::query("select crm_plan_set($1, $2, $3, $4, $5)")
        .bind(tx.tenant_id().uuid())
        .bind(plan.name.as_deref())
        .bind(Json(plan.limits))
        .bind(at)
        .bind(by)
        .execute(tx.connection())
        .await?;
    Ok(())
}
