//! Models: compiled once per version and kept in memory, never stale. Who reads learns the
//! version with the data; who writes names the version, and the store refuses another.

use crm_model::{Model, ModuleSlug, TenantId};
use crm_store::{StoreError, TenantTx};
use std::sync::Arc;

use crate::{Engine, EngineError};

impl Engine {
    /// The tenant's model of this version: the kept one if it is that, else read anew.
    pub(crate) async fn model_at(
        &self,
        tenant: TenantId,
        version: Option<i64>,
    ) -> Result<Option<Arc<Model>>, EngineError> {
        let Some(version) = version else {
            return Ok(None);
        };
        match self.inner.models.get(&tenant) {
            Some(model) if model.version() == version => Ok(Some(model)),
            _ => self.model_load(tenant).await,
        }
    }

    /// A model that may be old by now: only for writes, which the store refuses under an old one.
    ///
    /// # Errors
    /// [`StoreError::Suspended`] where nobody may write; that is asked anew, because suspending
    /// and resuming a tenant makes a version of its model too.
    pub(crate) async fn model_guess(
        &self,
        tenant: TenantId,
        module: &ModuleSlug,
    ) -> Result<Arc<Model>, EngineError> {
        match self.inner.models.get(&tenant) {
            Some(model) if !model.suspended() => return Ok(model),
            _ => {}
        }
        let model = self.model_load(tenant).await?;
        match model.ok_or_else(|| EngineError::no_module(module))? {
            model if model.suspended() => Err(StoreError::Suspended.into()),
            model => Ok(model),
        }
    }

    pub(crate) fn model_forget(&self, tenant: TenantId) {
        self.inner.models.invalidate(&tenant);
    }

    pub(crate) fn model_keep(&self, model: Arc<Model>) {
        self.inner.models.insert(model.tenant_id(), model);
    }

    async fn model_load(&self, tenant: TenantId) -> Result<Option<Arc<Model>>, EngineError> {
        // Whoever asks may be in the middle of a transaction.
        let mut tx = TenantTx::begin_inner(self.store(), tenant).await?;
        let source = crm_store::models::model_source(&mut tx).await?;
        drop(tx);
        let Some(source) = source else {
            return Ok(None);
        };
        let model = Model::compile(source).map_err(|error| {
            EngineError::Internal(format!(
                "the model of tenant {tenant} does not compile: {error}"
            ))
        })?;
        let model = Arc::new(model);
        self.inner.models.insert(tenant, model.clone());
        Ok(Some(model))
    }
}
