//! What a plugin did for a tenant in the last day: runs, failures by kind, fuel, how long.

use chrono::TimeDelta;
use crm_model::limits::AGGREGATE_MAX_MILLISECONDS;
use crm_model::{Actor, PluginName, TenantId};
use crm_store::TenantTx;
pub use crm_store::runs::PluginUsage;

use crate::{Engine, EngineError, fresh};

impl Engine {
    /// A plugin's attempts of the last 24 hours.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn plugin_usage(
        &self,
        tenant: TenantId,
        actor: &Actor,
        name: &PluginName,
    ) -> Result<PluginUsage, EngineError> {
        let limit = AGGREGATE_MAX_MILLISECONDS;
        let mut tx = TenantTx::begin_query(self.store(), tenant, limit).await?;
        self.managed_model(&tx, actor).await?;
        let since = fresh::now() - TimeDelta::hours(24);
        Ok(crm_store::runs::plugin_usage(&mut tx, name, since).await?)
    }
}
