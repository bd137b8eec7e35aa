//! One attempt at a job: find the plugin, or the template's component, let the sandbox run it on
//! the event, take its mutations to the door together with the end of the attempt. No transaction
//! is open while the guest runs.

mod awaits;
mod bundle;
mod call;
mod course;
mod deed;
mod fold;
mod host;
mod skip;
mod told;
pub mod trial;
mod version;

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::flow::Action;
use crm_model::limits::{
    JOB_MAX_ATTEMPTS, LINE_LOOK_SECONDS, PAUSED_LOOK_SECONDS, ROOT_EVENT_MAX_MUTATIONS,
};
use crm_model::permission::Authority;
use crm_model::run_source::{RunFlow, RunStep};
use crm_model::{
    Effect, Event, Lane, Model, Mutation, PluginName, RecordId, RunId, RunSource, StepName,
    TenantId,
};
use crm_sandbox::{ActionReport, RunFailure};
use crm_store::StoreError;
use crm_store::commit::{AttemptLog, AttemptStatus, Commit, Completion, JobState, RootTotal};
use crm_store::effects::NewEffect;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use crate::breaker::{Key, Wait};
use crate::effects::NotAsked;
use crate::queue::{Ahead, End, Lease, Run, Verdict};
use crate::write::{Operation, Proposal};
use crate::{Engine, EngineError, fresh};
use course::{Course, Turn};
use host::Kept;

pub(crate) use call::{Told, action_call, effects_check};
pub(crate) use fold::fold;
pub(crate) use version::{NoFlow, VersionKey};

/// The span of an attempt: what happens in it is of this tenant, plugin, version and job.
pub(crate) fn span(lease: &Lease) -> Span {
    info_span!(
        "run", tenant.id = %lease.tenant, job.id = %lease.job.id, workflow = %lease.job.workflow,
        attempt = lease.job.attempt, plugin.name = Empty, plugin.version = Empty,
    )
}

/// Says in the attempt's span which component is called.
fn span_tell(step: &RunStep<'_>) {
    let span = Span::current();
    span.record("plugin.name", display(step.name));
    span.record("plugin.version", display(&step.plugin.version));
}

/// Why a run of a paused workflow waits.
pub const PAUSED: &str = "the workflow is paused";

/// What the log keeps of an attempt, as far as it got.
struct Trace {
    started_at: DateTime<Utc>,
    /// None before a component is called: the event.
    input: Option<Box<RawValue>>,
    kept: Kept,
    plugin: Option<PluginName>,
    step: Option<StepName>,
    steps: serde_json::Value,
    mutations: Vec<Mutation>,
    /// The record that it is called on.
    record: Option<RecordId>,
    /// Ids for the records that it makes, beside the mutations.
    made: Vec<RecordId>,
    effects: Vec<NewEffect>,
    fuel: u64,
    memory_bytes: usize,
    duration: Duration,
}

impl Trace {
    fn empty() -> Self {
        Self {
            started_at: fresh::now(),
            input: None,
            kept: Kept::default(),
            plugin: None,
            step: None,
            record: None,
            steps: json!([]),
            mutations: Vec::new(),
            made: Vec::new(),
            effects: Vec::new(),
            fuel: 0,
            memory_bytes: 0,
            duration: Duration::ZERO,
        }
    }
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl Engine {
    /// Runs one attempt, on the guests' runtime, and writes down how it ended. What the database
    /// does not take now is taken up again when the lease ends.
    pub(crate) async fn attempt(&self, model: &Arc<Model>, lease: Lease) {
        match self.attempt_and_record(model, &lease).await {
            Ok(status) => metrics::counter!("crm_runs_total", "status" => status).increment(1),
            Err(StoreError::LeaseLost) => {
                metrics::counter!("crm_runs_total", "status" => "lease_lost").increment(1);
                tracing::info!(job.id = %lease.job.id, "somebody else has the job by now");
            }
            Err(error) => {
                tracing::warn!(job.id = %lease.job.id, %error, "the attempt could not be recorded");
            }
        }
        // Whatever waited for this one may go.
        let is_limited = !lease.lane.is_free() || self.running_limit(lease.tenant).is_some();
        let is_in_line = match &lease.job.workflow {
            RunSource::Workflow(slug) => {
                let found = model.workflow(slug);
                found.is_some_and(|workflow| workflow.definition().in_order)
            }
            RunSource::Webhook(_) => true,
            RunSource::Template(_) => false,
        };
        let event = &lease.job.event;
        let workflows = model.workflows().iter();
        let workflows = workflows.filter(|workflow| workflow.is_triggered_by(event));
        let hook = model.after_event(&event.module, event.kind);
        if is_limited || is_in_line || workflows.count() + usize::from(hook.is_some()) > 1 {
            self.inner.jobs_waiting.notify_one();
        }
    }

    async fn attempt_and_record(
        &self,
        model: &Arc<Model>,
        lease: &Lease,
    ) -> Result<&'static str, StoreError> {
        let trace = Trace::empty();
        let (source, version) = (&lease.job.workflow, lease.job.version);
        if let RunSource::Webhook(webhook) = source {
            return self.webhook_told(model, lease, *webhook).await;
        }
        let flow = match self.run_flow(model, source, version).await {
            Ok(flow) => flow,
            Err(NoFlow::Gone(reason)) => {
                let end = End::never(reason);
                return self.record_end(model, lease, &trace, &end).await;
            }
            Err(NoFlow::Store(error)) => return Err(error),
        };
        let mut attempt = Attempt {
            engine: self,
            flow: &flow,
            course: Course::new(self, model, &flow, lease),
            trace,
        };
        crate::queue::attempt(&mut attempt).await
    }

    /// Runs the plugin; leaves its mutations in the trace.
    async fn call(
        &self,
        run: &Course<'_>,
        (thread, step, action): (u32, &RunStep<'_>, &Action),
        item: Option<RecordId>,
        trace: &mut Trace,
    ) -> Result<(), Verdict> {
        let again = |reason: String| Verdict::Again {
            reason,
            after: Duration::ZERO,
        };
        let (model, lease, plugin) = (run.model, run.lease, step.plugin);
        let component = self.component(lease.tenant, plugin).await;
        let component = component.map_err(|error| again(error.to_string()))?;
        let event = run.event(action, item);
        let event = event.ok_or_else(|| Verdict::Skipped("the record is gone".to_owned()))?;
        trace.record = Some(event.record_id);
        let manifest = component.manifest();
        let told = Told {
            name: &manifest.name,
            plugin,
            authority: authority(step, &event),
            job: lease.job.id,
            work: run.key(thread),
        };
        let config = run.config(action, item).map_err(Verdict::Never)?;
        let Some(mut call) = action_call(model, &told, &event, &config) else {
            return Err(Verdict::Never(format!(
                "there is no module “{}” any more",
                event.module
            )));
        };
        let limits = self.sandbox().limits_of(&component, &call.plan);
        if let Some(timeout) = action.timeout
            && timeout < limits.call_max
        {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            call.plan.call_max_milliseconds = Some(millis);
        }
        let call = Arc::new(call);
        let (host, kept) = self.run_host(model, &told);
        trace.plugin = Some(manifest.name.clone());
        trace.kept = kept;
        let report = self
            .sandbox()
            .run_action_here(&component, Arc::clone(&call), Box::new(host))
            .await;
        self.fuel_used(lease.tenant, report.fuel);
        self.judged(lease, &manifest.name, &report);
        let limits = self.sandbox().limits_of(&component, &call.plan);
        trace.input = Some(raw(&json!({
            "event": &*call.event,
            // Without the values of its expressions: not everybody who sees the log may see them.
            "config": action.written,
            // What a replay needs beside them; `crate::run::bundle` takes it up.
            "record": bundle::record(&component, &limits, &call, &report),
        })));
        trace.steps = json!([step_log(manifest.name.as_str(), &manifest.version, &report)]);
        trace.fuel = report.fuel;
        trace.memory_bytes = report.memory_bytes;
        trace.duration = report.duration;
        match report.outcome {
            Ok(outcome) => {
                if item.is_some() && outcome.effects.iter().any(Effect::comes_back) {
                    return Err(Verdict::Never(
                        "what comes back later (the answer to a request, a scheduled time) cannot \
                         be asked for within a `for_each`: start a workflow for each record \
                         instead"
                            .to_owned(),
                    ));
                }
                let (tenant, job, grant) = (lease.tenant, lease.job.id, &plugin.grant);
                let asked = self.effects_ask(tenant, job, grant, outcome.effects).await;
                let mut effects = asked.map_err(|no| match no {
                    NotAsked::Refused(reason) => Verdict::Never(reason),
                    NotAsked::NotNow(reason) => again(reason),
                })?;
                for effect in &mut effects {
                    effect.step = Some(action.step.clone());
                }
                let created = outcome.mutations.iter();
                let created = created.filter(|one| matches!(one, Mutation::Create { .. }));
                trace.made = created.map(|_| RecordId::new(fresh::id())).collect();
                trace.mutations = outcome.mutations;
                trace.effects = effects;
                Ok(())
            }
            Err(RunFailure::Skip(reason)) => Err(Verdict::Skipped(reason)),
            Err(RunFailure::Fail(message)) => Err(Verdict::Never(message)),
            Err(RunFailure::Retry { after, reason }) => Err(Verdict::Again { reason, after }),
            Err(other) => Err(again(other.to_string())),
        }
    }

    /// Takes the mutations to the door. `None`: committed, with the end of the attempt.
    async fn apply(
        &self,
        run: &Course<'_>,
        (step, item): (&RunStep<'_>, Option<RecordId>),
        trace: &Trace,
        end: &End,
    ) -> Result<Option<Verdict>, StoreError> {
        let again = |reason: String| {
            Ok(Some(Verdict::Again {
                reason,
                after: Duration::ZERO,
            }))
        };
        let lease = run.lease;
        let mutations = match fold(&trace.mutations) {
            Ok(mutations) => mutations,
            Err(violations) => return again(format!("the mutations are refused: {violations}")),
        };
        let event = &lease.job.event;
        let mut completion = completion(lease, trace, end);
        completion.root = Some(RootTotal {
            event_id: run.root(item),
            mutations: mutations.len(),
            limit: ROOT_EVENT_MAX_MUTATIONS,
        });
        let mut made = trace.made.iter();
        let new_ids = mutations
            .iter()
            .enumerate()
            .filter_map(|(index, mutation)| {
                let is_new = matches!(mutation, Mutation::Create { .. });
                is_new.then(|| Some((index, *made.next()?))).flatten()
            });
        let new_ids = new_ids.collect();
        let operations: Vec<Operation> = mutations.into_iter().map(Operation::Mutation).collect();
        let cause = event.cause_of(
            lease.job.id,
            lease.job.workflow.clone(),
            (step.name.clone(), &step.plugin.version),
        );
        let proposal = Proposal {
            tenant: lease.tenant,
            authority: authority(step, event),
            cause: &cause,
            depth: event.depth + 1,
            operations: &operations,
            atomic: true,
            workflows: true,
            dry_run: false,
            known: run.known(item).into_iter().collect(),
            new_ids,
            completion: Some(completion),
            receipt: None,
            place: None,
            priority: lease.priority,
        };
        match self.propose(proposal).await {
            Ok(outcomes) => match outcomes.into_iter().find_map(Result::err) {
                None => {
                    if end.state != JobState::Queued {
                        self.job_ended(lease.tenant);
                    }
                    if !trace.effects.is_empty() {
                        self.effects_notify();
                    }
                    Ok(None)
                }
                Some(error) => again(format!("the mutations are refused: {error}")),
            },
            Err(EngineError::Store(StoreError::StaleState)) => {
                again("another run wrote a value that this one read: it is done again".to_owned())
            }
            Err(EngineError::Store(StoreError::TooManyMutations(total))) => {
                Ok(Some(Verdict::Never(format!(
                    "the chain is cut here: one event leads to at most \
                     {ROOT_EVENT_MAX_MUTATIONS} mutations, and this run would be the one to make \
                     it {total}"
                ))))
            }
            Err(EngineError::Store(error)) => Err(error),
            Err(error) => again(format!("the mutations are refused: {error}")),
        }
    }

    /// Counts what came of a plugin's call, and leaves it alone where it was one failure too many.
    fn judged(&self, lease: &Lease, name: &PluginName, report: &ActionReport) {
        self.series.ran(lease.tenant, name, report);
        let breakers = &self.inner.breakers;
        let key = Key::run(lease.tenant, name);
        match &report.outcome {
            Err(failure) if failure.is_fault() => {
                // What is tried again counts when it is given up, unless it was to show whether
                // the plugin works again.
                let counts = lease.failures() >= JOB_MAX_ATTEMPTS || breakers.is_probing(&key);
                if counts && breakers.failed(key, fresh::now()) {
                    tracing::warn!(
                        tenant.id = %lease.tenant, plugin = %name,
                        "a plugin fails again and again and is left alone for a while"
                    );
                }
            }
            Err(RunFailure::Host(_)) => {}
            _ => breakers.fine(&key),
        }
    }

    /// Writes down the end of an attempt that changes no record.
    async fn record_end(
        &self,
        model: &Model,
        lease: &Lease,
        trace: &Trace,
        end: &End,
    ) -> Result<&'static str, StoreError> {
        let completion = completion(lease, trace, end);
        let status = match (end.status, completion.state) {
            (_, JobState::Dead) => "dead",
            (None, JobState::Queued) => "waits",
            (None | Some(AttemptStatus::Done), _) => "done",
            (Some(AttemptStatus::Skipped), _) => "skipped",
            (Some(AttemptStatus::Failed), _) => "failed",
        };
        if let Some(error) = end.call_error.as_ref().or(end.error.as_ref()) {
            tracing::info!(
                tenant.id = %lease.tenant, job.id = %lease.job.id,
                workflow = %lease.job.workflow, attempt = lease.job.attempt, status, error,
                "the attempt did not succeed"
            );
        }
        self.complete(model, lease, completion).await?;
        Ok(status)
    }

    /// Commits the end of an attempt that changes no record.
    pub(crate) async fn complete(
        &self,
        model: &Model,
        lease: &Lease,
        completion: Completion,
    ) -> Result<(), StoreError> {
        let commit = |model_version| Commit {
            tenant: lease.tenant,
            model_version,
            at: fresh::now(),
            actor: &lease.job.event.actor,
            cause: &lease.job.event.cause,
            depth: lease.job.event.depth,
            changes: Vec::new(),
            clear: &[],
            jobs: &[],
            activities: &[],
            completion: Some(completion.clone()),
            receipt: None,
        };
        match crm_store::commit::commit(self.store(), &commit(model.version())).await {
            // The account of what happened is true under any model.
            Err(StoreError::StaleModel) => {
                self.model_forget(lease.tenant);
                let tx = crm_store::TenantTx::begin(self.store(), lease.tenant).await?;
                let version = tx.model_version().unwrap_or_default();
                drop(tx);
                crm_store::commit::commit(self.store(), &commit(version)).await?;
            }
            other => other?,
        }
        if completion.state != JobState::Queued {
            self.job_ended(lease.tenant);
        }
        if !completion.effects.is_empty() {
            self.effects_notify();
        }
        Ok(())
    }

    /// Whether the job stands behind an earlier one of its record, and was given back because of
    /// that.
    pub(crate) async fn job_behind(&self, lease: &Lease) -> Result<bool, StoreError> {
        let until = fresh::now() + TimeDelta::seconds(LINE_LOOK_SECONDS);
        let job = (lease.job.id, lease.token);
        crm_store::jobs::job_behind(self.store(), lease.tenant, job, until).await
    }

    /// One run less waits.
    fn job_ended(&self, tenant: TenantId) {
        self.inner.meter.committed(tenant, 0, -1);
    }
}

/// An attempt, as the queue makes it.
struct Attempt<'a> {
    engine: &'a Engine,
    flow: &'a RunFlow<'a>,
    course: Course<'a>,
    trace: Trace,
}

/// An action to call: in which thread of the run, on which record where it is not the event's, and
/// as what; a sentence, where the model has not what it calls.
struct Act<'a> {
    thread: u32,
    action: &'a Action,
    item: Option<RecordId>,
    step: Result<RunStep<'a>, String>,
}

impl<'a> Run for Attempt<'a> {
    type Act = Act<'a>;

    fn lease(&self) -> &Lease {
        self.course.lease
    }

    fn now(&self) -> DateTime<Utc> {
        fresh::now()
    }

    async fn is_behind(&mut self) -> Result<bool, StoreError> {
        match self.flow.is_in_order() {
            true => self.engine.job_behind(self.course.lease).await,
            false => Ok(false),
        }
    }

    async fn next(&mut self) -> Result<Ahead<Act<'a>>, String> {
        if self.flow.is_paused() {
            return Ok(Ahead::Wait(Wait {
                until: fresh::now() + TimeDelta::seconds(PAUSED_LOOK_SECONDS),
                status: "paused",
                reason: PAUSED.to_owned(),
            }));
        }
        if let Some(lane) = self.elsewhere(None) {
            return Ok(Ahead::LineUp(lane));
        }
        let (thread, action, item) = match self.course.next().await? {
            Turn::Act(thread, action, item) => (thread, action, item),
            Turn::Rest(end) => return Ok(Ahead::Rest(*end)),
        };
        self.trace.step = Some(action.step.clone());
        let step = self.flow.step(action);
        if let Ok(step) = &step {
            span_tell(step);
            // Before it is asked whether the plugin runs, which may be the one try that it has.
            if let Some(lane) = self.elsewhere(Some(step.name)) {
                return Ok(Ahead::LineUp(lane));
            }
            let (engine, tenant) = (self.engine, self.lease().tenant);
            let key = Key::run(tenant, step.name);
            let breakers = &engine.inner.breakers;
            if let Err(wait) = breakers.check(&key, step.plugin, fresh::now()) {
                engine.series.deferred(tenant, step.name, wait.status);
                return Ok(Ahead::Wait(wait));
            }
        }
        Ok(Ahead::Act(Act {
            thread,
            action,
            item,
            step,
        }))
    }

    async fn call(&mut self, act: &Act<'a>) -> Verdict {
        let step = match &act.step {
            Ok(step) => step,
            Err(reason) => return Verdict::Never(reason.clone()),
        };
        let what = (act.thread, step, act.action);
        let called = self
            .engine
            .call(&self.course, what, act.item, &mut self.trace);
        called.await.err().unwrap_or(Verdict::Done)
    }

    fn end(&mut self, act: &Act<'a>, verdict: Verdict) -> End {
        let action = (act.thread, act.action);
        self.course.end(action, &self.trace, verdict)
    }

    fn has_mutations(&self) -> bool {
        !self.trace.mutations.is_empty()
    }

    async fn apply(&mut self, act: &Act<'a>, end: &End) -> Result<Option<Verdict>, StoreError> {
        let step = match &act.step {
            Ok(step) => (step, act.item),
            Err(reason) => return Ok(Some(Verdict::Never(reason.clone()))),
        };
        self.engine
            .apply(&self.course, step, &self.trace, end)
            .await
    }

    async fn record(&mut self, end: &End) -> Result<&'static str, StoreError> {
        let Course { model, lease, .. } = &self.course;
        self.engine.record_end(model, lease, &self.trace, end).await
    }

    async fn postpone(&mut self, wait: Wait) -> Result<(), StoreError> {
        let (lease, store) = (self.course.lease, self.engine.store());
        tracing::info!(
            tenant.id = %lease.tenant, job.id = %lease.job.id, reason = wait.reason,
            "a workflow run waits"
        );
        let jobs = (&[lease.job.id][..], lease.token);
        crm_store::jobs::jobs_postpone(store, lease.tenant, jobs, wait.until, &wait.reason).await
    }

    async fn line_up(&mut self, lane: Lane) -> Result<(), StoreError> {
        let (lease, store) = (self.course.lease, self.engine.store());
        let job = (lease.job.id, lease.token);
        crm_store::jobs::job_line_up(store, lease.tenant, job, fresh::now(), &lane).await
    }

    fn tell(&self) {
        self.engine.inner.jobs_waiting.notify_one();
    }
}

impl Attempt<'_> {
    /// The lane in which the run has its turn at a step of that plugin, where that is another one
    /// than it was leased in.
    fn elsewhere(&self, plugin: Option<&PluginName>) -> Option<Lane> {
        let Course { model, lease, .. } = &self.course;
        let lane = model.lane(&lease.job.workflow, plugin);
        (!lease.lane.covers(&lane)).then_some(lane)
    }
}

fn authority<'a>(step: &RunStep<'a>, event: &'a Event) -> Authority<'a> {
    Authority::Plugin {
        grant: &step.plugin.grant,
        behalf_of: &event.actor,
        run_as: step.run_as,
    }
}

fn step_log(action: &str, version: &semver::Version, report: &ActionReport) -> serde_json::Value {
    json!({
        "action": action,
        "version": version,
        "status": match &report.outcome {
            Ok(_) => "done",
            Err(failure) => failure.code(),
        },
        "fuel": report.fuel,
        "memory_bytes": report.memory_bytes,
        "duration_us": micros(report.duration),
        "logs": report.logs,
        "log_truncated": report.log_truncated,
    })
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn completion(lease: &Lease, trace: &Trace, end: &End) -> Completion {
    let is_done = end.status == Some(AttemptStatus::Done);
    let log = |status| AttemptLog {
        id: RunId::new(fresh::id()),
        workflow: lease.job.workflow.clone(),
        attempt: lease.job.attempt,
        status,
        input: trace
            .input
            .clone()
            .unwrap_or_else(|| raw(&json!({ "event": lease.job.event }))),
        steps: trace.steps.clone(),
        mutations: trace.mutations.clone(),
        fuel: trace.fuel,
        memory_bytes: trace.memory_bytes,
        duration_us: micros(trace.duration),
        error: end.call_error.clone(),
        started_at: trace.started_at,
        step: trace.step.clone(),
    };
    Completion {
        job_id: lease.job.id,
        lease_token: lease.token,
        state: end.state,
        available_at: end.available_at,
        error: end.error.clone(),
        place: end.place.clone(),
        outputs: end.outputs.clone(),
        effects: match is_done {
            true => trace.effects.clone(),
            false => Vec::new(),
        },
        log: end.status.map(log),
        keeps: match trace.plugin.as_ref() {
            Some(plugin) if is_done => trace.kept.writes(plugin),
            _ => Vec::new(),
        },
        root: None,
    }
}
