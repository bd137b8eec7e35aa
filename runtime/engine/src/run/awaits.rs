//! What a run waits for that comes from outside of it: it is written down before the run rests, so
//! that whoever brings it finds the run, and looked at when the run goes on.

use chrono::{DateTime, Utc};
use crm_model::flow::{Asked, Came, CompiledAwait, CompiledAwaited, EventWatch, Template};
use crm_model::permission::RunAs;
use crm_model::workflow::Workflow;
use crm_model::{EventId, EventKind, ModuleSlug, PluginName, RecordId, UserId, WorkflowSlug};
use crm_store::TenantTx;
use crm_store::awaits::{AwaitedRow, NewAwait};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::course::Course;
use crate::begin::{Began, Happening};
use crate::effects::note_keep;
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
    /// When others are asked too.
    escalates: Option<DateTime<Utc>>,
}

/// A run that another one is to start.
struct Child {
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
        if self.flow.program().escalates() {
            let escalated = self.escalate().await;
            escalated.map_err(|error| error.to_string())?;
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
        (until, escalates): (DateTime<Utc>, Option<DateTime<Utc>>),
    ) -> Result<(), String> {
        let compiled = self.flow.program().awaits(awaits);
        let opening = Opening {
            compiled: compiled.ok_or("the workflow waits for something else by now")?,
            work: self.place.work(thread),
            item,
            at: fresh::now(),
            until,
            escalates,
        };
        let result = match &opening.compiled.what {
            CompiledAwaited::Event(watch) => self.await_event(&opening, watch).await,
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
        let mut tx = TenantTx::begin(self.engine.store(), self.lease.tenant).await?;
        self.hold(&mut tx).await?;
        Ok(tx)
    }

    async fn hold(&self, tx: &mut TenantTx) -> Result<(), EngineError> {
        let lease = self.lease;
        match crm_store::awaits::run_is_held(tx, lease.job.id, lease.token).await? {
            true => Ok(()),
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
        watch: &EventWatch,
    ) -> Result<Option<Value>, EngineError> {
        let row = AwaitedRow::Event(watch.on, &watch.module, watch.link.as_ref());
        let new = self.row(opening, None, row);
        let mut tx = TenantTx::begin(self.engine.store(), self.lease.tenant).await?;
        if watch.since_event {
            // Before the run, in the order in which changes lock them.
            crm_store::records::records_lock(&mut tx, &[new.record]).await?;
        }
        self.hold(&mut tx).await?;
        let is_new = crm_store::awaits::await_open(&mut tx, &new).await?;
        if is_new && watch.since_event {
            let event = &self.lease.job.event;
            crm_store::awaits::await_catch_up(&mut tx, (new.job, new.work), event).await?;
        }
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
            Err(why) => return Ok(Some(failed(why))),
        };
        let mut tx = self.begin().await?;
        let row = AwaitedRow::Approval {
            id: fresh::id(),
            approvers: &asked.by,
            title: &asked.title,
            body: asked.text.as_deref(),
            escalation: opening.escalates.map(|at| (at, asked.escalate.as_slice())),
        };
        let row = self.row(opening, None, row);
        if crm_store::awaits::await_open(&mut tx, &row).await? {
            let text = (asked.title.as_str(), asked.text.as_deref());
            let about = (row.module, row.record);
            self.tell_approvers(&mut tx, &asked.by, text, about).await?;
        }
        tx.commit().await?;
        Ok(None)
    }

    async fn tell_approvers(
        &self,
        tx: &mut TenantTx,
        asked: &[String],
        told: (&str, Option<&str>),
        about: (&ModuleSlug, RecordId),
    ) -> Result<(), EngineError> {
        let people = self.engine.people(tx, self.model, asked).await?;
        let people: BTreeSet<UserId> = people.unwrap_or_default();
        Ok(note_keep(tx, people, told, &self.lease.job.workflow, about).await?)
    }

    /// Asks others too where nobody has answered for long enough.
    async fn escalate(&self) -> Result<(), EngineError> {
        let mut tx = self.begin().await?;
        let (job, now) = (self.lease.job.id, fresh::now());
        for row in crm_store::awaits::approvals_escalate(&mut tx, job, now).await? {
            let text = (row.title.as_str(), row.body.as_deref());
            let about = (&row.module_slug, RecordId::new(row.record_id));
            self.tell_approvers(&mut tx, &row.added, text, about)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Starts a run of another workflow.
    async fn call(
        &self,
        opening: &Opening<'_>,
        workflow: &WorkflowSlug,
        record: Option<&Template>,
        payload: &Template,
    ) -> Result<Option<Value>, EngineError> {
        let context = self.context(opening.item);
        let payload = match payload.fill(&context) {
            Ok(payload) => payload,
            Err(error) => return Ok(Some(failed(format!("payload: {error}")))),
        };
        let target = self.model.workflow(workflow);
        let target = target.filter(|target| target.definition().trigger.on == EventKind::Called);
        let Some(target) = target else {
            let why = format!("there is no workflow “{workflow}” that starts on `called`");
            return Ok(Some(failed(why)));
        };
        let module = &target.definition().module;
        let own = (
            opening.item.unwrap_or(self.event_record()),
            *module == opening.compiled.module,
        );
        let record = match record.map(|record| record.fill(&context)) {
            None => Some(own.0).filter(|id| own.1 && !id.uuid().is_nil()),
            Some(Err(error)) => return Ok(Some(failed(format!("record: {error}")))),
            Some(Ok(value)) => match value.as_str().and_then(|id| id.parse().ok()) {
                Some(id) => Some(id),
                None => return Ok(Some(failed("record: gives no id of a record".to_owned()))),
            },
        };
        let child = Child { record, payload };
        self.start(opening, target, child).await
    }

    async fn start(
        &self,
        opening: &Opening<'_>,
        target: &Workflow,
        child: Child,
    ) -> Result<Option<Value>, EngineError> {
        let (engine, lease) = (self.engine, self.lease);
        let module = &target.definition().module;
        let no_record = || {
            Ok(Some(failed(format!(
                "there is no such record of “{module}”"
            ))))
        };
        let record = match child.record {
            None => None,
            Some(id) => {
                let found =
                    crm_store::records::record_read(engine.store(), lease.tenant, module, id);
                let found = found.await?.1.filter(|found| found.deleted_at.is_none());
                let Some(found) = found else {
                    return no_record();
                };
                if self.flow.run_as() == RunAs::Person {
                    let reader = &lease.job.event.actor;
                    engine.check_there(self.model, reader, (module, id)).await?;
                }
                Some(found)
            }
        };
        let by: PluginName = CALL
            .parse()
            .map_err(|error| EngineError::Internal(format!("{CALL}: {error}")))?;
        let event = &lease.job.event;
        let (caller, version) = (lease.job.workflow.clone(), semver::Version::new(1, 0, 0));
        let what = Happening {
            id: EventId::new(fresh::id()),
            kind: EventKind::Called,
            by: (
                event.actor.clone(),
                event.cause_of(lease.job.id, caller, (by, &version)),
            ),
            depth: event.depth + 1,
            priority: lease.priority,
            record: record.as_ref(),
            payload: child.payload,
            at: opening.at,
            parent: Some((lease.job.id, opening.work)),
        };
        let mut tx = self.begin().await?;
        let began = engine
            .run_begin(&mut tx, (self.model, target), what)
            .await?;
        let result = match &began {
            Began::NotMeant => return Ok(Some(json!({ "status": "done", "skipped": true }))),
            Began::Known => return no_record(),
            Began::Dead(_, why) => Some(failed(why.clone())),
            Began::Run(_) => None,
        };
        let row = self.row(opening, result.clone(), AwaitedRow::Call);
        if !crm_store::awaits::await_open(&mut tx, &row).await? {
            // It was started by an attempt that came to no end.
            return Ok(None);
        }
        tx.commit().await?;
        if let Began::Run(_) = began {
            engine.runs_began(lease.tenant, 1);
        }
        Ok(result)
    }
}

/// What a step is told that comes to nothing.
fn failed(why: String) -> Value {
    json!({ "status": "failed", "error": why })
}
