//! Notes to people, as each reads their own.

use crm_model::{Actor, TenantId};
use crm_store::TenantTx;
use crm_store::notifications::Notification;
use uuid::Uuid;

use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// A page of the caller's notes, newest first; `unread` leaves out those that were read.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn notifications(
        &self,
        tenant: TenantId,
        actor: &Actor,
        unread: bool,
        page: PageRequest<Uuid>,
    ) -> Result<Page<Notification>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let (user, limit) = (&actor.user_id, page.limit + 1);
        let rows =
            crm_store::notifications::notifications_page(&mut tx, user, unread, page.before, limit);
        Ok(Page::cut(rows.await?, page.limit))
    }

    /// Notes that the caller has read one of theirs.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub async fn notification_read(
        &self,
        tenant: TenantId,
        actor: Actor,
        id: Uuid,
        receipt: Option<ReceiptMaker<Notification>>,
    ) -> Result<Notification, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let (user, at) = (&actor.user_id, fresh::now());
            let read = crm_store::notifications::notification_read(&mut tx, user, id, at).await?;
            let read = read.ok_or(EngineError::NotFound("notification"))?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &read).await?;
            tx.commit().await?;
            Ok(read)
        })
        .await
    }
}
