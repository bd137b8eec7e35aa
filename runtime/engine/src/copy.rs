//! A new record like another.

use crm_model::permission::{Action, Authority, permit};
use crm_model::{Actor, Data, ModuleSlug, Mutation, RecordId, Refusal, TenantId};
use std::sync::Arc;

use crate::write::{Outcome, ReceiptMaker};
use crate::{Engine, EngineError};

impl Engine {
    /// Creates a record with the data of another, but for values that only one record may have
    /// and those that the host computes, and of those that the caller sees and may write; `changes`
    /// go over it.
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub async fn record_clone(
        &self,
        tenant: TenantId,
        actor: Actor,
        module: ModuleSlug,
        record: RecordId,
        changes: Data,
        receipt: Option<ReceiptMaker>,
    ) -> Outcome {
        let (version, found) =
            crm_store::records::record_read(self.store(), tenant, &module, record).await?;
        let model: Option<Arc<crm_model::Model>> = self.model_at(tenant, version).await?;
        let model = model.ok_or_else(|| EngineError::no_module(&module))?;
        let permitted = permit(&model, Authority::User(&actor), Action::Read, &module)?;
        let found = found.ok_or(Refusal::NotFound)?;
        self.check_there(&model, &actor, (&module, record)).await?;
        let mut data = permitted.sight().copy_of(&found.data);
        data.extend(changes);
        let mutation = Mutation::Create { module, data };
        self.write(tenant, actor, mutation, receipt).await
    }
}
