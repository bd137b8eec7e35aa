//! Runs that no change of a record starts: a time does, a request from outside, news of a mail, or
//! another run.

use chrono::{DateTime, Utc};
use crm_model::workflow::Workflow;
use crm_model::{
    Actor, Cause, Event, EventId, EventKind, JobId, Model, Priority, RecordId, TenantId,
};
use crm_store::TenantTx;
use crm_store::records::Record;
use crm_store::runs::StartedRun;
use serde_json::Value;
use uuid::Uuid;

use crate::write::cut;
use crate::{Engine, EngineError, fresh};

/// What happened.
pub(crate) struct Happening<'a> {
    pub(crate) id: EventId,
    pub(crate) kind: EventKind,
    /// Who caused it, and why.
    pub(crate) by: (Actor, Cause),
    /// How many runs led to it.
    pub(crate) depth: u32,
    /// How urgent it is, where the workflow does not say.
    pub(crate) priority: Priority,
    /// None: it is of no record.
    pub(crate) record: Option<&'a Record>,
    pub(crate) payload: Value,
    pub(crate) at: DateTime<Utc>,
    /// The run that waits for the end of the one that this starts, and the number of what waits
    /// there.
    pub(crate) parent: Option<(JobId, u64)>,
}

/// What came of it.
pub(crate) enum Began {
    Run(JobId),
    /// A run that people see, and that does not begin: why.
    Dead(JobId, String),
    /// The workflow's condition does not hold.
    NotMeant,
    /// The record is gone, or the same has happened before.
    Known,
}

/// Whoever stands in an event that nobody who is known here caused.
///
/// # Errors
/// [`EngineError::Internal`] where it is no name.
pub(crate) fn nobody(name: &str) -> Result<(Actor, Cause), EngineError> {
    let by = name.parse();
    let by = by.map_err(|error| EngineError::Internal(format!("{name}: {error}")))?;
    Ok((Actor::person(by, Vec::new()), Cause::System))
}

impl Engine {
    /// Starts a run of a workflow, within a transaction that somebody else commits.
    ///
    /// # Errors
    /// [`EngineError::Quota`] where too many runs wait; [`EngineError::Store`].
    pub(crate) async fn run_begin(
        &self,
        tx: &mut TenantTx,
        (model, workflow): (&Model, &Workflow),
        what: Happening<'_>,
    ) -> Result<Began, EngineError> {
        let definition = workflow.definition();
        let (record, (actor, cause)) = (what.record, what.by);
        let event = Event {
            id: what.id,
            kind: what.kind,
            module: definition.module.clone(),
            record_id: record.map_or(RecordId::new(Uuid::nil()), |record| record.id),
            record_version: record.map_or(0, |record| record.version),
            before: None,
            after: record.map(|record| record.data.clone()),
            changed_fields: Vec::new(),
            payload: Some(what.payload),
            actor,
            cause,
            depth: what.depth,
            occurred_at: what.at,
        };
        let source = definition.slug.clone().into();
        let error = match workflow.condition_holds(&event) {
            Ok(false) => return Ok(Began::NotMeant),
            Ok(true) => cut(&event, &source),
            Err(message) => Some(message),
        };
        if let Some(room) = self.jobs_room(model.tenant_id()).await?
            && room.left < 1
        {
            return Err(EngineError::Quota(room.spent));
        }
        let run = StartedRun {
            job: JobId::new(fresh::id()),
            event: &event,
            is_of_record: record.is_some(),
            workflow: &source,
            version: workflow.version(),
            priority: workflow.priority(what.priority),
            lane: model.lane(&source, workflow.begins_with()),
            // What another run waits for cannot wait for that one.
            in_line: definition.in_order && record.is_some() && what.parent.is_none(),
            error: error.as_deref(),
            parent: what.parent,
        };
        let (job, is_new) = (run.job, crm_store::runs::run_start(tx, &run).await?);
        Ok(match error {
            _ if !is_new => Began::Known,
            Some(error) => Began::Dead(job, error),
            None => Began::Run(job),
        })
    }

    /// So many more runs were committed that wait to begin.
    pub(crate) fn runs_began(&self, tenant: TenantId, runs: i64) {
        if runs > 0 {
            self.inner.meter.committed(tenant, 0, runs);
            self.inner.jobs_waiting.notify_one();
        }
    }
}
