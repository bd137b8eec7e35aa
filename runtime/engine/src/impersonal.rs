//! Runs that no person causes: a time does, or a request from outside.

use chrono::{DateTime, Utc};
use crm_model::workflow::Workflow;
use crm_model::{Actor, Cause, Event, EventId, EventKind, JobId, Model, Priority, RecordId};
use crm_store::TenantTx;
use crm_store::records::Record;
use crm_store::runs::StartedRun;
use serde_json::Value;
use uuid::Uuid;

use crate::{Engine, EngineError, fresh};

/// What happened.
pub(crate) struct Happening<'a> {
    pub(crate) id: EventId,
    pub(crate) kind: EventKind,
    /// Who stands in the event, in the place of a person.
    pub(crate) by: &'static str,
    /// None: it is of no record.
    pub(crate) record: Option<&'a Record>,
    pub(crate) payload: &'a Value,
    pub(crate) at: DateTime<Utc>,
}

/// What came of it.
pub(crate) enum Began {
    Run(JobId),
    /// A run that people see, and that does not begin: the workflow's condition cannot be answered.
    Dead(JobId),
    /// The workflow's condition does not hold.
    NotMeant,
    /// The record is gone, or the same has happened before.
    Known,
}

impl Engine {
    /// Starts a run of a workflow, within a transaction that somebody else commits.
    ///
    /// # Errors
    /// [`EngineError::Quota`] where too many runs wait; [`EngineError::Store`].
    pub(crate) async fn impersonal_start(
        &self,
        tx: &mut TenantTx,
        (model, workflow): (&Model, &Workflow),
        what: Happening<'_>,
    ) -> Result<Began, EngineError> {
        let by = what.by.parse();
        let by = by.map_err(|error| EngineError::Internal(format!("{}: {error}", what.by)))?;
        let definition = workflow.definition();
        let record = what.record;
        let event = Event {
            id: what.id,
            kind: what.kind,
            module: definition.module.clone(),
            record_id: record.map_or(RecordId::new(Uuid::nil()), |record| record.id),
            record_version: record.map_or(0, |record| record.version),
            before: None,
            after: record.map(|record| record.data.clone()),
            changed_fields: Vec::new(),
            payload: Some(what.payload.clone()),
            actor: Actor::person(by, Vec::new()),
            cause: Cause::System,
            depth: 0,
            occurred_at: what.at,
        };
        let error = match workflow.condition_holds(&event) {
            Ok(false) => return Ok(Began::NotMeant),
            Ok(true) => None,
            Err(message) => Some(message),
        };
        if let Some(room) = self.jobs_room(model.tenant_id()).await?
            && room.left < 1
        {
            return Err(EngineError::Quota(room.spent));
        }
        let source = definition.slug.clone().into();
        let run = StartedRun {
            job: JobId::new(fresh::id()),
            event: event.id,
            kind: event.kind,
            cause: &event.cause,
            workflow: &source,
            version: workflow.version(),
            module: &definition.module,
            record: record.map(|record| record.id),
            actor: &event.actor,
            payload: what.payload,
            at: what.at,
            priority: workflow.priority(Priority::Normal),
            lane: model.lane(&source, workflow.begins_with()),
            error: error.as_deref(),
        };
        Ok(match crm_store::runs::run_start(tx, &run).await? {
            false => Began::Known,
            true if error.is_some() => Began::Dead(run.job),
            true => Began::Run(run.job),
        })
    }
}
