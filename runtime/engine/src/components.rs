//! Components on their way from the store into the sandbox.

use crm_model::TenantId;
use crm_model::model::InstalledPlugin;
use crm_sandbox::{Digest, Plugin};
use crm_store::TenantTx;
use std::sync::Arc;

use crate::{Engine, EngineError};

impl Engine {
    /// The compiled component of an installed plugin: the loaded one, else the one whose code
    /// is on disk, else read and compiled off the threads that serve.
    pub(crate) async fn component(
        &self,
        tenant: TenantId,
        plugin: &InstalledPlugin,
    ) -> Result<Arc<Plugin>, EngineError> {
        self.component_by_digest(tenant, &plugin.digest).await
    }

    /// The same by its digest, in hexadecimal.
    pub(crate) async fn component_by_digest(
        &self,
        tenant: TenantId,
        text: &str,
    ) -> Result<Arc<Plugin>, EngineError> {
        let digest: Digest = text
            .parse()
            .map_err(|_| EngineError::Internal(format!("“{text}” is no digest")))?;
        if let Some(plugin) = self.sandbox().loaded(&digest) {
            return Ok(plugin);
        }
        if let Some(plugin) = self.component_known(digest).await? {
            return Ok(plugin);
        }
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let bytes = crm_store::plugins::component_read(&mut tx, text).await?;
        drop(tx);
        let bytes = bytes.ok_or(EngineError::NotFound("component"))?;
        self.component_load(bytes).await
    }

    /// A component whose code is on disk, read off the threads that serve.
    async fn component_known(&self, digest: Digest) -> Result<Option<Arc<Plugin>>, EngineError> {
        let engine = self.clone();
        let known = tokio::task::spawn_blocking(move || engine.sandbox().known(&digest)).await;
        known.map_err(|error| EngineError::Internal(error.to_string()))
    }

    /// Compiles a component off the threads that serve.
    pub(crate) async fn component_load(&self, bytes: Vec<u8>) -> Result<Arc<Plugin>, EngineError> {
        Ok(self.component_take(bytes).await?.1)
    }

    /// The same, and hands the bytes back.
    pub(crate) async fn component_take(
        &self,
        bytes: Vec<u8>,
    ) -> Result<(Vec<u8>, Arc<Plugin>), EngineError> {
        let engine = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let plugin = engine.sandbox().load(&bytes);
            (bytes, plugin)
        });
        let loaded = loaded.await;
        let (bytes, plugin) = loaded.map_err(|error| EngineError::Internal(error.to_string()))?;
        Ok((bytes, plugin?))
    }
}
