//! What a tenant has used of what it may, and what an operator sets for it.

use crm_model::quota::{QuotaChoice, QuotaName, QuotaUsage};
use crm_model::{Actor, TenantId};
use crm_store::TenantTx;
use serde_json::{Map, Value, json};

use crate::audit::{Act, audit_write};
use crate::select::may_manage;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// Each quota of the tenant as it stands, for those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn quota_usage(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Vec<QuotaUsage>, EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let version = tx.model_version();
        drop(tx);
        let model = self.model_at(tenant, version).await?;
        if !may_manage(model.as_deref(), actor) {
            return Err(EngineError::Forbidden(
                "what the tenant used is for those who may manage all modules",
            ));
        }
        self.quotas_now(tenant).await
    }

    /// Sets quotas of a tenant, and writes that down. Whether the caller runs the installation,
    /// and nobody else may do this, was asked before.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn quotas_set(
        &self,
        tenant: TenantId,
        actor: Actor,
        wanted: Vec<(QuotaName, QuotaChoice)>,
    ) -> Result<Vec<QuotaUsage>, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            // A suspended tenant's too: this is the operator's, not the tenant's.
            let mut tx = TenantTx::begin_audit(engine.store(), tenant).await?;
            let before = own(&mut tx).await?;
            let (at, by) = (fresh::now(), actor.user_id.as_str());
            for (quota, choice) in &wanted {
                crm_store::quotas::quota_set(&mut tx, *quota, *choice, at, by).await?;
            }
            let after = own(&mut tx).await?;
            let act = Act {
                before: Some(before),
                after: Some(after),
                ..Act::plain("quotas.set", "usage".to_owned())
            };
            audit_write(&mut tx, &actor, act).await?;
            tx.commit().await?;
            engine.quotas_now(tenant).await
        })
        .await
    }
}

/// What is set for the tenant, as the audit log tells it.
async fn own(tx: &mut TenantTx) -> Result<Value, EngineError> {
    let own = crm_store::quotas::quotas_own(tx).await?;
    let own: Map<String, Value> = own
        .into_iter()
        .map(|(quota, amount)| {
            let amount = amount.map_or_else(|| json!("unlimited"), |amount| json!(amount));
            (quota.name().to_owned(), amount)
        })
        .collect();
    Ok(Value::Object(own))
}
