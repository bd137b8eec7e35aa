//! Webhooks that are told of records by themselves. The door writes a job for each, which has a
//! place in the queue but calls nothing: it asks for a message, as a run does. Messages of one
//! record go out in the order of its versions: its jobs stand in a line, and the store sends one message of a record at a time. What a message holds is read from the
//! event when it goes out, so nothing of the record is kept twice.

use crm_model::effect::{Effect, Webhook};
use crm_model::{Model, TenantId};
use crm_store::commit::{Completion, JobState};
use crm_store::effects::{LoadedEffect, NewEffect};
use crm_store::{StoreError, TenantTx};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Engine;
use crate::queue::Lease;

impl Engine {
    /// Asks for the message that a job stands for, when it is its turn.
    pub(crate) async fn webhook_told(
        &self,
        model: &Model,
        lease: &Lease,
        webhook: Uuid,
    ) -> Result<&'static str, StoreError> {
        if self.job_behind(lease).await? {
            return Ok("behind");
        }
        let (job, event) = (&lease.job, &lease.job.event);
        let mut subscriptions = model.subscriptions().iter();
        let told = subscriptions.find(|told| told.webhook == webhook);
        let effect = told.map(|told| NewEffect {
            kind: "webhook",
            target: told.name.clone(),
            effect: Effect::Webhook(Webhook {
                endpoint: told.name.clone(),
                topic: event.kind.name().to_owned(),
                payload: Value::Null,
            }),
            secrets: Vec::new(),
            due: None,
            step: None,
        });
        let gone = effect
            .is_none()
            .then(|| "the webhook is told of nothing any more".to_owned());
        let completion = Completion {
            job_id: job.id,
            lease_token: lease.token,
            state: JobState::Done,
            available_at: None,
            error: gone,
            place: None,
            outputs: None,
            effects: effect.into_iter().collect(),
            log: None,
            keeps: Vec::new(),
            root: None,
        };
        self.complete(model, lease, completion).await?;
        Ok("done")
    }

    /// What such a message holds; a sentence where it is told of nothing.
    pub(super) async fn told_payload(
        &self,
        tenant: TenantId,
        effect: &LoadedEffect,
        webhook: &crm_store::webhooks::Webhook,
    ) -> Result<Result<Value, String>, StoreError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let told = crm_store::webhooks::event_told(&mut tx, effect.event).await?;
        drop(tx);
        let Some(told) = told else {
            return Ok(Err("the event is not kept any more".to_owned()));
        };
        let (module, kind) = (&effect.module, effect.event_kind);
        let mut watches = webhook.events.iter();
        let watch = watches.find(|watch| watch.is_of(module, kind, &told.changed));
        let Some(watch) = watch else {
            let name = &webhook.name;
            let reason = format!("the webhook “{name}” is not told of this any more");
            return Ok(Err(reason));
        };
        Ok(Ok(json!({
            "event": effect.event,
            "module": module,
            "record_id": effect.record,
            "version": told.version,
            "changed_fields": watch.changed(told.changed),
            "record": told.after.map(|after| watch.show(after)),
            "by": effect.actor.user_id,
        })))
    }
}
