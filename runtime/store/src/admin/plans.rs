//! Plans, as whoever owns the database sets them.

use crm_model::plan::Plan;
use crm_model::{AuditId, TenantId, UserId};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};

use super::Admin;
use crate::error::StoreError;
use crate::plans::plan_of;

impl Admin {
    /// The tenant's plan; one that says nothing where none was set.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn plan_own(&mut self, tenant: TenantId) -> Result<Plan, StoreError> {
        let mut transaction = self.connection.begin().await?;
        own(&mut transaction, tenant).await
    }

    /// Sets a tenant's plan, for the next call on every instance, and writes that into its audit
    /// log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn plan_set(
        &mut self,
        tenant: TenantId,
        plan: &Plan,
        by: &UserId,
        audit: AuditId,
    ) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        let before = own(&mut transaction, tenant).await?;
        sqlx::query("select crm_plan_set($1, $2, $3, now(), $4)")
            .bind(tenant.uuid())
            .bind(plan.name.as_deref())
            .bind(Json(plan.limits))
            .bind(by.as_str())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "insert into crm_audit (tenant_id, id, at, actor, action, target, before, after)
            values ($1, $2, now(), $3, 'plan.set', 'limits', jsonb_strip_nulls($4),
                jsonb_strip_nulls($5))",
        )
        .bind(tenant.uuid())
        .bind(audit.uuid())
        .bind(by.as_str())
        .bind(Json(before))
        .bind(Json(plan))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Sets the tenant for the transaction too: the owner's rows are under policies as anybody's.
async fn own(connection: &mut PgConnection, tenant: TenantId) -> Result<Plan, StoreError> {
    sqlx::query("select set_config('crm.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(&mut *connection)
        .await?;
    plan_of(connection, tenant).await
}
