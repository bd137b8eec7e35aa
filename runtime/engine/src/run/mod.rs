//! One attempt at a job: find the plugin, or the template's component, let the sandbox run it on
//! the event, take its mutations to the door together with the end of the attempt. No transaction
//! is open while the guest runs.

mod bundle;
mod call;
mod fold;
mod host;

use chrono::{DateTime, Utc};
use crm_model::limits::{JOB_MAX_ATTEMPTS, ROOT_EVENT_MAX_MUTATIONS};
use crm_model::permission::Authority;
use crm_model::run_source::RunStep;
use crm_model::{Event, EventId, Model, Mutation, PluginName, RunId, TenantId};
use crm_sandbox::{ActionReport, RunFailure};
use crm_store::StoreError;
use crm_store::commit::{AttemptLog, AttemptStatus, Commit, Completion, JobState, RootTotal};
use crm_store::effects::NewEffect;
use crm_store::jobs::LoadedJob;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use uuid::Uuid;

use crate::breaker::{Key, Wait};
use crate::effects::NotAsked;
use crate::time::{delta, pause};
use crate::write::{Known, Operation, Proposal};
use crate::{Engine, EngineError, fresh};
use host::Kept;

pub(crate) use call::{Told, action_call, effects_check};
pub(crate) use fold::fold;

/// The span of an attempt: what happens in it is of this tenant, plugin, version and job.
pub(crate) fn span(model: &Model, lease: &Lease) -> Span {
    let span = info_span!(
        "run", tenant.id = %lease.tenant, job.id = %lease.job.id, workflow = %lease.job.workflow,
        attempt = lease.job.attempt, plugin.name = Empty, plugin.version = Empty,
    );
    if let Ok(step) = model.run_step(&lease.job.workflow) {
        span.record("plugin.name", display(step.name));
        span.record("plugin.version", display(&step.plugin.version));
    }
    span
}

/// A job under a lease.
pub(crate) struct Lease {
    pub(crate) tenant: TenantId,
    pub(crate) token: Uuid,
    pub(crate) job: LoadedJob,
    /// The first pause before trying again; doubles with each attempt.
    pub(crate) backoff: Duration,
}

/// How an attempt ended, before it is written down.
enum Verdict {
    Done,
    Skipped(String),
    /// May be tried again, not before the time given.
    Again {
        reason: String,
        after: Duration,
    },
    /// Will never work.
    Never(String),
}

/// What the log keeps of an attempt, as far as it got.
struct Trace {
    started_at: DateTime<Utc>,
    input: Box<RawValue>,
    kept: Kept,
    plugin: Option<PluginName>,
    steps: serde_json::Value,
    mutations: Vec<Mutation>,
    effects: Vec<NewEffect>,
    fuel: u64,
    memory_bytes: usize,
    duration: Duration,
}

impl Trace {
    fn empty(job: &LoadedJob) -> Self {
        Self {
            started_at: fresh::now(),
            input: raw(&json!({ "event": job.event })),
            kept: Kept::default(),
            plugin: None,
            steps: json!([]),
            mutations: Vec::new(),
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
        let event = &lease.job.event;
        let workflows = model.workflows().iter();
        let workflows = workflows.filter(|workflow| workflow.is_triggered_by(event));
        let hook = model.after_event(&event.module, event.kind);
        if workflows.count() + usize::from(hook.is_some()) > 1 {
            self.inner.jobs_waiting.notify_one();
        }
    }

    async fn attempt_and_record(
        &self,
        model: &Arc<Model>,
        lease: &Lease,
    ) -> Result<&'static str, StoreError> {
        let mut trace = Trace::empty(&lease.job);
        let step = model.run_step(&lease.job.workflow);
        if let Ok(step) = &step {
            let breakers = &self.inner.breakers;
            let key = Key::run(lease.tenant, step.name);
            if let Err(wait) = breakers.check(&key, step.plugin, fresh::now()) {
                self.series.deferred(lease.tenant, step.name, wait.status);
                return self.postpone(lease, &wait).await;
            }
        }
        let verdict = match step {
            _ if lease.job.attempt > JOB_MAX_ATTEMPTS => Verdict::Never(format!(
                "none of {JOB_MAX_ATTEMPTS} attempts came to an end: the worker stopped in the \
                 middle of each"
            )),
            Err(reason) => Verdict::Never(reason),
            Ok(step) => match self.call(model, lease, &step, &mut trace).await {
                Err(verdict) => verdict,
                Ok(()) => match self.apply(lease, &step, &trace).await? {
                    None => return Ok("done"),
                    Some(verdict) => verdict,
                },
            },
        };
        self.record_end(model, lease, trace, verdict).await
    }

    /// Runs the plugin; leaves its mutations in the trace.
    async fn call(
        &self,
        model: &Arc<Model>,
        lease: &Lease,
        step: &RunStep<'_>,
        trace: &mut Trace,
    ) -> Result<(), Verdict> {
        let again = |reason: String| Verdict::Again {
            reason,
            after: Duration::ZERO,
        };
        let plugin = step.plugin;
        let component = self.component(lease.tenant, plugin).await;
        let component = component.map_err(|error| again(error.to_string()))?;
        let event = &lease.job.event;
        let manifest = component.manifest();
        let told = Told {
            name: &manifest.name,
            plugin,
            authority: authority(step, event),
            job: lease.job.id,
        };
        let config = &*step.config;
        let Some(call) = action_call(model, &told, event, config) else {
            return Err(Verdict::Never(format!(
                "there is no module “{}” any more",
                event.module
            )));
        };
        let (host, kept) = self.run_host(model, &told);
        trace.plugin = Some(manifest.name.clone());
        trace.kept = kept;
        let report = self
            .sandbox()
            .run_action_here(&component, &call, Box::new(host))
            .await;
        self.fuel_used(lease.tenant, report.fuel);
        self.judged(lease, &manifest.name, &report);
        let limits = self.sandbox().limits_of(&component, &call.plan);
        trace.input = raw(&json!({
            "event": &*call.event,
            "config": config,
            // What a replay needs beside them; `crate::run::bundle` takes it up.
            "record": bundle::record(&component, &limits, &call, &report),
        }));
        trace.steps = json!([step_log(manifest.name.as_str(), &manifest.version, &report)]);
        trace.fuel = report.fuel;
        trace.memory_bytes = report.memory_bytes;
        trace.duration = report.duration;
        match report.outcome {
            Ok(outcome) => {
                trace.mutations = outcome.mutations;
                let (tenant, job, grant) = (lease.tenant, lease.job.id, &plugin.grant);
                let asked = self.effects_ask(tenant, job, grant, outcome.effects).await;
                trace.effects = asked.map_err(|no| match no {
                    NotAsked::Refused(reason) => Verdict::Never(reason),
                    NotAsked::NotNow(reason) => again(reason),
                })?;
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
        lease: &Lease,
        step: &RunStep<'_>,
        trace: &Trace,
    ) -> Result<Option<Verdict>, StoreError> {
        if trace.mutations.is_empty() {
            return Ok(Some(Verdict::Done));
        }
        let again = |reason: String| {
            Ok(Some(Verdict::Again {
                reason,
                after: Duration::ZERO,
            }))
        };
        let mutations = match fold(&trace.mutations) {
            Ok(mutations) => mutations,
            Err(violations) => return again(format!("the mutations are refused: {violations}")),
        };
        let event = &lease.job.event;
        let mut completion = completion(lease, trace, &Verdict::Done);
        completion.root = Some(RootTotal {
            event_id: root_of(event),
            mutations: mutations.len(),
            limit: ROOT_EVENT_MAX_MUTATIONS,
        });
        let operations: Vec<Operation> = mutations.into_iter().map(Operation::Mutation).collect();
        let cause = event.cause_of(
            lease.job.id,
            lease.job.workflow.clone(),
            (step.name.clone(), &step.plugin.version),
        );
        let current = lease.job.current.clone();
        let known = current.map(|base| (event.record_id, Known { base, record: None }));
        let proposal = Proposal {
            tenant: lease.tenant,
            authority: authority(step, event),
            cause: &cause,
            depth: event.depth + 1,
            operations: &operations,
            atomic: true,
            workflows: true,
            dry_run: false,
            known: known.into_iter().collect(),
            completion: Some(completion),
            receipt: None,
            place: None,
        };
        match self.propose(proposal).await {
            Ok(outcomes) => match outcomes.into_iter().find_map(Result::err) {
                None => {
                    self.job_ended(lease.tenant);
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

    /// Gives the job back untouched.
    async fn postpone(&self, lease: &Lease, wait: &Wait) -> Result<&'static str, StoreError> {
        tracing::info!(
            tenant.id = %lease.tenant, job.id = %lease.job.id, reason = wait.reason,
            "a workflow run waits"
        );
        let jobs = (&[lease.job.id][..], lease.token);
        crm_store::jobs::jobs_postpone(self.store(), lease.tenant, jobs, wait.until, &wait.reason)
            .await?;
        Ok("postponed")
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
                let counts = lease.job.attempt >= JOB_MAX_ATTEMPTS || breakers.is_probing(&key);
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
        trace: Trace,
        verdict: Verdict,
    ) -> Result<&'static str, StoreError> {
        let completion = completion(lease, &trace, &verdict);
        let status = match (completion.log.status, completion.state) {
            (AttemptStatus::Done, _) => "done",
            (AttemptStatus::Skipped, _) => "skipped",
            (AttemptStatus::Failed, JobState::Dead) => "dead",
            (AttemptStatus::Failed, _) => "failed",
        };
        if let Some(error) = &completion.error {
            tracing::info!(
                tenant.id = %lease.tenant, job.id = %lease.job.id,
                workflow = %lease.job.workflow, attempt = lease.job.attempt, status, error,
                "the attempt did not succeed"
            );
        }
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
        Ok(status)
    }

    /// One run less waits.
    fn job_ended(&self, tenant: TenantId) {
        self.inner.meter.committed(tenant, 0, -1);
    }
}

/// The event that no run led to.
fn root_of(event: &Event) -> EventId {
    let chain = event.cause.chain();
    chain.first().map_or(event.id, |first| first.event.id)
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

fn completion(lease: &Lease, trace: &Trace, verdict: &Verdict) -> Completion {
    let last = lease.job.attempt >= JOB_MAX_ATTEMPTS;
    let (state, status, error) = match verdict {
        Verdict::Done => (JobState::Done, AttemptStatus::Done, None),
        Verdict::Skipped(reason) => (JobState::Done, AttemptStatus::Skipped, Some(reason)),
        Verdict::Never(reason) => (JobState::Dead, AttemptStatus::Failed, Some(reason)),
        Verdict::Again { reason, .. } if last => {
            (JobState::Dead, AttemptStatus::Failed, Some(reason))
        }
        Verdict::Again { reason, .. } => (JobState::Queued, AttemptStatus::Failed, Some(reason)),
    };
    let available_at = match verdict {
        Verdict::Again { after, .. } if !last => Some(again_at(lease, *after)),
        _ => None,
    };
    Completion {
        job_id: lease.job.id,
        lease_token: lease.token,
        state,
        available_at,
        error: error.cloned(),
        effects: match verdict {
            Verdict::Done => trace.effects.clone(),
            _ => Vec::new(),
        },
        log: AttemptLog {
            id: RunId::new(fresh::id()),
            workflow: lease.job.workflow.clone(),
            attempt: lease.job.attempt,
            status,
            input: trace.input.clone(),
            steps: trace.steps.clone(),
            mutations: trace.mutations.clone(),
            fuel: trace.fuel,
            memory_bytes: trace.memory_bytes,
            duration_us: micros(trace.duration),
            started_at: trace.started_at,
        },
        keeps: match (&verdict, trace.plugin.as_ref()) {
            (Verdict::Done, Some(plugin)) => trace.kept.writes(plugin),
            _ => Vec::new(),
        },
        root: None,
    }
}

fn again_at(lease: &Lease, at_least: Duration) -> DateTime<Utc> {
    let pauses = (lease.backoff, Duration::MAX);
    let pause = pause(pauses, lease.job.attempt, lease.token);
    fresh::now() + delta(pause.max(at_least))
}
