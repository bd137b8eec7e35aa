//! What a workflow would do, if somebody did something: its steps are called as in a run, their
//! changes go through the door as far as the commit and no further, nothing goes out, and delays
//! are not waited for. And which of the events that there were it would have been started by.

use chrono::{DateTime, Utc};
use crm_model::flow::{Action, Came, CompiledAwaited, Next, Place};
use crm_model::limits::{PREVIEW_MAX_EVENTS, TRIAL_LOOP_MAX_RECORDS, TRIAL_MAX_ACTIONS};
use crm_model::permission::{Authority, RunAs, manages_all};
use crm_model::query::Scope;
use crm_model::run_source::RunFlow;
use crm_model::validate::Base;
use crm_model::workflow::Workflow;
use crm_model::{
    Actor, Data, Effect, Event, EventId, EventKind, JobId, Model, ModuleSlug, Mutation, PluginName,
    RecordId, StepName, TenantId, Violations, WorkflowSlug,
};
use crm_sandbox::{LogLine, RunFailure};
use crm_store::TenantTx;
use crm_store::commit::AttemptStatus;
use crm_store::records::Record;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

use super::course::{facts, output, page_of};
pub use super::deed::Deed;
use super::deed::Taken;
use super::told::Standing;
use super::{Told, action_call, effects_check, fold, micros};
use crate::plugins::preview::PreviewedChange;
use crate::workflows::{Edition, NO_WORKFLOW, edition};
use crate::write::Operation;
use crate::{Engine, EngineError, fresh};

/// What a workflow would do.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// Whether the event would start it.
    pub starts: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How a run would end: `done`, `failed`, or `cut`, where it goes on beyond what is tried.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub steps: Vec<TrialStep>,
}

/// What a step would do.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TrialStep {
    Action(Box<TriedAction>),
    /// A run would wait until then.
    Delay {
        until: DateTime<Utc>,
    },
    /// A run would wait until then at most, for an `event`, an `approval`, or the end of a `call`.
    /// The trial goes on as if it had come.
    Await {
        step: StepName,
        what: &'static str,
        until: DateTime<Utc>,
    },
}

/// What an action would do.
#[derive(Clone, Debug, Serialize)]
pub struct TriedAction {
    pub step: StepName,
    pub action: PluginName,
    /// The record that it would be called on.
    pub record_id: RecordId,
    /// With the values of its expressions.
    pub config: Value,
    /// `done`, `skipped` or `failed`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub changes: Vec<PreviewedChange>,
    pub effects: Vec<Effect>,
    pub fuel: u64,
    pub memory_bytes: usize,
    pub duration_us: u64,
    pub logs: Vec<LogLine>,
}

/// Which of the newest events of its module a workflow would have been started by.
#[derive(Clone, Debug, Serialize)]
pub struct BackTest {
    pub events: usize,
    pub would_start: Vec<WouldStart>,
}

/// An event that would have started it.
#[derive(Clone, Debug, Serialize)]
pub struct WouldStart {
    pub event_id: EventId,
    pub kind: EventKind,
    pub record_id: RecordId,
    pub occurred_at: DateTime<Utc>,
    /// Why its run would not have begun: the condition cannot be answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A trial under way.
struct Course<'a> {
    engine: &'a Engine,
    model: &'a Arc<Model>,
    flow: &'a RunFlow<'a>,
    slug: &'a WorkflowSlug,
    event: Event,
    job: JobId,
    current: Option<Base>,
    items: BTreeMap<RecordId, Option<Data>>,
    versions: BTreeMap<RecordId, i64>,
    place: Place,
    taken: Vec<Taken>,
    came: BTreeMap<u64, Came>,
    steps: Vec<TrialStep>,
    now: DateTime<Utc>,
}

impl Engine {
    /// What a definition of a workflow would do, if somebody did that. The draft where there is
    /// one, else what is live, unless said. For those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`], and [`EngineError::Refused`] where
    /// the deed itself would be.
    pub async fn workflow_trial(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (slug, which): (&WorkflowSlug, Option<Edition>),
        deed: Deed,
    ) -> Result<Trial, EngineError> {
        let (model, workflow) = self.to_try(tenant, actor, slug, which).await?;
        if let Some(spent) = self.fuel_spent(tenant).await? {
            return Err(EngineError::Quota(spent));
        }
        let workflow = Arc::new(workflow);
        let flow = model.run_flow_of(Arc::clone(&workflow));
        let trigger = workflow.definition().trigger.on;
        let module = &workflow.definition().module;
        let (event, taken) = self
            .done_for_trial(&model, actor, (module, trigger), deed)
            .await?;
        let mut course = Course {
            engine: self,
            model: &model,
            flow: &flow,
            slug,
            current: event.after.clone().map(|data| Base {
                version: event.record_version,
                data,
            }),
            job: JobId::new(event.id.uuid()),
            event,
            items: BTreeMap::new(),
            versions: BTreeMap::new(),
            place: Place::default(),
            taken,
            came: BTreeMap::new(),
            steps: Vec::new(),
            now: fresh::now(),
        };
        let reason = why_not(&workflow, &course.event);
        let (status, error) = course.go().await?;
        Ok(Trial {
            starts: reason.is_none(),
            reason,
            status,
            error,
            steps: course.steps,
        })
    }

    /// Which of the newest events of its module a definition of a workflow would have been started
    /// by. For those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`], [`EngineError::Refused`].
    pub async fn workflow_back_test(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (slug, which): (&WorkflowSlug, Option<Edition>),
        last: u32,
    ) -> Result<BackTest, EngineError> {
        let (_, workflow) = self.to_try(tenant, actor, slug, which).await?;
        if last == 0 || last > PREVIEW_MAX_EVENTS {
            let message = format!("1 to {PREVIEW_MAX_EVENTS} events");
            let violations = Violations::one("/last", "range", message);
            return Err(EngineError::invalid(violations));
        }
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let module = &workflow.definition().module;
        let events = crm_store::plugins::events_newest(&mut tx, module, last).await?;
        let would_start = events.iter().filter_map(|event| {
            if !workflow.would_be_triggered_by(event) {
                return None;
            }
            let error = match workflow.condition_holds(event) {
                Ok(false) => return None,
                Ok(true) => None,
                Err(message) => Some(message),
            };
            Some(WouldStart {
                event_id: event.id,
                kind: event.kind,
                record_id: event.record_id,
                occurred_at: event.occurred_at,
                error,
            })
        });
        Ok(BackTest {
            events: events.len(),
            would_start: would_start.collect(),
        })
    }

    async fn to_try(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: &WorkflowSlug,
        which: Option<Edition>,
    ) -> Result<(Arc<Model>, Workflow), EngineError> {
        let (mut tx, model) = self.begin_workflows(tenant).await?;
        if !manages_all(&model, actor) {
            return Err(EngineError::Forbidden(
                "only who manages everything tries workflows: their steps show records that not \
                 everybody sees",
            ));
        }
        let (version, definition) = match which {
            Some(Edition::Version(version)) => {
                let which = Edition::Version(version);
                (version, edition(&mut tx, &model, slug, which).await?)
            }
            Some(which) => (0, edition(&mut tx, &model, slug, which).await?),
            None => match edition(&mut tx, &model, slug, Edition::Draft).await {
                Ok(draft) => (0, draft),
                Err(EngineError::NotFound(_)) => {
                    let live = model.workflow(slug).ok_or(NO_WORKFLOW)?;
                    (live.version(), live.definition().clone())
                }
                Err(other) => return Err(other),
            },
        };
        let compiled = model.workflow_as_of(version, definition);
        let compiled = compiled.map_err(|reason| {
            EngineError::Conflict(format!("it does not go with the model any more: {reason}"))
        })?;
        Ok((model, compiled))
    }
}

impl Course<'_> {
    /// Goes through the steps; how the run would end.
    async fn go(&mut self) -> Result<(&'static str, Option<String>), EngineError> {
        let mut left = TRIAL_MAX_ACTIONS;
        loop {
            let program = self.flow.program();
            let of = (&self.event, self.current.as_ref());
            let facts = facts(self.model, of, (&self.items, &self.came), self.now);
            match program.advance(&mut self.place, &facts) {
                Next::Act {
                    thread,
                    action,
                    item,
                } => {
                    if left == 0 {
                        let reason = format!("no more than {TRIAL_MAX_ACTIONS} actions are tried");
                        return Ok(("cut", Some(reason)));
                    }
                    left -= 1;
                    let action = program.action(action);
                    let action = action.ok_or(EngineError::NotFound("step"))?;
                    self.act((thread, action), item).await?;
                }
                Next::Page { thread, each, .. } => {
                    let each = program.each(each).ok_or(EngineError::NotFound("step"))?;
                    let context = facts.context(&self.place.outputs(), None);
                    let wanted = (each, None, TRIAL_LOOP_MAX_RECORDS);
                    match page_of(self.engine, self.scope(), wanted, &context).await {
                        // The first ones stand for all.
                        Ok((records, _)) => self.place.page(thread, records, None),
                        Err(reason) => return Ok(("failed", Some(reason))),
                    }
                }
                Next::Load { module, record } => self.load(&module, record).await?,
                Next::Open {
                    thread,
                    awaits,
                    until,
                    ..
                } => {
                    let compiled = program.awaits(awaits);
                    let compiled = compiled.ok_or(EngineError::NotFound("step"))?;
                    let (what, status) = match &compiled.what {
                        CompiledAwaited::Event(_) => ("event", "met"),
                        CompiledAwaited::Approval(_) => ("approval", "approved"),
                        CompiledAwaited::Call { .. } => ("call", "done"),
                    };
                    let result = Came::Result(json!({ "status": status }));
                    self.came.insert(self.place.work(thread), result);
                    self.place.opened(thread, until);
                    self.steps.push(TrialStep::Await {
                        step: compiled.step.clone(),
                        what,
                        until,
                    });
                }
                Next::Wait(until) => {
                    self.steps.push(TrialStep::Delay { until });
                    self.now = until;
                }
                Next::Done(over) => return Ok(("done", over.message)),
                Next::Failed(reason) => return Ok(("failed", Some(reason))),
            }
        }
    }

    fn reader(&self) -> Option<&Actor> {
        match self.flow.run_as() {
            RunAs::Person => Some(&self.event.actor),
            RunAs::Itself => None,
        }
    }

    fn scope(&self) -> Scope<'_> {
        match self.reader() {
            Some(actor) => Scope::person(self.model, actor, self.now),
            None => Scope::host(self.model, self.now),
        }
    }

    async fn load(&mut self, module: &ModuleSlug, record: RecordId) -> Result<(), EngineError> {
        let (store, tenant) = (self.engine.store(), self.model.tenant_id());
        let (_, found) = crm_store::records::record_read(store, tenant, module, record).await?;
        let found = found.filter(|found| found.deleted_at.is_none());
        self.keep(record, found);
        Ok(())
    }

    fn keep(&mut self, id: RecordId, record: Option<Record>) {
        if id == self.event.record_id {
            self.current = record.map(|record| Base {
                version: record.version,
                data: record.data,
            });
            return;
        }
        if let Some(record) = &record {
            self.versions.insert(id, record.version);
        }
        self.items.insert(id, record.map(|record| record.data));
    }

    /// The event as the action would be told of it.
    fn told(&self, action: &Action, item: Option<RecordId>) -> Option<Event> {
        let standing = Standing {
            event: &self.event,
            place: &self.place,
            current: self.current.as_ref(),
            items: &self.items,
            versions: &self.versions,
        };
        standing.told(action, item).map(Cow::into_owned)
    }

    /// Calls an action, and tries what it proposes.
    async fn act(
        &mut self,
        (thread, action): (u32, &Action),
        item: Option<RecordId>,
    ) -> Result<(), EngineError> {
        let mut tried = TriedAction {
            step: action.step.clone(),
            action: action.action.clone(),
            record_id: item.unwrap_or(self.event.record_id),
            config: action.written.clone(),
            status: "failed",
            error: None,
            changes: Vec::new(),
            effects: Vec::new(),
            fuel: 0,
            memory_bytes: 0,
            duration_us: 0,
            logs: Vec::new(),
        };
        let mut made = Vec::new();
        let ended = self
            .call((thread, action), item, &mut tried, &mut made)
            .await?;
        let status = match ended {
            Ok(()) => AttemptStatus::Done,
            Err((status, reason)) => {
                tried.error = Some(reason);
                status
            }
        };
        tried.status = match status {
            AttemptStatus::Done => "done",
            AttemptStatus::Skipped => "skipped",
            AttemptStatus::Failed => "failed",
        };
        let mutations: Vec<Mutation> = tried
            .changes
            .iter()
            .map(|change| change.mutation.clone())
            .collect();
        match status {
            AttemptStatus::Failed => {
                let reason = tried.error.clone().unwrap_or_default();
                self.place.failed(thread, action, &reason);
            }
            _ => {
                let output = output(tried.record_id, (&mutations, &made), status);
                self.place.acted(thread, action, &output);
            }
        }
        self.steps.push(TrialStep::Action(Box::new(tried)));
        Ok(())
    }

    /// How the call ended, where it did not do what it was to do.
    async fn call(
        &mut self,
        (thread, action): (u32, &Action),
        item: Option<RecordId>,
        tried: &mut TriedAction,
        made: &mut Vec<RecordId>,
    ) -> Result<Result<(), (AttemptStatus, String)>, EngineError> {
        let failed = |reason: String| Ok(Err((AttemptStatus::Failed, reason)));
        let step = match self.flow.step(action) {
            Ok(step) => step,
            Err(reason) => return failed(reason),
        };
        let Some(event) = self.told(action, item) else {
            let reason = "the record is gone".to_owned();
            return Ok(Err((AttemptStatus::Skipped, reason)));
        };
        let of = (&self.event, self.current.as_ref());
        let facts = facts(self.model, of, (&self.items, &self.came), self.now);
        let context = facts.context(&self.place.outputs(), item);
        tried.config = match action.config().fill(&context) {
            Ok(config) => config,
            Err(error) => return failed(format!("{}: config: {error}", action.step)),
        };
        let component = self
            .engine
            .component(self.model.tenant_id(), step.plugin)
            .await?;
        let actor = event.actor.clone();
        let told = Told {
            name: step.name,
            plugin: step.plugin,
            authority: Authority::Plugin {
                grant: &step.plugin.grant,
                behalf_of: &actor,
                run_as: step.run_as,
            },
            job: self.job,
            work: Uuid::from_u128(self.job.uuid().as_u128() ^ u128::from(self.place.work(thread))),
        };
        let Some(call) = action_call(self.model, &told, &event, &tried.config) else {
            return failed(format!("there is no module “{}” any more", event.module));
        };
        let (host, _) = self.engine.run_host(self.model, &told);
        let report = self
            .engine
            .sandbox()
            .run_action(&component, call, Box::new(host))
            .await;
        self.engine.fuel_used(self.model.tenant_id(), report.fuel);
        tried.fuel = report.fuel;
        tried.memory_bytes = report.memory_bytes;
        tried.duration_us = micros(report.duration);
        tried.logs = report.logs;
        let outcome = match report.outcome {
            Ok(outcome) => outcome,
            Err(RunFailure::Skip(reason)) => {
                return Ok(Err((AttemptStatus::Skipped, reason)));
            }
            Err(RunFailure::Fail(message)) => return failed(message),
            Err(failure) => return failed(failure.to_string()),
        };
        let allowed = effects_check(&step.plugin.grant, &outcome.effects);
        tried.effects = outcome.effects;
        if let Err(reason) = allowed {
            return failed(reason);
        }
        let mutations = match fold(&outcome.mutations) {
            Ok(mutations) => mutations,
            Err(violations) => return failed(format!("the mutations are refused: {violations}")),
        };
        if mutations.is_empty() {
            return Ok(Ok(()));
        }
        let created = mutations.iter().enumerate();
        let created = created.filter(|(_, one)| matches!(one, Mutation::Create { .. }));
        let new_ids: HashMap<usize, RecordId> = created
            .map(|(index, _)| (index, RecordId::new(fresh::id())))
            .collect();
        let mut ids: Vec<_> = new_ids.iter().map(|(index, id)| (*index, *id)).collect();
        ids.sort_unstable_by_key(|(index, _)| *index);
        made.extend(ids.into_iter().map(|(_, id)| id));
        let by = (step.name.clone(), &step.plugin.version);
        let operations = mutations.iter().cloned().map(Operation::Mutation);
        self.taken.push(Taken {
            by: Some((step.plugin.grant.clone(), step.run_as)),
            cause: event.cause_of(self.job, self.slug.clone().into(), by),
            operations: operations.collect(),
            new_ids,
        });
        let mut look = vec![self.event.record_id];
        look.extend(self.items.keys());
        let tried_all = self
            .engine
            .try_taken(self.model, &actor, &self.taken, &look)
            .await;
        let (outcomes, records) = match tried_all {
            Ok(done) => done,
            Err(EngineError::Store(error)) => return Err(error.into()),
            Err(error) => {
                self.taken.pop();
                return failed(format!("the mutations are refused: {error}"));
            }
        };
        let mut refused = None;
        for (mutation, outcome) in mutations.into_iter().zip(outcomes) {
            let change = PreviewedChange::of(mutation, outcome);
            refused = refused.or(change.error.clone());
            tried.changes.push(change);
        }
        if let Some(error) = refused {
            self.taken.pop();
            return failed(format!("the mutations are refused: {error}"));
        }
        let mut found: HashMap<RecordId, Record> = records
            .into_iter()
            .map(|record| (record.id, record))
            .collect();
        for id in look {
            let record = found.remove(&id);
            self.keep(id, record);
        }
        Ok(Ok(()))
    }
}

/// Why the event would not start the workflow.
fn why_not(workflow: &Workflow, event: &Event) -> Option<String> {
    let trigger = &workflow.definition().trigger;
    if !workflow.would_be_triggered_by(event) {
        return Some(match trigger.on == event.kind {
            true => "none of the fields that it looks at would change".to_owned(),
            false => format!(
                "it starts on `{}`, and this is `{}`",
                trigger.on.name(),
                event.kind.name()
            ),
        });
    }
    match workflow.condition_holds(event) {
        Ok(true) => None,
        Ok(false) => Some("its condition does not hold".to_owned()),
        Err(message) => Some(message),
    }
}
