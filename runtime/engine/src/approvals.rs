//! Words of people that runs wait for: who may give them sees them, and those who manage
//! everything.

use crm_model::effect::ROLE_START;
use crm_model::limits::APPROVAL_COMMENT_MAX_CHARACTERS;
use crm_model::permission::manages_all;
use crm_model::{Actor, Model, RecordId, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::awaits::{ApprovalFilter, ApprovalRow};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

const NO_APPROVAL: EngineError = EngineError::NotFound("approval");

/// Which approvals somebody asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Approvals {
    /// Only those that a run waits for, or only those that none does any more.
    pub open: Option<bool>,
    pub record: Option<RecordId>,
    /// All of the tenant's, not only those that the caller is named for: for those who manage
    /// everything.
    pub all: bool,
}

/// Somebody's word.
#[derive(Clone, Debug)]
pub struct Decision {
    pub approved: bool,
    pub comment: Option<String>,
}

/// What an approval may call somebody: by the own name, and by the roles.
fn names(model: &Model, actor: &Actor) -> Vec<String> {
    let roles = model.roles_of(actor).into_iter();
    let roles = roles.map(|role| format!("{ROLE_START}{role}"));
    roles.chain([actor.user_id.to_string()]).collect()
}

impl Engine {
    /// A page of approvals, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] where all are asked for.
    pub async fn approvals(
        &self,
        tenant: TenantId,
        actor: &Actor,
        which: Approvals,
        page: PageRequest<Uuid>,
    ) -> Result<Page<ApprovalRow>, EngineError> {
        let (mut tx, model) = self.begin_approvals(tenant).await?;
        if which.all && !manages_all(&model, actor) {
            return Err(EngineError::Forbidden(
                "only who manages everything sees what others are asked",
            ));
        }
        let own = (!which.all).then(|| names(&model, actor));
        let filter = ApprovalFilter {
            approvers: own.as_deref(),
            open: which.open,
            record: which.record,
        };
        let (now, limit) = (fresh::now(), page.limit + 1);
        let rows =
            crm_store::awaits::approvals_page(&mut tx, &filter, now, page.before, limit).await?;
        Ok(Page::cut(rows, page.limit))
    }

    /// One of them.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], also for those who are not named for it.
    pub async fn approval(
        &self,
        tenant: TenantId,
        actor: &Actor,
        id: Uuid,
    ) -> Result<ApprovalRow, EngineError> {
        let (mut tx, model) = self.begin_approvals(tenant).await?;
        let row = crm_store::awaits::approval_lock(&mut tx, id, fresh::now()).await?;
        row.filter(|row| may(&model, actor, row)).ok_or(NO_APPROVAL)
    }

    /// Gives the word that a run waits for, which goes on with it. The first one counts.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], also for those who are not named for it;
    /// [`EngineError::Conflict`] where nothing waits for it any more.
    pub async fn approval_decide(
        &self,
        tenant: TenantId,
        actor: Actor,
        id: Uuid,
        decision: Decision,
        receipt: Option<ReceiptMaker<ApprovalRow>>,
    ) -> Result<ApprovalRow, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let comment = decision.comment.as_deref();
            if comment.is_some_and(|it| it.chars().count() > APPROVAL_COMMENT_MAX_CHARACTERS) {
                let message = format!("at most {APPROVAL_COMMENT_MAX_CHARACTERS} characters");
                let violations = Violations::one("/comment", "length", message);
                return Err(EngineError::invalid(violations));
            }
            let (mut tx, model) = engine.begin_approvals(tenant).await?;
            let now = fresh::now();
            let row = crm_store::awaits::approval_lock(&mut tx, id, now).await?;
            let row = row.filter(|row| may(&model, &actor, row));
            let mut row = row.ok_or(NO_APPROVAL)?;
            if !row.is_open {
                return Err(EngineError::Conflict(over(&row)));
            }
            let result = json!({
                "status": if decision.approved { "approved" } else { "rejected" },
                "by": actor.user_id,
                "at": now,
                "comment": decision.comment,
            });
            crm_store::awaits::approval_answer(&mut tx, id, &result, now).await?;
            row.result = Some(result.clone());
            row.is_open = false;
            let act = Act {
                after: Some(result),
                ..Act::plain("approval.decided", format!("approvals/{id}"))
            };
            audit_write(&mut tx, &actor, act).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &row).await?;
            tx.commit().await?;
            engine.inner.jobs_waiting.notify_one();
            Ok(row)
        })
        .await
    }

    async fn begin_approvals(
        &self,
        tenant: TenantId,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        Ok((tx, model.ok_or(NO_APPROVAL)?))
    }
}

fn may(model: &Model, actor: &Actor, row: &ApprovalRow) -> bool {
    let own = names(model, actor);
    manages_all(model, actor) || row.approvers.iter().any(|name| own.contains(name))
}

fn over(row: &ApprovalRow) -> String {
    let status = row.result.as_ref().and_then(|result| result.get("status"));
    match status.and_then(serde_json::Value::as_str) {
        Some("approved" | "rejected") => "somebody has decided it".to_owned(),
        Some(_) => format!("its time was over on {}", row.until),
        None => "the run that asked has ended, or its time is over".to_owned(),
    }
}
