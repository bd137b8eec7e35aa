//! Addresses that a tenant's mails do not go to.

use crm_model::limits::MAIL_NOTE_MAX_CHARACTERS;
use crm_model::mail::{AddressKey, SuppressionReason, email_key, is_mail_address};
use crm_model::{Actor, TenantId, Violations};
use crm_store::mail::Suppression;
use serde_json::json;

use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

const NOT_FOUND: EngineError = EngineError::NotFound("suppressed address");

fn act(action: &'static str, suppression: &Suppression) -> Act {
    let told = json!({"address": suppression.address, "reason": suppression.reason,
        "note": suppression.note});
    let act = Act::plain(action, "mail/suppressions".to_owned());
    match action {
        "mail.suppression_added" => Act {
            after: Some(told),
            ..act
        },
        _ => Act {
            before: Some(told),
            ..act
        },
    }
}

impl Engine {
    /// A page of them, by address.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn mail_suppressions(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<AddressKey>,
    ) -> Result<Page<Suppression>, EngineError> {
        let mut tx = self.begin_mail(tenant, actor).await?;
        let (after, limit) = (page.before.as_ref().map(AddressKey::as_str), page.limit + 1);
        let rows = crm_store::mail::suppressions_page(&mut tx, after, limit).await?;
        Ok(Page::cut(rows, page.limit))
    }

    /// One of them.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn mail_suppression(
        &self,
        tenant: TenantId,
        actor: &Actor,
        address: &AddressKey,
    ) -> Result<Suppression, EngineError> {
        let mut tx = self.begin_mail(tenant, actor).await?;
        let wanted = [address.as_str().to_owned()];
        let found = crm_store::mail::suppressions_among(&mut tx, &wanted).await?;
        found.into_iter().next().ok_or(NOT_FOUND)
    }

    /// Has no mail go to an address any more.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Refused`]; [`EngineError::Conflict`] where it is
    /// there already.
    pub async fn mail_suppression_add(
        &self,
        tenant: TenantId,
        actor: Actor,
        (address, note): (String, Option<String>),
        receipt: Option<ReceiptMaker<Suppression>>,
    ) -> Result<Suppression, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            let mut violations = Violations::default();
            let address = email_key(&address);
            if !is_mail_address(&address) {
                violations.add("/address".to_owned(), "format", "is not an e-mail address");
            }
            let length = note.as_ref().map_or(0, |note| note.chars().count());
            if length > MAIL_NOTE_MAX_CHARACTERS || note.as_ref().is_some_and(|n| n.contains('\0'))
            {
                let message = format!("has at most {MAIL_NOTE_MAX_CHARACTERS} characters, no NUL");
                violations.add("/note".to_owned(), "length", message);
            }
            violations.into_result().map_err(EngineError::invalid)?;
            let added = Suppression {
                address,
                reason: SuppressionReason::Added.name().to_owned(),
                note,
                created_at: fresh::now(),
                created_by: actor.user_id.to_string(),
            };
            let what = (added.address.as_str(), SuppressionReason::Added);
            let by = (added.created_at, added.created_by.as_str());
            let note = added.note.as_deref();
            if !crm_store::mail::suppression_add(&mut tx, what, note, by).await? {
                let taken = format!("no mail goes to “{}” already", added.address);
                return Err(EngineError::Conflict(taken));
            }
            audit_write(&mut tx, &actor, act("mail.suppression_added", &added)).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &added).await?;
            tx.commit().await?;
            Ok(added)
        })
        .await
    }

    /// Lets mails go to an address again.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn mail_suppression_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        address: AddressKey,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            let gone = crm_store::mail::suppression_remove(&mut tx, address.as_str()).await?;
            let gone = gone.ok_or(NOT_FOUND)?;
            audit_write(&mut tx, &actor, act("mail.suppression_removed", &gone)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}
