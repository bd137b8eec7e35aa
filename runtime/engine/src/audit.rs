//! The audit log: what those who manage a tenant did to it, and where from. An act is written
//! down in its own transaction, so that there is none without its row and no row without one.

use crm_model::limits::TOTAL_EXACT_MAX_RECORDS;
use crm_model::{Actor, AuditId, TenantId};
use crm_store::TenantTx;
use crm_store::audit::{AuditEntry, AuditFilter};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

use crate::read::{Page, PageRequest, Total};
use crate::select::may_manage;
use crate::{Engine, EngineError, fresh};

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Where a request comes from. It travels with the request's task, as its tracing span does,
/// because no verb decides anything by it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// The caller's own tenant, once it is known that they act for another.
    home_tenant: Arc<OnceLock<TenantId>>,
}

impl Origin {
    /// Of a request that was sent from this address.
    pub fn new(address: Option<String>, request_id: Option<String>) -> Self {
        Self {
            address,
            request_id,
            home_tenant: Arc::default(),
        }
    }

    /// Of what this task does; nowhere, for what no request asked for.
    pub(crate) fn current() -> Self {
        ORIGIN.try_with(Clone::clone).unwrap_or_default()
    }

    /// Does something as asked for from here.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        ORIGIN.scope(self, work).await
    }
}

/// What is written down of an act.
#[derive(Clone, Debug)]
pub struct Act {
    /// Such as `module.added`.
    pub action: &'static str,
    /// The path of what it is done to, below `/api/crm/`.
    pub target: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Act {
    /// An act that leaves nothing to compare.
    pub(crate) fn plain(action: &'static str, target: String) -> Self {
        Self {
            action,
            target,
            before: None,
            after: None,
        }
    }
}

/// Writes an act down, in the transaction of the act. Every verb that manages something calls it.
pub(crate) async fn audit_write(
    tx: &mut TenantTx,
    actor: &Actor,
    act: Act,
) -> Result<(), EngineError> {
    let origin = Origin::current();
    let entry = AuditEntry {
        id: AuditId::new(fresh::id()),
        at: fresh::now(),
        actor: actor.user_id.clone(),
        home_tenant: origin.home_tenant.get().copied(),
        action: act.action.to_owned(),
        target: act.target,
        before: act.before,
        after: act.after,
        address: origin.address,
        request_id: origin.request_id,
    };
    Ok(crm_store::audit::audit_insert(tx, &entry).await?)
}

impl Engine {
    /// Writes down what changes nothing, such as an export, before it is done; of a suspended
    /// tenant too.
    pub(crate) async fn audit_note(
        &self,
        tenant: TenantId,
        actor: &Actor,
        act: Act,
    ) -> Result<(), EngineError> {
        let mut tx = TenantTx::begin_audit(self.store(), tenant).await?;
        audit_write(&mut tx, actor, act).await?;
        Ok(tx.commit().await?)
    }

    /// Lets somebody of another tenant act for this one, and writes that down first; so are all
    /// acts that follow in this request.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where the host knows no such tenant.
    pub async fn tenant_enter(
        &self,
        tenant: TenantId,
        home: TenantId,
        actor: &Actor,
        request: &str,
    ) -> Result<(), EngineError> {
        let mut tx = TenantTx::begin_audit(self.store(), tenant).await?;
        let known = crm_store::models::tenant_name(&mut tx).await?;
        known.ok_or(EngineError::NotFound("tenant"))?;
        // A request has one caller, so it is set once.
        let _ = ORIGIN.try_with(|origin| origin.home_tenant.set(home));
        let act = Act::plain("tenant.entered", request.to_owned());
        audit_write(&mut tx, actor, act).await?;
        Ok(tx.commit().await?)
    }

    /// A page of the audit log, newest first, for those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn audit(
        &self,
        tenant: TenantId,
        actor: &Actor,
        filter: &AuditFilter,
        page: PageRequest<AuditId>,
    ) -> Result<Page<AuditEntry>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        if !may_manage(model.as_deref(), actor) {
            return Err(EngineError::Forbidden(
                "the audit log is for those who may manage all modules",
            ));
        }
        let rows = crm_store::audit::audit_page(&mut tx, filter, page.before, page.limit + 1);
        let mut answer = Page::cut(rows.await?, page.limit);
        if page.total {
            let most = TOTAL_EXACT_MAX_RECORDS;
            let count = crm_store::audit::audit_count(&mut tx, filter, most).await?;
            answer.total = Some(Total {
                value: count.min(most),
                exact: count <= most,
            });
        }
        Ok(answer)
    }
}
