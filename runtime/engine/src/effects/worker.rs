//! The delivery worker: leases effects in fair batches and sends them side by side. Any number of
//! them, in any number of processes, may run at once; one that dies leaves its leases to others.

use chrono::{DateTime, Utc};
use crm_model::limits::{
    DELIVERY_PAUSES, EFFECT_MAX_ATTEMPTS, EFFECT_PAUSE_MAX_SECONDS, TENANT_MAX_EFFECTS_OUT,
};
use crm_model::run_source::RunFlow;
use crm_model::{Effect, EventKind, Model, TenantId};
use crm_store::StoreError;
use crm_store::effects::{EffectEnd, EffectState, LoadedEffect};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::answer::no_answer;
use super::next::next_run;
use super::schedule::time_reached;
use super::{End, Next};
use crate::run::NoFlow;
use crate::time::{delta, pause};
use crate::{Engine, EngineError, fresh};

/// How effects are delivered.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// Effects on their way side by side.
    pub concurrency: usize,
    /// How long an effect is this worker's; longer than any may take.
    pub lease: Duration,
    /// How often to look for effects that others asked for, or whose time has come.
    pub poll: Duration,
    /// The first pause before a request is tried again; doubles with each attempt.
    pub backoff: Duration,
    /// The pauses between attempts at webhooks and mails, whose readers may be away for a day.
    pub patience: &'static [Duration],
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            concurrency: 32,
            lease: Duration::from_secs(60),
            poll: Duration::from_millis(500),
            backoff: Duration::from_secs(5),
            patience: &DELIVERY_PAUSES,
        }
    }
}

/// Pause after the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Delivers until `stop`, then lets what is on its way come to its end.
    pub async fn deliver(&self, settings: DeliverySettings, stop: CancellationToken) {
        let free = Arc::new(Semaphore::new(settings.concurrency));
        let mut tasks = JoinSet::new();
        let mut after = None;
        while !stop.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            let place = tokio::select! {
                place = Arc::clone(&free).acquire_owned() => place,
                () = stop.cancelled() => break,
            };
            let Ok(mut places) = place else { break };
            let rest = free.available_permits() as u32;
            if let Ok(more) = Arc::clone(&free).try_acquire_many_owned(rest) {
                places.merge(more);
            }
            let pause = match self
                .deliver_batch(settings, after, places, &mut tasks)
                .await
            {
                Ok(Some(last)) => {
                    after = Some(last);
                    continue;
                }
                Ok(None) => settings.poll,
                Err(error) => {
                    tracing::warn!(%error, "no effects can be leased");
                    AWAY_PAUSE
                }
            };
            tokio::select! {
                () = self.inner.effects_waiting.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Tells this process's worker that there are effects; call it after the commit.
    pub(crate) fn effects_notify(&self) {
        self.inner.effects_waiting.notify_one();
    }

    /// Sends what is due into `tasks`, at most one for each of the places. The last tenant of the
    /// round; none where nothing was due.
    async fn deliver_batch(
        &self,
        settings: DeliverySettings,
        after: Option<TenantId>,
        mut places: OwnedSemaphorePermit,
        tasks: &mut JoinSet<()>,
    ) -> Result<Option<TenantId>, StoreError> {
        let (now, token) = (fresh::now(), fresh::token());
        let until = now + delta(settings.lease);
        let limit = i32::try_from(places.num_permits()).unwrap_or(i32::MAX);
        let shares = (limit, TENANT_MAX_EFFECTS_OUT);
        let leased =
            crm_store::effects::effects_lease(self.store(), (now, until), token, shares, after);
        let tenants = leased.await?;
        let mut last = None;
        for tenant in tenants {
            last = Some(tenant);
            let loaded = crm_store::effects::effects_load(self.store(), tenant, token).await;
            let (version, effects) = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::warn!(tenant.id = %tenant, %error, "leased effects cannot be loaded");
                    continue;
                }
            };
            let Ok(Some(model)) = self.model_at(tenant, version).await else {
                continue;
            };
            for effect in effects {
                let place = places.split(1);
                let (engine, model) = (self.clone(), Arc::clone(&model));
                tasks.spawn(async move {
                    let attempt = Attempt {
                        tenant,
                        token,
                        effect,
                        settings,
                    };
                    engine.effect_attempt(&model, attempt).await;
                    drop(place);
                });
            }
        }
        Ok(last)
    }

    async fn effect_attempt(&self, model: &Model, attempt: Attempt) {
        let (tenant, effect) = (attempt.tenant, &attempt.effect);
        let kind = effect.effect.kind();
        let waits = |error: EngineError| {
            tracing::warn!(tenant.id = %tenant, job.id = %effect.job, %error, "an effect waits");
            End::Wait {
                reason: "the host could not send it; its log has the reason".to_owned(),
                after: Duration::from_secs(10),
            }
        };
        // Before it goes out: what comes back is for the version that asked.
        let flow = match effect.effect.comes_back() {
            false => Ok(Err("nothing comes back".to_owned())),
            true => match self.run_flow(model, &effect.workflow, effect.version).await {
                Ok(flow) => Ok(Ok(flow)),
                Err(NoFlow::Gone(reason)) => Ok(Err(reason)),
                Err(NoFlow::Store(error)) => Err(error),
            },
        };
        let (flow, end) = match flow {
            Err(error) => (Err(String::new()), waits(error.into())),
            Ok(flow) => match self.effect_send(model, &attempt).await {
                Ok(end) => (flow, end),
                Err(EngineError::Store(StoreError::LeaseLost)) => (flow, End::Written),
                Err(error) => (flow, waits(error)),
            },
        };
        let Some(end) = attempt.ended(&flow, end) else {
            metrics::counter!("crm_effects_total", "kind" => kind, "status" => "done").increment(1);
            return;
        };
        let status = match end.state {
            EffectState::Done => "done",
            EffectState::Dead => "dead",
            EffectState::Queued => "again",
        };
        metrics::counter!("crm_effects_total", "kind" => kind, "status" => status).increment(1);
        let starts = end.next.as_ref().is_some_and(|next| next.error.is_none());
        match crm_store::effects::effect_finish(self.store(), tenant, fresh::now(), &end).await {
            Ok(()) if starts => {
                self.runs_began(tenant, 1);
            }
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(
                    tenant.id = %tenant, job.id = %effect.job, %error,
                    "the end of an effect was not written; it is tried again"
                );
            }
        }
    }

    async fn effect_send(&self, model: &Model, attempt: &Attempt) -> Result<End, EngineError> {
        let (tenant, effect) = (attempt.tenant, &attempt.effect);
        // A worker that dies in the middle is an attempt too.
        let most = attempt.most();
        if effect.attempt > most {
            let reason = format!("none of {most} attempts came to an end");
            return Ok(End::never(reason));
        }
        match &effect.effect {
            Effect::Email(email) => self.email_send(tenant, effect, email).await,
            Effect::Webhook(hook) => self.webhook_send(tenant, effect, hook).await,
            Effect::Http(request) => self.http_send(tenant, effect, request).await,
            Effect::Notify(note) => {
                let done = attempt.end(EffectState::Done);
                self.notify(tenant, model, (effect, done), note).await
            }
            Effect::Schedule(schedule) => Ok(time_reached(effect, schedule)),
        }
    }
}

/// An effect under a lease.
struct Attempt {
    tenant: TenantId,
    token: Uuid,
    effect: LoadedEffect,
    settings: DeliverySettings,
}

impl Attempt {
    /// The pauses between attempts, where they do not just double.
    fn patience(&self) -> Option<&'static [Duration]> {
        match &self.effect.effect {
            Effect::Webhook(_) | Effect::Email(_) => Some(self.settings.patience),
            Effect::Http(_) | Effect::Notify(_) | Effect::Schedule(_) => None,
        }
    }

    /// Attempts before it is dead.
    fn most(&self) -> i32 {
        self.patience().map_or(EFFECT_MAX_ATTEMPTS, |pauses| {
            i32::try_from(pauses.len() + 1).unwrap_or(i32::MAX)
        })
    }

    fn end(&self, state: EffectState) -> EffectEnd {
        EffectEnd {
            job_id: self.effect.job,
            number: self.effect.number,
            lease_token: self.token,
            state,
            counts: true,
            available_at: None,
            error: None,
            status: None,
            next: None,
        }
    }

    /// What is written down of an end; none where it is already.
    fn ended(&self, flow: &Result<RunFlow<'_>, String>, end: End) -> Option<EffectEnd> {
        let last = self.effect.attempt >= self.most();
        Some(match end {
            End::Written => return None,
            End::Done { status, next } => {
                let next = next.map(|next| next_run(flow, &self.effect, next));
                let (next, error) = match next {
                    Some(Err(reason)) => (None, Some(reason)),
                    other => (other.and_then(Result::ok), None),
                };
                EffectEnd {
                    status,
                    next,
                    error,
                    ..self.end(EffectState::Done)
                }
            }
            End::Partly(left_out) => EffectEnd {
                error: Some(left_out),
                ..self.end(EffectState::Done)
            },
            End::Wait { reason, after } => EffectEnd {
                counts: false,
                available_at: Some(fresh::now() + delta(after)),
                error: Some(reason),
                ..self.end(EffectState::Queued)
            },
            End::Again {
                reason,
                status,
                after,
            } if !last => EffectEnd {
                available_at: Some(self.again_at(after)),
                error: Some(reason),
                status,
                ..self.end(EffectState::Queued)
            },
            End::Again { reason, status, .. } | End::Never { reason, status } => EffectEnd {
                next: self.without_answer(flow, &reason),
                error: Some(reason),
                status,
                ..self.end(EffectState::Dead)
            },
        })
    }

    /// Whoever waits for an answer is told that there is none.
    fn without_answer(
        &self,
        flow: &Result<RunFlow<'_>, String>,
        reason: &str,
    ) -> Option<crm_store::effects::NextRun> {
        let Effect::Http(request) = &self.effect.effect else {
            return None;
        };
        let next = request.wants_answer.then(|| Next {
            kind: EventKind::AnswerReceived,
            payload: no_answer(&request.key, reason),
            new_chain: false,
        })?;
        next_run(flow, &self.effect, next).ok()
    }

    fn again_at(&self, at_least: Option<Duration>) -> DateTime<Utc> {
        let attempt = self.effect.attempt;
        let pause = match self.patience() {
            None => {
                let most = Duration::from_secs(EFFECT_PAUSE_MAX_SECONDS);
                pause((self.settings.backoff, most), attempt, self.token)
            }
            Some(pauses) => {
                let index = usize::try_from(attempt - 1).unwrap_or_default();
                let next = pauses.get(index).copied().unwrap_or_default();
                pause((next, next), attempt, self.token)
            }
        };
        // Not even the other side makes one wait for ever.
        let day = Duration::from_secs(24 * 3600);
        fresh::now() + delta(pause.max(at_least.unwrap_or_default().min(day)))
    }
}
