//! One call: a turn, a fresh instance, the guest's answer, the account of it.

use chrono::{DateTime, Utc};
use crm_model::limits::TEMPLATE_MODEL_MAX_BYTES;
use crm_model::{Event, Grant, GuestClass, TenantId};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::Store;

use crate::class::GuestLimits;
use crate::event::{event_bytes, event_encode};
use crate::failure::{RunFailure, Stage, failure_of, over};
use crate::hook::{quiet_store, template_start};
use crate::host::Gate;
use crate::host::question::GuestHost;
use crate::mutation::answer_decode;
use crate::plan::LimitOverrides;
use crate::plugin::{Guest, Plugin};
use crate::probation::Bursts;
use crate::report::{ActionReport, Outcome};
use crate::store::{GuestState, store_account, store_new};

/// What an action, or a template's `after-event`, is called with.
#[derive(Clone, Debug)]
pub struct ActionCall {
    /// Whose call it is: one that was stopped has the tenant's next calls of the same component
    /// wait for others. None where nobody else is served, as on an author's machine.
    pub tenant: Option<TenantId>,
    /// The event, already cut down to what the plugin may see
    /// ([`Event::visible_to`](crm_model::Event::visible_to)).
    pub event: Arc<Event>,
    /// The step's configuration as JSON text; written once per model, not once per call.
    pub configuration: Arc<String>,
    /// What the tenant configured for the plugin as a whole, a JSON object as text.
    pub settings: Arc<String>,
    /// The tenant's time zone: `Europe/Berlin`.
    pub zone: Arc<str>,
    /// The tenant's language: `de`.
    pub locale: Arc<str>,
    /// The same for every attempt at the same work.
    pub idempotency_key: String,
    /// The same for every attempt at the same work.
    pub seed: u64,
    /// What the plugin may ask for.
    pub grant: Grant,
    /// What the tenant's plan says of its calls.
    pub plan: LimitOverrides,
}

/// The limits, and the turns that calls wait for.
pub(crate) struct Room {
    standard: GuestLimits,
    interpreter: GuestLimits,
    turns: Semaphore,
}

impl Room {
    pub(crate) fn new(standard: GuestLimits, interpreter: GuestLimits, concurrency: u32) -> Self {
        Self {
            standard,
            interpreter,
            turns: Semaphore::new(concurrency as usize),
        }
    }

    /// What a call of a component of that class may take, without a plan.
    pub(crate) fn limits_of(&self, class: GuestClass) -> &GuestLimits {
        match class {
            GuestClass::Standard => &self.standard,
            GuestClass::Interpreter => &self.interpreter,
        }
    }

    /// Calls an action's `run`, or a template's `after-event`; in `bursts` where it is on probation.
    pub(crate) async fn action(
        &self,
        plugin: &Plugin,
        call: &ActionCall,
        host: Box<dyn GuestHost>,
        is_long: Arc<AtomicBool>,
        bursts: Option<&Bursts>,
    ) -> ActionReport {
        // Dropped after the store: a turn ends when the instance's place in the pool is free.
        let Ok(_turn) = self.turns.acquire().await else {
            return ActionReport::not_run(RunFailure::host("the sandbox is closed"));
        };
        let limits = match self.limits_of(plugin.manifest().class).with(&call.plan) {
            Ok(limits) => limits,
            Err(error) => return ActionReport::not_run(RunFailure::host(error)),
        };
        let gate = Gate::new(host, call.grant.clone(), &limits);
        let settings = Arc::clone(&call.settings);
        let mut store = match store_new(plugin, &limits, gate, settings, is_long) {
            Ok(store) => store,
            Err(failure) => return ActionReport::not_run(failure),
        };
        if plugin.wasi {
            store
                .data_mut()
                .set_wasi(since_1970(call.event.occurred_at), call.seed);
        }
        let burst = bursts.map(|bursts| bursts.begin(&mut store, &limits));
        let burst = match burst.transpose() {
            Ok(burst) => burst,
            Err(failure) => return ActionReport::not_run(failure),
        };
        let called = action_in(&mut store, plugin, call, &limits);
        let called = in_time(plugin, &limits, called);
        let outcome = match burst {
            Some(burst) => burst.run(called).await,
            None => called.await,
        };
        let usage = store_account(&mut store, &limits);
        ActionReport {
            outcome: outcome.and_then(|outcome| outcome.with_attachments(usage.attached)),
            fuel: usage.fuel,
            memory_bytes: usage.memory_bytes,
            duration: usage.duration,
            logs: usage.logs,
            log_truncated: usage.log_truncated,
            journal: usage.journal,
        }
    }

    /// Calls a template's `model`; JSON text.
    pub(crate) async fn template_model(&self, plugin: &Plugin) -> Result<String, RunFailure> {
        let _turn = self.turns.acquire().await.map_err(RunFailure::host)?;
        // A model is no answer of a run, and has a limit of its own.
        let limits = GuestLimits {
            output_max_bytes: TEMPLATE_MODEL_MAX_BYTES,
            ..*self.limits_of(plugin.manifest().class)
        };
        let mut store = quiet_store(plugin, &limits, Arc::default())?;
        let model = async {
            let template = template_start(&mut store, plugin, &limits).await?;
            let answer = template.call_model(&mut store).await;
            answer.map_err(|error| failure_of(&error, Stage::Call, store.data(), &limits))
        };
        let answer = in_time(plugin, &limits, model).await?;
        over("output_max_bytes", answer.len(), limits.output_max_bytes)?;
        Ok(answer)
    }
}

/// Time as WASI has it; none before 1970.
pub(crate) fn since_1970(at: DateTime<Utc>) -> Duration {
    let epoch = DateTime::UNIX_EPOCH;
    at.signed_duration_since(epoch).to_std().unwrap_or_default()
}

/// Ends a call that waits in WASI, for a time that does not come, when its own time is over. What
/// a guest computes is ended by its clock ([`store_new`]), and other questions by their gate.
pub(crate) async fn in_time<T>(
    plugin: &Plugin,
    limits: &GuestLimits,
    call: impl Future<Output = Result<T, RunFailure>>,
) -> Result<T, RunFailure> {
    if !plugin.wasi {
        return call.await;
    }
    let ended = tokio::time::timeout(limits.call_max, call).await;
    ended.unwrap_or(Err(RunFailure::TimedOut {
        limit: limits.call_max,
        took: limits.call_max,
        on_probation: false,
    }))
}

async fn action_in(
    store: &mut Store<GuestState>,
    plugin: &Plugin,
    call: &ActionCall,
    limits: &GuestLimits,
) -> Result<Outcome, RunFailure> {
    let event = event_encode(call).map_err(RunFailure::host)?;
    over(
        "input_max_bytes",
        event_bytes(&event),
        limits.input_max_bytes,
    )?;
    let failure =
        |error, stage, store: &Store<GuestState>| failure_of(&error, stage, store.data(), limits);
    let answer = match &plugin.guest {
        Guest::Action(action) => {
            let instance = action.instantiate_async(&mut *store).await;
            let instance = instance.map_err(|error| failure(error, Stage::Start, store))?;
            instance.call_run(&mut *store, &event).await
        }
        Guest::Template(template) => {
            let instance = template.pre.instantiate_async(&mut *store).await;
            let instance = instance.map_err(|error| failure(error, Stage::Start, store))?;
            instance.call_after_event(&mut *store, &event).await
        }
    };
    let answer = answer.map_err(|error| failure(error, Stage::Call, store))?;
    answer_decode(answer, limits)
}
