//! Deleting for good. Two steps: a record that is not in the trash goes there first, through the
//! door like every deletion, so that relations have their say; then all that is known of it goes.

use crm_model::permission::{Authority, permit};
use crm_model::validate::{Base, Surroundings, Validated, action_of, validate};
use crm_model::{Actor, ModuleSlug, Mutation, RecordId, Refusal, TenantId};
use crm_store::TenantTx;
use std::collections::BTreeMap;

use super::Known;
use crate::audit::{Act, audit_write};
use crate::reach::check_reach;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// Removes a record with its history, events, timeline and runs. Runs to its end even if the
    /// caller goes away.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where there is no such record, or without the permission for
    /// it (and that to delete, where the record is not deleted yet); as [`Engine::write`].
    pub async fn purge(
        &self,
        tenant: TenantId,
        actor: Actor,
        module: ModuleSlug,
        record: RecordId,
        expected_version: Option<i64>,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            engine
                .purge_now(tenant, actor, module, record, expected_version)
                .await
        })
        .await
    }

    async fn purge_now(
        &self,
        tenant: TenantId,
        actor: Actor,
        module: ModuleSlug,
        record_id: RecordId,
        expected_version: Option<i64>,
    ) -> Result<(), EngineError> {
        let mutation = Mutation::Purge {
            module: module.clone(),
            record_id,
        };
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or_else(|| EngineError::no_module(&module))?;
        let authority = Authority::User(&actor);
        let permit = permit(&model, authority, action_of(&mutation), &module)?;
        let record = (&module, record_id);
        check_reach(&mut tx, (&model, &actor), record, action_of(&mutation)).await?;
        let found = crm_store::records::records_lock(&mut tx, &[record_id]).await?;
        drop(tx);
        let found = found.into_iter().find(|record| record.module == module);
        let known = found.map(Known::of);
        let base: Option<&Base> = known.as_ref().map(|known| &known.base);
        let nothing = Surroundings {
            at: fresh::now(),
            related: &BTreeMap::new(),
            numbers: &BTreeMap::new(),
            made: None,
            rollups: &BTreeMap::new(),
            added: None,
        };
        let validated = validate(&model, &permit, &mutation, record_id, base, &nothing)?;
        let Validated::Purge(purge) = validated else {
            return Err(EngineError::Internal("a purge that is none".to_owned()));
        };
        let target = format!("records/{module}/{record_id}");
        if known.is_some_and(|known| !known.is_deleted()) {
            let delete = Mutation::Delete {
                module,
                record_id,
                expected_version,
            };
            self.write(tenant, actor.clone(), delete, None).await?;
        }
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        if !crm_store::records::record_purge(&mut tx, &purge).await? {
            return Err(Refusal::NotFound.into());
        }
        // What the record held is gone, from here too.
        let act = Act::plain("record.purged", target);
        audit_write(&mut tx, &actor, act).await?;
        Ok(tx.commit().await?)
    }
}
