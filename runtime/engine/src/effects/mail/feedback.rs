//! What a mail service tells of mails after they were sent: at an address with a secret in it, as
//! requests that start workflows come. Addresses that take no mail, or whose readers want none, get
//! none from then on, and the mail's effect says what was heard of it.

use chrono::{DateTime, Utc};
use crm_model::limits::{MAIL_FEEDBACK_MAX_EVENTS, MAIL_NOTE_MAX_CHARACTERS};
use crm_model::mail::{SuppressionReason, email_key, is_mail_address};
use crm_model::{
    Actor, EventId, EventKind, JobId, Model, Priority, RecordId, TenantId, Violations,
};
use crm_store::TenantTx;
use crm_store::incoming::Address;
use crm_store::mail::{MailNews, MailOrigin};
use serde_json::json;

use crate::api_keys::{ApiSecret, hash, tenant_of};
use crate::audit::{Act, audit_write};
use crate::begin::{Began, Happening, nobody};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// Every such address begins like this, also for those who search for lost secrets.
const ADDRESS_START: &str = "mail_";
const NO_ADDRESS: EngineError = EngineError::NotFound("address");
/// Who stands beside what a mail service said.
const SERVICE: &str = "mail-service";

/// What happened to a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackKind {
    /// It came back.
    Bounce,
    /// Its reader called it spam.
    Complaint,
    /// Its reader wants no more.
    Unsubscribe,
}

impl FeedbackKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Unsubscribe => "unsubscribe",
        }
    }

    const fn reason(self) -> SuppressionReason {
        match self {
            Self::Bounce => SuppressionReason::Bounced,
            Self::Complaint => SuppressionReason::Complained,
            Self::Unsubscribe => SuppressionReason::Unsubscribed,
        }
    }
}

/// News of a mail.
#[derive(Clone, Debug)]
pub struct Feedback {
    pub kind: FeedbackKind,
    pub address: String,
    /// Of a bounce, whether another mail would come back too.
    pub permanent: bool,
    /// The mail's Message-ID.
    pub message_id: Option<String>,
    pub note: Option<String>,
    pub at: Option<DateTime<Utc>>,
}

impl Feedback {
    fn suppresses(&self) -> bool {
        self.kind != FeedbackKind::Bounce || self.permanent
    }
}

/// The effect that a Message-ID of this server's names.
fn effect_of(message_id: &str) -> Option<(JobId, i32)> {
    let id = message_id.trim().trim_start_matches('<');
    let (id, _) = id.split_once('@')?;
    let (job, number) = id.split_once('.')?;
    Some((job.parse().ok()?, number.parse().ok()?))
}

fn check(all: &[Feedback]) -> Violations {
    if all.is_empty() || all.len() > MAIL_FEEDBACK_MAX_EVENTS {
        let message = format!("has 1 to {MAIL_FEEDBACK_MAX_EVENTS} events");
        return Violations::one("/events", "length", message);
    }
    let mut violations = Violations::default();
    for (index, one) in all.iter().enumerate() {
        if !is_mail_address(one.address.trim()) {
            let message = "is not an e-mail address";
            violations.add(format!("/events/{index}/address"), "format", message);
        }
    }
    violations
}

/// So much of a note as is kept, without what PostgreSQL does not store.
fn short(note: &str) -> String {
    let clean = note.replace('\0', "\u{fffd}");
    clean.chars().take(MAIL_NOTE_MAX_CHARACTERS).collect()
}

impl Engine {
    /// Gives the tenant an address at which a mail service tells of its mails, in the place of the
    /// one before. The secret in it is told this once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn mail_feedback_address_make(
        &self,
        tenant: TenantId,
        actor: Actor,
        receipt: Option<ReceiptMaker<Address>>,
    ) -> Result<(Address, ApiSecret), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            let secret = ApiSecret::new(ADDRESS_START, tenant, fresh::secret()?);
            let address = Address {
                prefix: secret.prefix(),
                created_at: fresh::now(),
                created_by: actor.user_id.to_string(),
            };
            let hash = secret.hash();
            crm_store::mail::feedback_address_put(&mut tx, &address, &hash).await?;
            let act = Act {
                after: Some(json!({ "prefix": address.prefix })),
                ..Act::plain(
                    "mail.feedback_address_made",
                    "mail/feedback-address".to_owned(),
                )
            };
            audit_write(&mut tx, &actor, act).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &address).await?;
            tx.commit().await?;
            Ok((address, secret))
        })
        .await
    }

    /// That address, without the secret.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn mail_feedback_address(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Address, EngineError> {
        let mut tx = self.begin_mail(tenant, actor).await?;
        let found = crm_store::mail::feedback_address_find(&mut tx).await?;
        found.ok_or(NO_ADDRESS)
    }

    /// Ends that address at once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn mail_feedback_address_end(
        &self,
        tenant: TenantId,
        actor: Actor,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_mail(tenant, &actor).await?;
            if !crm_store::mail::feedback_address_remove(&mut tx).await? {
                return Err(NO_ADDRESS);
            }
            let target = "mail/feedback-address".to_owned();
            let act = Act::plain("mail.feedback_address_ended", target);
            audit_write(&mut tx, &actor, act).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Takes in what a mail service tells, all of it or nothing. How many addresses get no more
    /// mail that got some before.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for what is no address; [`EngineError::Refused`];
    /// [`EngineError::Quota`] where too many runs wait for another to begin.
    pub async fn mail_feedback(
        &self,
        secret: &str,
        all: Vec<Feedback>,
    ) -> Result<usize, EngineError> {
        let tenant = tenant_of(ADDRESS_START, secret).ok_or(NO_ADDRESS)?;
        let (engine, hash) = (self.clone(), hash(secret));
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            if !crm_store::mail::is_feedback_secret(&mut tx, &hash).await? {
                return Err(NO_ADDRESS);
            }
            check(&all).into_result().map_err(EngineError::invalid)?;
            let model = engine.model_at(tenant, tx.model_version()).await?;
            let now = fresh::now();
            let (mut added, mut started) = (0, 0);
            for one in all {
                let address = email_key(&one.address);
                let note = one.note.as_deref().map(short);
                if one.suppresses() {
                    let (what, by) = ((address.as_str(), one.kind.reason()), (now, SERVICE));
                    let note = note.as_deref();
                    let is_new = crm_store::mail::suppression_add(&mut tx, what, note, by);
                    added += usize::from(is_new.await?);
                }
                if let Some(effect) = one.message_id.as_deref().and_then(effect_of) {
                    let news = MailNews {
                        kind: one.kind.name(),
                        address,
                        permanent: one.permanent,
                        note,
                        at: one.at,
                    };
                    let origin = crm_store::mail::news_keep(&mut tx, effect, &news).await?;
                    if let (Some(model), Some(origin)) = (&model, origin) {
                        let told = (&origin, &news);
                        started += engine.start_told(&mut tx, model, told, now).await?;
                    }
                }
            }
            tx.commit().await?;
            engine.runs_began(tenant, started);
            Ok(added)
        })
        .await
    }

    /// Starts the workflows that are for news of mails, on the record that the mail was about. How
    /// many runs wait.
    async fn start_told(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        (origin, news): (&MailOrigin, &MailNews),
        at: DateTime<Utc>,
    ) -> Result<i64, EngineError> {
        let concerned = model.workflows().iter().filter(|workflow| {
            let definition = workflow.definition();
            definition.trigger.on == EventKind::MailFeedback
                && definition.module == origin.module
                && !workflow.is_paused()
        });
        let concerned: Vec<_> = concerned.collect();
        if concerned.is_empty() {
            return Ok(0);
        }
        let record = match origin.record.is_nil() {
            true => None,
            false => {
                let asked = [RecordId::new(origin.record)];
                let found = crm_store::records::records_read(tx, &asked).await?;
                let Some(found) = found.into_iter().next() else {
                    return Ok(0);
                };
                Some(found)
            }
        };
        let mut started = 0;
        for workflow in concerned {
            let what = Happening {
                id: EventId::new(fresh::id()),
                kind: EventKind::MailFeedback,
                by: nobody(SERVICE)?,
                depth: u32::try_from(origin.depth).unwrap_or_default() + 1,
                priority: Priority::Normal,
                record: record.as_ref(),
                payload: json!(news),
                at,
                parent: None,
            };
            let began = self.run_begin(tx, (model, workflow), what).await?;
            started += i64::from(matches!(began, Began::Run(_)));
        }
        Ok(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_message_id_names_its_effect() {
        let job = JobId::new(Uuid::from_u128(7));
        for id in [format!("<{job}.3@example.com>"), format!("{job}.3@x")] {
            assert_eq!(effect_of(&id), Some((job, 3)), "{id}");
        }
        for id in [
            "",
            "<a.1@x>",
            "3@x",
            &format!("{job}@x"),
            &format!("{job}.3"),
        ] {
            assert_eq!(effect_of(id), None, "{id}");
        }
    }
}
