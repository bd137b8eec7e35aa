//! People start runs, end them, and have them tried again.

use crm_model::limits::START_MAX_RECORDS;
use crm_model::permission::manages_all;
use crm_model::workflow::Workflow;
use crm_model::{
    Actor, Cause, EventId, EventKind, JobId, Model, Priority, RecordId, RunSource, TenantId,
    Violations, WorkflowSlug,
};
use crm_store::TenantTx;
use crm_store::runs::StartedRun;
use serde_json::json;

use crate::audit::{Act, audit_write};
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
    /// A run that has not ended ends here.
    Cancel,
}

impl Engine {
    /// Has a run tried again, or ends it. For those who manage everything.
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
            let (mut tx, model) = engine.begin_runs(tenant, &actor).await?;
            if !manages_all(&model, &actor) {
                return Err(EngineError::Forbidden(
                    "only who manages everything ends runs and has them tried again",
                ));
            }
            let there = crm_store::runs::run_find(&mut tx, run, None).await?;
            let there = there.ok_or(NO_RUN)?;
            let now = fresh::now();
            let (done, otherwise, counted) = match word {
                RunWord::Retry => (
                    crm_store::runs::run_retry(&mut tx, run, now).await?,
                    "only a run that is dead, and had begun, is tried again",
                    1,
                ),
                RunWord::Cancel => {
                    let reason = format!("cancelled by {}", actor.user_id);
                    (
                        crm_store::runs::run_cancel(&mut tx, run, now, &reason).await?,
                        "the run has ended",
                        -1,
                    )
                }
            };
            if !done {
                return Err(EngineError::Conflict(otherwise.to_owned()));
            }
            let name = match word {
                RunWord::Retry => "run.retried",
                RunWord::Cancel => "run.cancelled",
            };
            let told = Act {
                before: Some(json!({ "workflow": there.workflow_slug, "status": there.state })),
                ..Act::plain(name, format!("runs/{run}"))
            };
            audit_write(&mut tx, &actor, told).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &()).await?;
            tx.commit().await?;
            engine.inner.meter.committed(tenant, 0, counted);
            engine.inner.jobs_waiting.notify_one();
            Ok(())
        })
        .await
    }

    /// Starts a workflow on records, one run for each; the runs' ids, in the records' order. One
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
        records: Vec<RecordId>,
        receipt: Option<ReceiptMaker<[JobId]>>,
    ) -> Result<Vec<JobId>, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let model = engine.model_at(tenant, tx.model_version()).await?;
            let model = model.ok_or(EngineError::NotFound("workflow"))?;
            let found = startable(&model, &actor, &workflow)?;
            let (module, version) = (found.definition().module.clone(), found.version());
            let priority = found.priority(match records.len() {
                1 => Priority::Interactive,
                _ => Priority::Bulk,
            });
            let first = found.begins_with().cloned();
            if records.is_empty() || records.len() > START_MAX_RECORDS {
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
            let payload = json!({});
            let lane = model.lane(&source, first.as_ref());
            let mut runs = Vec::with_capacity(records.len());
            let asked = records.iter().map(|record| (module.clone(), *record));
            let there = Reading::new(&model, &actor).passing(&mut tx, asked).await?;
            for (index, record) in records.into_iter().enumerate() {
                let run = StartedRun {
                    job: JobId::new(fresh::id()),
                    event: EventId::new(fresh::id()),
                    kind: EventKind::StartedByHand,
                    cause: &Cause::User,
                    error: None,
                    workflow: &source,
                    version,
                    module: &module,
                    record: Some(record),
                    actor: &actor,
                    payload: &payload,
                    at,
                    priority,
                    lane: lane.clone(),
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
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &*runs).await?;
            tx.commit().await?;
            engine.inner.meter.committed(tenant, 0, wanted);
            engine.inner.jobs_waiting.notify_one();
            Ok(runs)
        })
        .await
    }
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
