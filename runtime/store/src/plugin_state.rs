//! Values that plugins keep for a tenant. They are written at the end of a run, in its commit
//! (`crm_job_complete`).

use crm_model::names::PluginName;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// The value under a key as JSON text, and its version.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn value_read(
    tx: &mut TenantTx,
    plugin: &PluginName,
    key: &str,
) -> Result<Option<(String, i64)>, StoreError> {
    let found = sqlx::query_as(
        "select value, version from crm_plugin_state
        where tenant_id = $1 and plugin_name = $2 and key = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(plugin.as_str())
    .bind(key)
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// How many values a plugin keeps.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn keys_count(tx: &mut TenantTx, plugin: &PluginName) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "select count(*) from crm_plugin_state where tenant_id = $1 and plugin_name = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(plugin.as_str())
    .fetch_one(tx.connection())
    .await?;
    Ok(count)
}
