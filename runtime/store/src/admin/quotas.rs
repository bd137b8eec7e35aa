//! Quotas, as whoever owns the database sets them.

use crm_model::quota::{QuotaChoice, QuotaName};
use crm_model::{AuditId, TenantId, UserId};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};

use super::Admin;
use crate::error::StoreError;
use crate::quotas::columns;

impl Admin {
    /// What is set for a tenant, by name: a number, or `unlimited`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn quotas_own(&mut self, tenant: TenantId) -> Result<Value, StoreError> {
        let mut transaction = self.connection.begin().await?;
        own(&mut transaction, tenant).await
    }

    /// Sets quotas of a tenant, and writes that into its audit log. Processes that serve find out
    /// when they look at the tenant's books next, within a second or so.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn quotas_set(
        &mut self,
        tenant: TenantId,
        wanted: &[(QuotaName, QuotaChoice)],
        by: &UserId,
        audit: AuditId,
    ) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        let before = own(&mut transaction, tenant).await?;
        for (quota, choice) in wanted {
            let (is_set, amount) = columns(*choice);
            sqlx::query("select crm_quota_set($1, $2, $3, $4, now(), $5)")
                .bind(tenant.uuid())
                .bind(quota.name())
                .bind(is_set)
                .bind(amount)
                .bind(by.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        let after = own(&mut transaction, tenant).await?;
        sqlx::query(
            "insert into crm_audit (tenant_id, id, at, actor, action, target, before, after)
            values ($1, $2, now(), $3, 'quotas.set', 'usage', $4, $5)",
        )
        .bind(tenant.uuid())
        .bind(audit.uuid())
        .bind(by.as_str())
        .bind(Json(before))
        .bind(Json(after))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Sets the tenant for the transaction too: the owner's rows are under policies as anybody's.
async fn own(connection: &mut PgConnection, tenant: TenantId) -> Result<Value, StoreError> {
    sqlx::query("select set_config('crm.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(&mut *connection)
        .await?;
    let own: Json<Value> = sqlx::query_scalar(
        "select coalesce(jsonb_object_agg(
            quota, coalesce(to_jsonb(amount), to_jsonb('unlimited'::text))), '{}')
        from crm_quotas where tenant_id = $1",
    )
    .bind(tenant.uuid())
    .fetch_one(connection)
    .await?;
    Ok(own.0)
}
