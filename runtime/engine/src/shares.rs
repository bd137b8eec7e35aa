//! Sharing a record with people and teams who would not reach it otherwise. It opens no more than
//! their roles let them do to records of the module at all.

use crm_model::limits::RECORD_MAX_SHARES;
use crm_model::permission::{Action, Authority, permit};
use crm_model::reach::Subject;
use crm_model::{Actor, Model, ModuleSlug, RecordId, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::shares::Share;
use serde_json::json;
use std::sync::Arc;

use crate::audit::{Act, audit_write};
use crate::reach::check_reach;
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// With whom a record is shared, by name.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the record does not exist for the caller.
    pub async fn shares(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (module, record): (&ModuleSlug, RecordId),
    ) -> Result<Vec<Share>, EngineError> {
        let (mut tx, _) = self.begin_of_record(tenant, actor, module, record).await?;
        Ok(crm_store::shares::shares_read(&mut tx, record).await?)
    }

    /// Shares a record with somebody, or says anew how far. Runs to its end even if the caller
    /// goes away.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the record does not exist for the caller, they may not
    /// update it, or there is no such team; [`EngineError::Conflict`] where it is shared with too
    /// many.
    pub async fn share_put(
        &self,
        tenant: TenantId,
        actor: Actor,
        (module, record): (ModuleSlug, RecordId),
        (subject, may_update): (Subject, bool),
        receipt: Option<ReceiptMaker<Share>>,
    ) -> Result<Share, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let place = (&module, record);
            let (mut tx, _) = engine.begin_share(tenant, &actor, place).await?;
            let shares = crm_store::shares::shares_read(&mut tx, record).await?;
            let before = shares.iter().find(|share| share.subject == subject);
            let count = i64::try_from(shares.len()).unwrap_or(i64::MAX);
            if before.is_none() && count >= RECORD_MAX_SHARES {
                return Err(EngineError::Conflict(format!(
                    "a record is shared with at most {RECORD_MAX_SHARES} people and teams"
                )));
            }
            let share = Share {
                subject,
                may_update,
                shared_at: fresh::now(),
                shared_by: actor.user_id.to_string(),
            };
            if !crm_store::shares::share_put(&mut tx, place, &share, &actor.user_id).await? {
                let message = "there is no such team";
                let violations = Violations::one("/with", "unknown_team", message);
                return Err(EngineError::invalid(violations));
            }
            let told = |share: &Share| json!({ "with": share.subject.as_str(), "may_update": share.may_update });
            let act = Act {
                action: "record.shared",
                target: format!("records/{module}/{record}"),
                before: before.map(told),
                after: Some(told(&share)),
            };
            audit_write(&mut tx, &actor, act).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &share).await?;
            tx.commit().await?;
            Ok(share)
        })
        .await
    }

    /// Ends that a record is shared with somebody. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// As [`Engine::share_put`]; [`EngineError::NotFound`] where it is not shared with them.
    pub async fn share_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        (module, record): (ModuleSlug, RecordId),
        subject: Subject,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let place = (&module, record);
            let (mut tx, _) = engine.begin_share(tenant, &actor, place).await?;
            if !crm_store::shares::share_delete(&mut tx, record, &subject).await? {
                return Err(EngineError::NotFound("share"));
            }
            let act = Act {
                action: "record.unshared",
                target: format!("records/{module}/{record}"),
                before: Some(json!({ "with": subject.as_str() })),
                after: None,
            };
            audit_write(&mut tx, &actor, act).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// A transaction that holds the record, if the caller may let others in.
    async fn begin_share(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (module, record): (&ModuleSlug, RecordId),
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or_else(|| EngineError::no_module(module))?;
        let permitted = permit(&model, Authority::User(actor), Action::Update, module);
        let found = crm_store::records::records_lock(&mut tx, &[record]).await?;
        let is_it = |found: &crm_store::records::Record| {
            found.module == *module && found.deleted_at.is_none()
        };
        permitted?;
        if !found.iter().any(is_it) {
            return Err(crm_model::Refusal::NotFound.into());
        }
        check_reach(&mut tx, (&model, actor), (module, record), Action::Update).await?;
        Ok((tx, model))
    }
}
