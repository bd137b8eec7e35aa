//! What a version of a plugin would do: over one record or over the newest events, through the
//! door up to the commit and no further. For another version than the installed one, what would
//! change.

use crm_model::flow::all_steps;
use crm_model::limits::PREVIEW_MAX_EVENTS;
use crm_model::model::InstalledPlugin;
use crm_model::permission::{Authority, RunAs};
use crm_model::{
    Actor, Capabilities, Cause, Effect, Event, EventId, EventKind, Grant, JobId, Model, ModuleSlug,
    Mutation, PluginName, RecordId, TenantId, Violation, Violations, WorkflowSlug,
};
use crm_sandbox::{ActionReport, LogLine, Plugin, RunFailure};
use crm_store::TenantTx;
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

use super::{Takes, UnfitStep, unfit};
use crate::run::{Told, action_call, micros};
use crate::write::{Operation, Outcome, Proposal, Written};
use crate::{Engine, EngineError, fresh};

/// What a preview looks at.
#[derive(Clone, Debug)]
pub struct PreviewRequest {
    /// The installed version unless given.
    pub version: Option<Version>,
    pub module: ModuleSlug,
    /// This record, as if it had just been changed; the module's newest events unless given.
    pub record: Option<RecordId>,
    /// How many events.
    pub last: u32,
    /// For a record: what happened to it.
    pub kind: EventKind,
    /// The configuration of the step; that of the first workflow with the plugin unless given.
    pub config: Option<Value>,
    /// What it would be granted; what it is granted unless given.
    pub grants: Option<Capabilities>,
}

/// What would be.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    pub plugin: PluginName,
    pub version: Version,
    /// What a component of its class may be and take.
    pub takes: Takes,
    /// Steps of workflows that are not configured as this version wants it.
    pub unfit: Vec<UnfitStep>,
    pub runs: Vec<PreviewedRun>,
    /// Where another version was asked for: what the installed one does with the same events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
}

/// The installed version beside another one.
#[derive(Clone, Debug, Serialize)]
pub struct Installed {
    pub version: Version,
    pub runs: Vec<PreviewedRun>,
    /// The events with which the two do not do the same, and in what they differ: `changes`,
    /// `effects`, `outcome`.
    pub differences: Vec<Difference>,
    pub fuel: FuelDifference,
}

/// Two versions differ.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub event_id: EventId,
    pub in_what: Vec<&'static str>,
}

/// Fuel of all runs together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FuelDifference {
    pub installed: u64,
    pub previewed: u64,
}

/// What would be done about one event.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewedRun {
    pub event_id: EventId,
    pub kind: EventKind,
    pub record_id: RecordId,
    /// `done`, `refused` where the changes would be, or why there are none: `skip`, `fail`,
    /// `trapped`, ….
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub changes: Vec<PreviewedChange>,
    pub effects: Vec<Effect>,
    pub fuel: u64,
    pub memory_bytes: usize,
    pub duration_us: u64,
    pub logs: Vec<LogLine>,
}

/// One change that would be made, or refused.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewedChange {
    pub mutation: Mutation,
    /// The record's data as it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<crm_model::Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

impl PreviewedChange {
    pub(crate) fn of(mutation: Mutation, outcome: Outcome) -> Self {
        let mut change = Self {
            mutation,
            after: None,
            error: None,
            violations: Vec::new(),
        };
        match outcome {
            Ok(Written::Created(record) | Written::Updated(record)) => {
                change.after = Some(record.data);
            }
            Ok(Written::Deleted { .. } | Written::Activity(_)) => {}
            Err(error) => {
                change.error = Some(error.to_string());
                if let EngineError::Refused(crm_model::Refusal::Invalid(violations)) = error {
                    change.violations = violations.as_slice().to_vec();
                }
            }
        }
        change
    }
}

/// One version, ready to be called.
struct Candidate {
    name: PluginName,
    plugin: InstalledPlugin,
    component: Arc<Plugin>,
    workflow: WorkflowSlug,
    run_as: RunAs,
    config: Value,
}

impl Engine {
    /// Runs a version of an installed plugin without doing anything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Refused`] where the request is wrong,
    /// [`EngineError::Forbidden`].
    pub async fn plugin_preview(
        &self,
        tenant: TenantId,
        actor: &Actor,
        name: &PluginName,
        request: &PreviewRequest,
    ) -> Result<Preview, EngineError> {
        let (mut tx, model) = self.begin_plugins(tenant, actor).await?;
        let installed = model.plugin(name).ok_or(EngineError::NotFound("plugin"))?;
        if model.module(&request.module).is_none() {
            return Err(EngineError::no_module(&request.module));
        }
        let events = match request.record {
            Some(record) => vec![self.as_if(&mut tx, actor, request, record).await?],
            None if request.last == 0 || request.last > PREVIEW_MAX_EVENTS => {
                let message = format!("1 to {PREVIEW_MAX_EVENTS} events");
                return Err(EngineError::invalid(Violations::one(
                    "/last", "range", message,
                )));
            }
            None => {
                let module = &request.module;
                crm_store::plugins::events_newest(&mut tx, module, request.last).await?
            }
        };
        drop(tx);
        let current = self
            .candidate(&model, name, installed.clone(), request)
            .await?;
        let other = match &request.version {
            Some(version) if *version != installed.version => {
                let known = self.version_known(tenant, name, Some(version)).await?;
                let component = self.component_by_digest(tenant, &known.digest).await?;
                let granted = request.grants.clone();
                let granted = granted.unwrap_or_else(|| installed.grant.granted().clone());
                let plugin = InstalledPlugin {
                    version: known.manifest.0.version.clone(),
                    digest: known.digest,
                    grant: Grant::new(known.manifest.0.capabilities, granted),
                    settings: Arc::clone(&installed.settings),
                    enabled: true,
                    concurrency: None,
                };
                Some(Candidate {
                    plugin,
                    component,
                    name: name.clone(),
                    workflow: current.workflow.clone(),
                    run_as: current.run_as,
                    config: current.config.clone(),
                })
            }
            _ => None,
        };
        let previewed = other.as_ref().unwrap_or(&current).component.manifest();
        let (takes, unfit) = (Takes::of(previewed.class), unfit(&model, previewed));
        let runs = self.previewed(&model, &current, &events).await?;
        let Some(other) = other else {
            return Ok(Preview {
                plugin: name.clone(),
                version: installed.version.clone(),
                takes,
                unfit,
                runs,
                installed: None,
            });
        };
        let would = self.previewed(&model, &other, &events).await?;
        let fuel = |runs: &[PreviewedRun]| runs.iter().map(|run| run.fuel).sum();
        let beside = Installed {
            version: installed.version.clone(),
            differences: differences(&runs, &would),
            fuel: FuelDifference {
                installed: fuel(&runs),
                previewed: fuel(&would),
            },
            runs,
        };
        Ok(Preview {
            plugin: name.clone(),
            version: other.plugin.version,
            takes,
            unfit,
            runs: would,
            installed: Some(beside),
        })
    }

    async fn candidate(
        &self,
        model: &Model,
        name: &PluginName,
        plugin: InstalledPlugin,
        request: &PreviewRequest,
    ) -> Result<Candidate, EngineError> {
        let component = self.component(model.tenant_id(), &plugin).await?;
        let workflows = model.workflows().iter();
        let mut using = workflows.filter(|workflow| {
            workflow.definition().module == request.module && workflow.calls(name)
        });
        let workflow = using.next();
        let step = workflow.and_then(|workflow| {
            let steps = all_steps(&workflow.definition().steps);
            let mut actions = steps.into_iter().filter_map(|(_, step)| step.action());
            actions.find(|step| step.action == *name)
        });
        let config = request.config.clone();
        let config = config.or_else(|| step.map(|step| step.config.clone()));
        let plugin = match &request.grants {
            Some(grants) if request.version.is_none() => InstalledPlugin {
                grant: Grant::new(plugin.grant.declared().clone(), grants.clone()),
                ..plugin
            },
            _ => plugin,
        };
        let slug = workflow.map(|workflow| workflow.definition().slug.clone());
        let preview = || "preview".parse();
        Ok(Candidate {
            name: name.clone(),
            plugin,
            component,
            workflow: match slug {
                Some(slug) => slug,
                None => preview().map_err(|error| EngineError::Internal(format!("{error}")))?,
            },
            run_as: workflow
                .map(|workflow| workflow.run_as())
                .unwrap_or_default(),
            config: config.unwrap_or_else(|| serde_json::json!({})),
        })
    }

    /// The event that a change of this record would leave behind.
    async fn as_if(
        &self,
        tx: &mut TenantTx,
        actor: &Actor,
        request: &PreviewRequest,
        record: RecordId,
    ) -> Result<Event, EngineError> {
        let found = crm_store::records::records_read(tx, &[record]).await?;
        let mut found = found.into_iter();
        let found =
            found.find(|found| found.module == request.module && found.deleted_at.is_none());
        let found = found.ok_or(crm_model::Refusal::NotFound)?;
        let is_new = request.kind == EventKind::RecordCreated;
        let keys = found.data.keys();
        Ok(Event {
            id: EventId::new(fresh::id()),
            kind: request.kind,
            module: found.module.clone(),
            record_id: record,
            record_version: found.version,
            changed_fields: keys.filter_map(|key| key.parse().ok()).collect(),
            before: (!is_new).then(|| found.data.clone()),
            after: (request.kind != EventKind::RecordDeleted).then(|| found.data.clone()),
            payload: None,
            actor: actor.clone(),
            cause: Cause::User,
            depth: 0,
            occurred_at: fresh::now(),
        })
    }

    async fn previewed(
        &self,
        model: &Arc<Model>,
        candidate: &Candidate,
        events: &[Event],
    ) -> Result<Vec<PreviewedRun>, EngineError> {
        let mut runs = Vec::with_capacity(events.len());
        for event in events {
            runs.push(self.preview_one(model, candidate, event).await?);
        }
        Ok(runs)
    }

    async fn preview_one(
        &self,
        model: &Arc<Model>,
        candidate: &Candidate,
        event: &Event,
    ) -> Result<PreviewedRun, EngineError> {
        let tenant = model.tenant_id();
        let plugin = &candidate.plugin;
        let authority = Authority::Plugin {
            grant: &plugin.grant,
            behalf_of: &event.actor,
            run_as: candidate.run_as,
        };
        let job = JobId::new(event.id.uuid());
        let called = Told {
            name: &candidate.name,
            plugin,
            authority,
            job,
            work: job.uuid(),
        };
        let call = action_call(model, &called, event, &candidate.config);
        let Some(call) = call else {
            return Err(EngineError::no_module(&event.module));
        };
        let (host, _) = self.run_host(model, &called);
        let report = self
            .sandbox()
            .run_action(&candidate.component, call, Box::new(host))
            .await;
        self.fuel_used(tenant, report.fuel);
        let mut run = PreviewedRun::of(event, &report);
        let Ok(outcome) = report.outcome else {
            return Ok(run);
        };
        if let Err(error) = crate::run::effects_check(&plugin.grant, &outcome.effects) {
            run.outcome = "refused";
            run.error = Some(error);
        }
        run.effects = outcome.effects;
        let mutations = match crate::run::fold(&outcome.mutations) {
            Ok(mutations) => mutations,
            Err(violations) => {
                run.outcome = "refused";
                run.error = Some(violations.to_string());
                return Ok(run);
            }
        };
        let by = (candidate.name.clone(), &plugin.version);
        let cause = event.cause_of(job, candidate.workflow.clone().into(), by);
        let operations: Vec<Operation> =
            mutations.iter().cloned().map(Operation::Mutation).collect();
        if operations.is_empty() {
            return Ok(run);
        }
        let proposal = Proposal {
            tenant,
            authority,
            cause: &cause,
            depth: event.depth + 1,
            operations: &operations,
            atomic: true,
            workflows: false,
            dry_run: true,
            known: Default::default(),
            new_ids: std::collections::HashMap::new(),
            completion: None,
            receipt: None,
            place: None,
            priority: crm_model::Priority::Normal,
        };
        match self.propose(proposal).await {
            Ok(outcomes) => {
                for (mutation, outcome) in mutations.into_iter().zip(outcomes) {
                    run.push(mutation, outcome);
                }
            }
            Err(EngineError::Store(error)) => return Err(error.into()),
            Err(error) => {
                run.outcome = "refused";
                run.error = Some(error.to_string());
            }
        }
        Ok(run)
    }
}

impl PreviewedRun {
    fn of(event: &Event, report: &ActionReport) -> Self {
        let (outcome, error) = match &report.outcome {
            Ok(_) => ("done", None),
            Err(failure @ (RunFailure::Skip(text) | RunFailure::Fail(text))) => {
                (failure.code(), Some(text.clone()))
            }
            Err(failure) => (failure.code(), Some(failure.to_string())),
        };
        Self {
            event_id: event.id,
            kind: event.kind,
            record_id: event.record_id,
            outcome,
            error,
            changes: Vec::new(),
            effects: Vec::new(),
            fuel: report.fuel,
            memory_bytes: report.memory_bytes,
            duration_us: micros(report.duration),
            logs: report.logs.clone(),
        }
    }

    fn push(&mut self, mutation: Mutation, outcome: Outcome) {
        let change = PreviewedChange::of(mutation, outcome);
        if change.error.is_some() {
            self.outcome = "refused";
        }
        self.changes.push(change);
    }

    /// What is the same whenever two runs do the same.
    fn comparable(&self) -> [Value; 2] {
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|change| serde_json::json!([change.mutation, change.error]))
            .collect();
        [Value::Array(changes), serde_json::json!(self.effects)]
    }
}

fn differences(installed: &[PreviewedRun], other: &[PreviewedRun]) -> Vec<Difference> {
    let pairs = installed.iter().zip(other);
    let differing = pairs.filter_map(|(one, other)| {
        let ([changes, effects], [other_changes, other_effects]) =
            (one.comparable(), other.comparable());
        let parts = [
            ("changes", changes == other_changes),
            ("effects", effects == other_effects),
            (
                "outcome",
                (one.outcome, &one.error) == (other.outcome, &other.error),
            ),
        ];
        let parts = parts.into_iter().filter(|(_, is_same)| !is_same);
        let in_what: Vec<&'static str> = parts.map(|(name, _)| name).collect();
        (!in_what.is_empty()).then_some(Difference {
            event_id: one.event_id,
            in_what,
        })
    });
    differing.collect()
}
