//! Whom a tenant's mails are from. An address counts when two say so: the operator, who names the
//! domains that the mail server may send for (else mails would not pass for genuine, and spoil the
//! name of everybody's), and whoever reads mail there, with a code that was sent to it (else one
//! tenant could write as another). Until then, and after, mails are from the operator's address.

use chrono::TimeDelta;
use crm_model::limits::{SENDER_CODE_MAX_SECONDS, SENDER_CODE_PAUSE_SECONDS};
use crm_model::mail::{NewSender, check_sender};
use crm_model::{Actor, TenantId, Violations};
use crm_store::mail::Sender;
use serde_json::json;

use crate::api_keys::{hash, hexadecimal};
use crate::audit::{Act, audit_write};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// Of the code: nobody guesses so many in a day.
const CODE_BYTES: usize = 8;

/// Whom mails are from.
#[derive(Clone, Debug)]
pub struct Senders {
    /// The operator's address; none where this server sends no mail.
    pub operators: Option<String>,
    /// The tenant's own, confirmed or not.
    pub own: Option<Sender>,
    /// Domains at which a tenant may have one.
    pub domains: Vec<String>,
}

fn act(action: &'static str, before: Option<&Sender>, after: Option<&Sender>) -> Act {
    let told = |sender: &Sender| {
        json!({"name": sender.name, "address": sender.address, "reply_to": sender.reply_to,
            "confirmed": sender.confirmed_at.is_some()})
    };
    Act {
        before: before.map(told),
        after: after.map(told),
        ..Act::plain(action, "mail/sender".to_owned())
    }
}

fn code() -> Result<String, EngineError> {
    let random = fresh::secret()?;
    let (start, _) = random.split_at(CODE_BYTES);
    Ok(hexadecimal(start))
}

impl Engine {
    /// Whom the tenant's mails are from.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn mail_senders(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Senders, EngineError> {
        let mut tx = self.begin_mail(tenant, actor).await?;
        let own = crm_store::mail::sender_find(&mut tx).await?;
        let mail = self.outside().mail.as_ref();
        Ok(Senders {
            operators: mail.map(|mail| mail.from.to_string()),
            own,
            domains: mail.map(|mail| mail.domains.clone()).unwrap_or_default(),
        })
    }

    /// Says whom mails are to be from. Another address than the one that is confirmed gets a mail
    /// with a code, which [`Engine::mail_sender_confirm`] wants.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Refused`]; [`EngineError::Conflict`] where this
    /// server sends no mail, or did not get rid of this one, or sent another a moment ago.
    pub async fn mail_sender_put(
        &self,
        tenant: TenantId,
        actor: Actor,
        wanted: NewSender,
    ) -> Result<Sender, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            let before = crm_store::mail::sender_find(&mut tx).await?;
            drop(tx);
            let mail = engine.outside().mail.clone();
            let domains = mail.as_ref().map(|mail| mail.domains.as_slice());
            let violations = check_sender(&wanted, domains.unwrap_or_default());
            violations.into_result().map_err(EngineError::invalid)?;
            let mail = mail.ok_or_else(|| {
                EngineError::Conflict(
                    "this server sends no mail: whoever runs it sets CRM_SMTP_URL".to_owned(),
                )
            })?;
            let at = fresh::now();
            let known = before.as_ref().filter(|was| was.address == wanted.address);
            let mut after = Sender {
                name: wanted.name,
                address: wanted.address,
                reply_to: wanted.reply_to,
                code_sent_at: None,
                confirmed_at: known.and_then(|was| was.confirmed_at),
                updated_at: at,
                updated_by: actor.user_id.to_string(),
            };
            let mut code_hash = None;
            if after.confirmed_at.is_none() {
                let pause = TimeDelta::seconds(SENDER_CODE_PAUSE_SECONDS);
                let last = before.as_ref().and_then(|was| was.code_sent_at);
                if last.is_some_and(|last| at - last < pause) {
                    return Err(EngineError::Conflict(format!(
                        "a code was sent less than {SENDER_CODE_PAUSE_SECONDS} seconds ago: look \
                         for it, or ask again a little later"
                    )));
                }
                let code = code()?;
                code_hash = Some(hash(&code));
                after.code_sent_at = Some(at);
                let text = format!(
                    "Somebody wants this CRM to send mail from {}, as “{}”.\n\nIf that is right, \
                     confirm it there with this code, within a day:\n\n{code}\n\nOtherwise do \
                     nothing.\n",
                    after.address, after.name
                );
                let note = (after.address.as_str(), "Confirm this address");
                // No transaction is open meanwhile.
                mail.note(note, text).await.map_err(|why| {
                    EngineError::Conflict(format!("the mail with the code was not sent: {why}"))
                })?;
            }
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            crm_store::mail::sender_put(&mut tx, &after, code_hash.as_deref()).await?;
            let put = act("mail.sender_put", before.as_ref(), Some(&after));
            audit_write(&mut tx, &actor, put).await?;
            tx.commit().await?;
            Ok(after)
        })
        .await
    }

    /// Confirms the address with the code that was sent to it. Mails are from it from then on.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Refused`].
    pub async fn mail_sender_confirm(
        &self,
        tenant: TenantId,
        actor: Actor,
        code: String,
        receipt: Option<ReceiptMaker<Sender>>,
    ) -> Result<Sender, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            let (at, hash) = (fresh::now(), hash(code.trim()));
            let since = at - TimeDelta::seconds(SENDER_CODE_MAX_SECONDS);
            let by = (at, actor.user_id.as_str());
            let found = crm_store::mail::sender_confirm(&mut tx, &hash, since, by).await?;
            let sender = found.ok_or_else(|| {
                let message = "is not the code of the newest mail, or older than a day: have \
                               another one sent with PUT mail/sender";
                EngineError::invalid(Violations::one("/code", "code", message))
            })?;
            let confirmed = act("mail.sender_confirmed", None, Some(&sender));
            audit_write(&mut tx, &actor, confirmed).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &sender).await?;
            tx.commit().await?;
            Ok(sender)
        })
        .await
    }

    /// Has mails be from the operator's address again.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn mail_sender_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            let before = crm_store::mail::sender_find(&mut tx).await?;
            if crm_store::mail::sender_remove(&mut tx).await? {
                let removed = act("mail.sender_removed", before.as_ref(), None);
                audit_write(&mut tx, &actor, removed).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }
}
