//! People start runs, end them, and have them tried again or go on; one by one, and by filter.

use crm_model::configuration::configuration_check;
use crm_model::limits::{QUERY_MAX_MILLISECONDS, START_MAX_RECORDS};
use crm_model::permission::manages_all;
use crm_model::query::{Query, QueryInput, Scope};
use crm_model::workflow::Workflow;
use crm_model::{
    Actor, Cause, Event, EventId, EventKind, JobId, Model, Priority, RecordId, RunSource, TenantId,
    Violations, WorkflowSlug,
};
use crm_store::TenantTx;
use crm_store::commit::JobState;
use crm_store::run_words::{DeadRun, SkippedRun, Standing};
use crm_store::runs::{RunFilter, StartedRun};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::{Act, audit_write};
use crate::query::read_page;
use crate::reach::Reading;
use crate::read::check_read;
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

const NO_RUN: EngineError = EngineError::NotFound("run");

/// What becomes of a run by somebody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunWord {
    /// A dead run goes on at the step that failed.
    Retry,
    /// A dead run goes on behind the step that failed.
    Skip,
    /// A run that has not ended ends here.
    Cancel,
}

/// What a workflow is started on.
#[derive(Clone, Debug)]
pub struct Start {
    pub which: StartOn,
    /// What its form is filled in with.
    pub inputs: Option<Value>,
}

/// Which records.
#[derive(Clone, Debug)]
pub enum StartOn {
    Records(Vec<RecordId>),
    /// A page of those that meet the filter, which is one of the API's; of all without one.
    Found {
        filter: Option<Value>,
        cursor: Option<String>,
    },
}

/// Runs that were started.
#[derive(Clone, Debug)]
pub struct Started {
    pub runs: Vec<JobId>,
    /// Where the next page of those that meet the filter begins.
    pub next_cursor: Option<String>,
}

impl RunWord {
    fn standing(self) -> Standing {
        match self {
            Self::Retry | Self::Skip => Standing::Dead,
            Self::Cancel => Standing::Open,
        }
    }

    /// Why there was nothing to do.
    fn otherwise(self) -> &'static str {
        match self {
            Self::Retry => "only a run that is dead, and had begun, is tried again",
            Self::Skip => "only a run that is dead, and had begun, goes on behind its step",
            Self::Cancel => "the run has ended",
        }
    }

    /// In the audit log: of one run, and of many.
    fn acts(self) -> (&'static str, &'static str) {
        match self {
            Self::Retry => ("run.retried", "runs.retried"),
            Self::Skip => ("run.skipped", "runs.skipped"),
            Self::Cancel => ("run.cancelled", "runs.cancelled"),
        }
    }
}

/// What became of the runs of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenRuns {
    /// It was done to so many.
    pub taken: u64,
    /// It could not be done to so many; they are as they were.
    pub left: u64,
    /// The last that was looked at, where there may be more behind it.
    pub next: Option<JobId>,
}

/// Which runs somebody has a word for.
#[derive(Clone, Debug)]
pub struct RunsAsked {
    pub filter: RunFilter,
    /// Behind this one; none: from the oldest.
    pub after: Option<JobId>,
    /// At most so many.
    pub limit: u32,
}

impl Engine {
    /// Has a run tried again, or go on behind the step that failed, or ends it. For those who
    /// manage everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`], and [`EngineError::Conflict`] where
    /// the run stands elsewhere.
    pub async fn run_word(
        &self,
        tenant: TenantId,
        actor: Actor,
        run: JobId,
        word: RunWord,
        receipt: Option<ReceiptMaker<()>>,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_words(tenant, &actor).await?;
            let there = crm_store::runs::run_find(&mut tx, run, None).await?;
            let there = there.ok_or(NO_RUN)?;
            drop(tx);
            let (skipped, refused) = engine.skips(&model, (tenant, &actor), &[run], word).await?;
            if let Some(refused) = refused {
                return Err(refused);
            }
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let done = word_write(&mut tx, &actor, (word, &[run]), &skipped).await?;
            if done.is_empty() {
                return Err(EngineError::Conflict(word.otherwise().to_owned()));
            }
            let told = Act {
                before: Some(json!({ "workflow": there.workflow_slug, "status": there.state })),
                ..Act::plain(word.acts().0, format!("runs/{run}"))
            };
            audit_write(&mut tx, &actor, told).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &()).await?;
            tx.commit().await?;
            engine.words_said(tenant, word, &done, &skipped);
            engine.called_end((tenant, &actor), word, done).await;
            Ok(())
        })
        .await
    }

    /// The same to many: those of a filter that stand where the word applies, oldest first. All
    /// together or, where it fails, none. For those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Quota`] where too many runs wait.
    pub async fn runs_word(
        &self,
        tenant: TenantId,
        actor: Actor,
        (asked, word): (RunsAsked, RunWord),
        receipt: Option<ReceiptMaker<TakenRuns>>,
    ) -> Result<TakenRuns, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_words(tenant, &actor).await?;
            let which = (&asked.filter, word.standing());
            let (limit, running) = (asked.limit, engine.running_default());
            let page = (asked.after, limit + 1);
            let mut runs = crm_store::run_words::run_ids(&mut tx, which, page, running).await?;
            drop(tx);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = runs.len() > limit;
            runs.truncate(limit);
            if word != RunWord::Cancel
                && let Some(room) = engine.jobs_room(tenant).await?
                && room.left < i64::try_from(runs.len()).unwrap_or(i64::MAX)
            {
                return Err(EngineError::Quota(room.spent));
            }
            let (skipped, _) = engine.skips(&model, (tenant, &actor), &runs, word).await?;
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let done = word_write(&mut tx, &actor, (word, &runs), &skipped).await?;
            let taken = TakenRuns {
                taken: done.len() as u64,
                left: runs.len().saturating_sub(done.len()) as u64,
                next: runs.last().copied().filter(|_| more),
            };
            if !done.is_empty() {
                let told = Act {
                    after: Some(json!({ "runs": done })),
                    ..Act::plain(word.acts().1, "runs".to_owned())
                };
                audit_write(&mut tx, &actor, told).await?;
            }
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &taken).await?;
            tx.commit().await?;
            engine.words_said(tenant, word, &done, &skipped);
            engine.called_end((tenant, &actor), word, done).await;
            Ok(taken)
        })
        .await
    }

    async fn begin_words(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let (tx, model) = self.begin_runs(tenant, actor).await?;
        match manages_all(&model, actor) {
            true => Ok((tx, model)),
            false => Err(EngineError::Forbidden(
                "only who manages everything ends runs and has them tried again",
            )),
        }
    }

    /// Where dead runs go on behind the step that each failed at, and why one of the others cannot;
    /// nothing for other words. Asks without a transaction: what it finds is compared when it is
    /// written.
    async fn skips(
        &self,
        model: &Arc<Model>,
        (tenant, actor): (TenantId, &Actor),
        runs: &[JobId],
        word: RunWord,
    ) -> Result<(Vec<SkippedRun>, Option<EngineError>), EngineError> {
        let (mut skipped, mut refused) = (Vec::new(), None);
        if word != RunWord::Skip || runs.is_empty() {
            return Ok((skipped, refused));
        }
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let dead = crm_store::run_words::dead_runs(&mut tx, runs).await?;
        drop(tx);
        let mut dead: HashMap<JobId, DeadRun> = dead
            .into_iter()
            .map(|run| (JobId::new(run.id), run))
            .collect();
        let ids: Vec<JobId> = dead.keys().copied().collect();
        let (_, jobs) = crm_store::jobs::jobs_load(self.store(), tenant, &ids).await?;
        for job in jobs {
            let Some(run) = dead.remove(&job.id) else {
                continue;
            };
            let of = (tenant, &actor.user_id);
            match self.skip_ahead(model, of, (job, run)).await {
                Ok(one) => skipped.push(one),
                Err(error @ EngineError::Conflict(_)) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok((skipped, refused))
    }

    /// After the commit.
    fn words_said(&self, tenant: TenantId, word: RunWord, done: &[JobId], skipped: &[SkippedRun]) {
        let ended = skipped.iter().filter(|run| run.state == JobState::Done);
        let queued = done.len().saturating_sub(ended.count());
        let queued = i64::try_from(queued).unwrap_or(i64::MAX);
        let counted = if word == RunWord::Cancel {
            -queued
        } else {
            queued
        };
        self.inner.meter.committed(tenant, 0, counted);
        self.inner.jobs_waiting.notify_one();
    }

    /// After the commit, once more: ends what cancelled runs called while they were being cancelled.
    /// Whoever has ended calls nobody any more. Not in the same transaction, which holds those who
    /// called: a called run that ends holds itself and waits for them.
    async fn called_end(&self, by: (TenantId, &Actor), word: RunWord, mut ended: Vec<JobId>) {
        while word == RunWord::Cancel && !ended.is_empty() {
            ended = match self.cancel_called(by, &ended).await {
                Ok(ended) => ended,
                Err(error) => {
                    let tenant = by.0;
                    tracing::warn!(tenant.id = %tenant, %error, "what cancelled runs called goes on");
                    return;
                }
            };
        }
    }

    async fn cancel_called(
        &self,
        (tenant, actor): (TenantId, &Actor),
        ended: &[JobId],
    ) -> Result<Vec<JobId>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let called = crm_store::run_words::runs_called(&mut tx, ended).await?;
        if called.is_empty() {
            return Ok(called);
        }
        let done = word_write(&mut tx, actor, (RunWord::Cancel, &called), &[]).await?;
        tx.commit().await?;
        self.words_said(tenant, RunWord::Cancel, &done, &[]);
        Ok(done)
    }

    /// Starts a workflow on records, one run for each, and tells each what the form was filled in
    /// with; the runs' ids, in the records' order. One
    /// that is meant to be started by hand, for those who may read the records; any other for
    /// those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for the workflow, [`EngineError::Forbidden`],
    /// [`EngineError::Quota`] where too many runs wait, and a violation for each record that is
    /// not there.
    pub async fn workflow_start(
        &self,
        tenant: TenantId,
        actor: Actor,
        workflow: WorkflowSlug,
        start: Start,
        receipt: Option<ReceiptMaker<Started>>,
    ) -> Result<Started, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let is_found = matches!(start.which, StartOn::Found { .. });
            let (records, next_cursor) = match start.which {
                StartOn::Records(records) => (records, None),
                StartOn::Found { filter, cursor } => {
                    let found = engine.found(tenant, &actor, &workflow, (filter, cursor));
                    found.await?
                }
            };
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let model = engine.model_at(tenant, tx.model_version()).await?;
            let model = model.ok_or(EngineError::NotFound("workflow"))?;
            let found = startable(&model, &actor, &workflow)?;
            let (module, version) = (found.definition().module.clone(), found.version());
            let priority = found.priority(match records.len() {
                1 => Priority::Interactive,
                _ => Priority::Bulk,
            });
            let payload = filled_in(found, start.inputs)?;
            // None where nobody meets the filter.
            if (records.is_empty() && !is_found) || records.len() > START_MAX_RECORDS {
                let message = format!("1 to {START_MAX_RECORDS} records");
                let violations = Violations::one("/record_ids", "length", message);
                return Err(EngineError::invalid(violations));
            }
            let wanted = i64::try_from(records.len()).unwrap_or(i64::MAX);
            if let Some(room) = engine.jobs_room(tenant).await?
                && room.left < wanted
            {
                return Err(EngineError::Quota(room.spent));
            }
            let mut missing = Violations::default();
            let (at, source) = (fresh::now(), RunSource::from(workflow));
            let lane = model.lane(&source, found.begins_with());
            let mut runs = Vec::with_capacity(records.len());
            let asked = records.iter().map(|record| (module.clone(), *record));
            let there = Reading::new(&model, &actor).passing(&mut tx, asked).await?;
            for (index, record) in records.into_iter().enumerate() {
                let event = Event {
                    id: EventId::new(fresh::id()),
                    kind: EventKind::StartedByHand,
                    module: module.clone(),
                    record_id: record,
                    record_version: 0,
                    before: None,
                    after: None,
                    changed_fields: Vec::new(),
                    payload: Some(payload.clone()),
                    actor: actor.clone(),
                    cause: Cause::User,
                    depth: 0,
                    occurred_at: at,
                };
                let run = StartedRun {
                    job: JobId::new(fresh::id()),
                    event: &event,
                    is_of_record: true,
                    workflow: &source,
                    version,
                    priority,
                    lane: lane.clone(),
                    in_line: found.definition().in_order,
                    error: None,
                    parent: None,
                };
                let is_there = there.contains(&record);
                if is_there && crm_store::runs::run_start(&mut tx, &run).await? {
                    runs.push(run.job);
                } else {
                    let message = format!("there is no such record of “{module}”");
                    missing.add(format!("/record_ids/{index}"), "reference", message);
                }
            }
            missing.into_result().map_err(EngineError::invalid)?;
            let started = Started { runs, next_cursor };
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &started).await?;
            tx.commit().await?;
            engine.runs_began(tenant, wanted);
            Ok(started)
        })
        .await
    }

    /// A page of the records of a workflow's module that the person finds.
    async fn found(
        &self,
        tenant: TenantId,
        actor: &Actor,
        workflow: &WorkflowSlug,
        (filter, cursor): (Option<Value>, Option<String>),
    ) -> Result<(Vec<RecordId>, Option<String>), EngineError> {
        let mut tx = TenantTx::begin_query(self.store(), tenant, QUERY_MAX_MILLISECONDS).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or(EngineError::NotFound("workflow"))?;
        let module = &startable(&model, actor, workflow)?.definition().module;
        let input = QueryInput {
            filter,
            cursor,
            limit: u32::try_from(START_MAX_RECORDS).ok(),
            ..QueryInput::default()
        };
        let scope = Scope::person(&model, actor, fresh::now());
        let query = Query::parse(scope, module, &input).map_err(EngineError::invalid)?;
        let page = read_page(&mut tx, scope, &query).await?;
        let records = page.rows.iter().map(|row| row.found.record.id);
        Ok((records.collect(), page.next_cursor))
    }
}

/// What a run is told, where this was filled into the workflow's form.
fn filled_in(workflow: &Workflow, inputs: Option<Value>) -> Result<Value, EngineError> {
    match (&workflow.definition().trigger.form, inputs) {
        (None, None) => Ok(json!({})),
        (None, Some(_)) => {
            let message = "the workflow has no form";
            let violations = Violations::one("/inputs", "unknown_field", message);
            Err(EngineError::invalid(violations))
        }
        (Some(form), inputs) => {
            let inputs = inputs.unwrap_or_else(|| json!({}));
            configuration_check(form, &inputs, "/inputs").map_err(EngineError::invalid)?;
            Ok(json!({ "inputs": inputs }))
        }
    }
}

/// Writes down what becomes of these runs; to which of them it was done.
async fn word_write(
    tx: &mut TenantTx,
    actor: &Actor,
    (word, runs): (RunWord, &[JobId]),
    skipped: &[SkippedRun],
) -> Result<Vec<JobId>, EngineError> {
    let now = fresh::now();
    Ok(match word {
        RunWord::Retry => crm_store::run_words::runs_retry(tx, runs, now).await?,
        RunWord::Cancel => {
            let reason = format!("cancelled by {}", actor.user_id);
            crm_store::run_words::runs_cancel(tx, runs, now, &reason).await?
        }
        RunWord::Skip => {
            let mut done = Vec::new();
            for one in skipped {
                let entry = (fresh::id(), actor.user_id.as_str(), now);
                if crm_store::run_words::run_skip(tx, one, entry).await? {
                    done.push(one.run);
                }
            }
            done
        }
    })
}

/// A workflow that somebody may start.
fn startable<'m>(
    model: &'m Model,
    actor: &Actor,
    slug: &WorkflowSlug,
) -> Result<&'m Workflow, EngineError> {
    let found = model.workflow(slug);
    let found = found.ok_or(EngineError::NotFound("workflow"))?;
    let definition = found.definition();
    check_read(Some(model), actor, &definition.module)
        .map_err(|_| EngineError::NotFound("workflow"))?;
    let by_hand = definition.trigger.on == EventKind::StartedByHand;
    if !by_hand && !manages_all(model, actor) {
        return Err(EngineError::Forbidden(
            "only who manages everything starts by hand what something else is meant to start",
        ));
    }
    Ok(found)
}
