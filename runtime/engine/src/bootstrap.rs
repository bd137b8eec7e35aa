//! The first question of every client: is a template chosen, and what may I see?

use crm_model::permission::Action;
use crm_model::{Actor, Model, ModuleSlug, TenantId};
use crm_store::TenantTx;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Engine, EngineError};

/// What a client needs to start.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub tenant_id: TenantId,
    pub tenant_name: String,
    /// None: a template has to be chosen.
    pub ready: Option<Ready>,
}

/// A tenant with a model.
#[derive(Clone, Debug)]
pub struct Ready {
    pub model: Arc<Model>,
    /// What the caller may do, by module; a module without `read` is not there for them.
    pub permissions: BTreeMap<ModuleSlug, Vec<Action>>,
    /// Slug, title, layout.
    pub dashboards: Vec<(String, String, serde_json::Value)>,
}

impl Engine {
    /// Answers the first question.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a tenant that the host does not know.
    pub async fn bootstrap(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Bootstrap, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let name = crm_store::models::tenant_name(&mut tx).await?;
        let tenant_name = name.ok_or(EngineError::NotFound("tenant"))?;
        let version = tx.model_version();
        let dashboards = crm_store::models::dashboards_list(&mut tx).await?;
        drop(tx);
        let model = self.model_at(tenant, version).await?;
        let ready = model.map(|model| {
            let mut permissions = model.permissions(actor);
            permissions.retain(|_, actions| actions.contains(&Action::Read));
            Ready {
                model,
                permissions,
                dashboards,
            }
        });
        Ok(Bootstrap {
            tenant_id: tenant,
            tenant_name,
            ready,
        })
    }
}
