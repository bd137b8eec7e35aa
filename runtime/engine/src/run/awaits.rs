//! What a run waits for that comes from outside of it: it is written down before the run rests, so
//! that whoever brings it finds the run, and looked at when the run goes on.

use chrono::{DateTime, Utc};
use crm_model::flow::{Asked, Came, CompiledAwait, CompiledAwaited, Template};
use crm_model::permission::RunAs;
use crm_model::{
    Event, EventId, EventKind, JobId, PluginName, RecordId, RunSource, UserId, WorkflowSlug,
};
use crm_store::TenantTx;
use crm_store::awaits::{AwaitedRow, NewAwait};
use crm_store::notifications::{NewNotification, notifications_insert};
use crm_store::runs::StartedRun;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

use super::course::Course;
use crate::write::cut;
use crate::{EngineError, fresh};

/// What stands as the component in the causes of runs that another one called.
const CALL: &str = "call";

/// A way of the run that begins to wait.
struct Opening<'c> {
    compiled: &'c CompiledAwait,
    work: u64,
    item: Option<RecordId>,
    at: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// A run that another one is to start.
struct Child<'c> {
    workflow: &'c WorkflowSlug,
    record: Option<RecordId>,
    payload: Value,
}

impl Course<'_> {
    /// Learns what came for those of its ways that wait.
    pub(super) async fn look(&mut self) -> Result<(), String> {
        let awaited = self.place.awaited();
        let dismissed = self.place.take_dismissed();
        if awaited.is_empty() {
            return Ok(());
        }
        let of = (self.lease.tenant, self.lease.job.id);
        let (store, now) = (self.engine.store(), fresh::now());
        let came = crm_store::awaits::awaits_look(store, of, &awaited, &dismissed, now).await;
        self.came = came.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Writes down what a way waits for, and asks for it.
    pub(super) async fn open(
        &mut self,
        (thread, awaits): (u32, usize),
        item: Option<RecordId>,
        until: DateTime<Utc>,
    ) -> Result<(), String> {
        let compiled = self.flow.program().awaits(awaits);
        let opening = Opening {
            compiled: compiled.ok_or("the workflow waits for something else by now")?,
            work: self.place.work(thread),
            item,
            at: fresh::now(),
            until,
        };
        let result = match &opening.compiled.what {
            CompiledAwaited::Event(watch) => {
                let link = watch.link.as_ref();
                let row = AwaitedRow::Event(watch.on, &watch.module, link);
                self.await_event(&opening, row).await
            }
            CompiledAwaited::Approval(template) => self.ask(&opening, template).await,
            CompiledAwaited::Call {
                workflow,
                record,
                payload,
            } => {
                self.call(&opening, workflow, record.as_ref(), payload)
                    .await
            }
        };
        let step = &opening.compiled.step;
        if let Some(result) = result.map_err(|error| format!("{step}: {error}"))? {
            self.came.insert(opening.work, Came::Result(result));
        }
        self.place.opened(thread, until);
        Ok(())
    }

    async fn begin(&self) -> Result<TenantTx, EngineError> {
        let lease = self.lease;
        let mut tx = TenantTx::begin(self.engine.store(), lease.tenant).await?;
        match crm_store::awaits::run_is_held(&mut tx, lease.job.id, lease.token).await? {
            true => Ok(tx),
            false => Err(EngineError::Store(crm_store::StoreError::LeaseLost)),
        }
    }

    fn row<'r>(
        &'r self,
        opening: &Opening<'r>,
        result: Option<Value>,
        what: AwaitedRow<'r>,
    ) -> NewAwait<'r> {
        NewAwait {
            job: self.lease.job.id,
            work: opening.work,
            step: &opening.compiled.step,
            workflow: self.lease.job.workflow.to_string(),
            module: &opening.compiled.module,
            record: opening.item.unwrap_or(self.event_record()),
            at: opening.at,
            until: opening.until,
            result,
            what,
        }
    }

    async fn await_event(
        &self,
        opening: &Opening<'_>,
        row: AwaitedRow<'_>,
    ) -> Result<Option<Value>, EngineError> {
        let mut tx = self.begin().await?;
        crm_store::awaits::await_open(&mut tx, &self.row(opening, None, row)).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// Asks people for their word, and tells them so.
    async fn ask(
        &self,
        opening: &Opening<'_>,
        template: &Template,
    ) -> Result<Option<Value>, EngineError> {
        let asked = template.fill(&self.context(opening.item));
        let asked = asked.map_err(|error| error.to_string());
        let asked = match asked.and_then(|filled| Asked::read(&filled)) {
            Ok(asked) => asked,
            Err(why) => return Ok(Some(json!({ "status": "failed", "error": why }))),
        };
        let mut tx = self.begin().await?;
        let row = AwaitedRow::Approval {
            id: fresh::id(),
            approvers: &asked.by,
            title: &asked.title,
            body: asked.text.as_deref(),
        };
        let row = self.row(opening, None, row);
        if crm_store::awaits::await_open(&mut tx, &row).await? {
            let people = self.engine.people(&mut tx, self.model, &asked.by).await?;
            let people: BTreeSet<UserId> = people.unwrap_or_default();
            let note = NewNotification {
                people: people.into_iter().map(|user| (fresh::id(), user)).collect(),
                title: &asked.title,
                body: asked.text.as_deref(),
                workflow: &self.lease.job.workflow,
                module: row.module,
                record: row.record.uuid(),
                at: opening.at,
            };
            notifications_insert(&mut tx, &note).await?;
        }
        tx.commit().await?;
        Ok(None)
    }

    /// Starts a run of another workflow.
    async fn call(
        &self,
        opening: &Opening<'_>,
        workflow: &WorkflowSlug,
        record: Option<&Template>,
        payload: &Template,
    ) -> Result<Option<Value>, EngineError> {
        let failed = |why: String| Ok(Some(json!({ "status": "failed", "error": why })));
        let context = self.context(opening.item);
        let payload = match payload.fill(&context) {
            Ok(payload) => payload,
            Err(error) => return failed(format!("payload: {error}")),
        };
        let target = self.model.workflow(workflow);
        let target = target.filter(|target| target.definition().trigger.on == EventKind::Called);
        let Some(target) = target else {
            return failed(format!(
                "there is no workflow “{workflow}” that starts on `called`"
            ));
        };
        let module = &target.definition().module;
        let own = (
            opening.item.unwrap_or(self.event_record()),
            *module == opening.compiled.module,
        );
        let record = match record.map(|record| record.fill(&context)) {
            None => Some(own.0).filter(|id| own.1 && !id.uuid().is_nil()),
            Some(Err(error)) => return failed(format!("record: {error}")),
            Some(Ok(value)) => match value.as_str().and_then(|id| id.parse().ok()) {
                Some(id) => Some(id),
                None => return failed("record: gives no id of a record".to_owned()),
            },
        };
        let child = Child {
            workflow,
            record,
            payload,
        };
        self.start(opening, target, child).await
    }

    async fn start(
        &self,
        opening: &Opening<'_>,
        target: &crm_model::workflow::Workflow,
        child: Child<'_>,
    ) -> Result<Option<Value>, EngineError> {
        let (engine, lease) = (self.engine, self.lease);
        let module = &target.definition().module;
        let found = match child.record {
            None => None,
            Some(id) => {
                let found =
                    crm_store::records::record_read(engine.store(), lease.tenant, module, id);
                let found = found.await?.1.filter(|found| found.deleted_at.is_none());
                let Some(found) = found else {
                    let why = format!("there is no such record of “{module}”");
                    return Ok(Some(json!({ "status": "failed", "error": why })));
                };
                if self.flow.run_as() == RunAs::Person {
                    let reader = &lease.job.event.actor;
                    let seen = engine.check_there(self.model, reader, (module, id)).await;
                    seen?;
                }
                Some(found)
            }
        };
        let by: PluginName = CALL
            .parse()
            .map_err(|error| EngineError::Internal(format!("{CALL}: {error}")))?;
        let source = RunSource::from(child.workflow.clone());
        let event = &lease.job.event;
        let version = semver::Version::new(1, 0, 0);
        let called = Event {
            id: EventId::new(fresh::id()),
            kind: EventKind::Called,
            module: module.clone(),
            record_id: child.record.unwrap_or(RecordId::new(Uuid::nil())),
            record_version: found.as_ref().map_or(0, |found| found.version),
            before: None,
            after: found.map(|found| found.data),
            changed_fields: Vec::new(),
            payload: Some(child.payload),
            actor: event.actor.clone(),
            cause: event.cause_of(lease.job.id, lease.job.workflow.clone(), (by, &version)),
            depth: event.depth + 1,
            occurred_at: opening.at,
        };
        let error = match target.condition_holds(&called) {
            Ok(true) => cut(&called, &source),
            Ok(false) => {
                return Ok(Some(json!({ "status": "done", "skipped": true })));
            }
            Err(error) => Some(error),
        };
        if let Some(room) = engine.jobs_room(lease.tenant).await?
            && room.left < 1
        {
            return Err(EngineError::Quota(room.spent));
        }
        let mut tx = self.begin().await?;
        let result = error
            .as_ref()
            .map(|error| json!({ "status": "failed", "error": error }));
        let row = self.row(opening, result.clone(), AwaitedRow::Call);
        let is_new = crm_store::awaits::await_open(&mut tx, &row).await?;
        if is_new {
            let run = StartedRun {
                job: JobId::new(fresh::id()),
                event: called.id,
                kind: called.kind,
                cause: &called.cause,
                workflow: &source,
                version: target.version(),
                module,
                record: child.record,
                actor: &called.actor,
                payload: called.payload.as_ref().unwrap_or(&Value::Null),
                at: opening.at,
                error: error.as_deref(),
                depth: called.depth,
                parent: Some((lease.job.id, opening.work)),
            };
            crm_store::runs::run_start(&mut tx, &run).await?;
        }
        tx.commit().await?;
        if is_new && error.is_none() {
            engine.inner.meter.committed(lease.tenant, 0, 1);
            engine.inner.jobs_waiting.notify_one();
        }
        Ok(result)
    }
}
