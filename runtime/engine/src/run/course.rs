//! The way of one attempt through its workflow: what it is to do, and where its run stands when
//! that has ended.

use chrono::{DateTime, Utc};
use crm_model::definition::Enrolment;
use crm_model::flow::{Action, Came, Facts, Loop, Next, Output, Place};
use crm_model::limits::{LOOP_PAGE_MAX_RECORDS, QUERY_MAX_MILLISECONDS, RUN_PLACE_MAX_BYTES};
use crm_model::permission::RunAs;
use crm_model::query::{Query, QueryInput, Scope};
use crm_model::run_source::RunFlow;
use crm_model::validate::Base;
use crm_model::{Actor, Data, Event, EventId, Model, ModuleSlug, Mutation, RecordId};
use crm_store::TenantTx;
use crm_store::commit::{AttemptStatus, JobState};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

use super::told::Standing;
use super::{End, Lease, Trace, Verdict};
use crate::query::read_page;
use crate::write::Known;
use crate::{Engine, EngineError, fresh};

/// Where an attempt goes.
pub(super) struct Course<'a> {
    pub(super) engine: &'a Engine,
    pub(super) model: &'a Arc<Model>,
    pub(super) flow: &'a RunFlow<'a>,
    pub(super) lease: &'a Lease,
    pub(super) place: Place,
    /// As the attempt found it, once it had gone to its step.
    before: Place,
    items: BTreeMap<RecordId, Option<Data>>,
    versions: BTreeMap<RecordId, i64>,
    /// For its ways that wait.
    pub(super) came: BTreeMap<u64, Came>,
}

/// What an attempt has to do.
pub(super) enum Turn<'a> {
    /// Call an action, in that thread of the run, on that record where it is not the event's.
    Act(u32, &'a Action, Option<RecordId>),
    /// Nothing now.
    Rest(Box<End>),
}

impl<'a> Course<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        model: &'a Arc<Model>,
        flow: &'a RunFlow<'a>,
        lease: &'a Lease,
    ) -> Self {
        let place = lease.job.place.clone().unwrap_or_default();
        Self {
            engine,
            model,
            flow,
            lease,
            before: place.clone(),
            place,
            items: BTreeMap::new(),
            versions: BTreeMap::new(),
            came: BTreeMap::new(),
        }
    }

    /// Goes on to the next action, or until the run rests.
    pub(super) async fn next(&mut self) -> Result<Turn<'a>, String> {
        let turn = self.go_on().await;
        self.before = self.place.clone();
        turn
    }

    async fn go_on(&mut self) -> Result<Turn<'a>, String> {
        let program = self.flow.program();
        if let Some(reason) = self.keeps_out().await? {
            return Ok(Turn::Rest(Box::new(End {
                error: Some(reason),
                ..End::new(JobState::Done)
            })));
        }
        self.look().await?;
        loop {
            let of = (&self.lease.job.event, self.lease.job.current.as_ref());
            let facts = facts(self.model, of, (&self.items, &self.came), fresh::now());
            match program.advance(&mut self.place, &facts) {
                Next::Act {
                    thread,
                    action,
                    item,
                } => {
                    let action = program.action(action);
                    let action = action.ok_or("the workflow has no such step any more")?;
                    return Ok(Turn::Act(thread, action, item));
                }
                Next::Page {
                    thread,
                    each,
                    cursor,
                } => self.page(thread, each, cursor).await?,
                Next::Load { module, record } => self.load(&module, record).await?,
                Next::Open {
                    thread,
                    awaits,
                    item,
                    until,
                    escalates,
                } => {
                    self.open((thread, awaits), item, (until, escalates))
                        .await?;
                }
                rest => return Ok(Turn::Rest(Box::new(self.over(rest)))),
            }
        }
    }

    /// Why the record does not go through the workflow now; none where it does.
    async fn keeps_out(&self) -> Result<Option<String>, String> {
        let (enrolment, record) = (self.flow.enrolment(), self.event_record());
        let has_begun = self.lease.job.place.is_some();
        if enrolment == Enrolment::EveryTime || has_begun || record.uuid().is_nil() {
            return Ok(None);
        }
        let (lease, once) = (self.lease, enrolment == Enrolment::Once);
        let who = (&lease.job.workflow, record, lease.job.id);
        let (store, now) = (self.engine.store(), fresh::now());
        let enrolled = crm_store::runs::enrol(store, lease.tenant, who, once, now).await;
        let reason = match once {
            true => "the record went through this workflow before: it does once",
            false => {
                "another run of this workflow for the record has not ended: there is one at a time"
            }
        };
        let enrolled = enrolled.map_err(|error| error.to_string())?;
        Ok((!enrolled).then(|| reason.to_owned()))
    }

    /// Where there is nothing to do now.
    fn over(&self, next: Next) -> End {
        match next {
            Next::Wait(at) => self.kept(End {
                available_at: Some(at),
                ..End::new(JobState::Queued)
            }),
            Next::Failed(reason) => End {
                error: Some(reason),
                // What was done was taken back: whoever tries again begins anew.
                place: Some(Place::default()),
                ..End::new(JobState::Dead)
            },
            Next::Done(over) => self.kept(End {
                error: over.message,
                outputs: over.outputs,
                ..End::new(JobState::Done)
            }),
            Next::Act { .. } | Next::Page { .. } | Next::Load { .. } | Next::Open { .. } => {
                self.kept(End::new(JobState::Queued))
            }
        }
    }

    /// The end with where the run stands. A run that is done keeps nothing: what its steps said are
    /// values of records.
    fn kept(&self, end: End) -> End {
        if end.state == JobState::Done {
            let place = self.lease.job.place.is_some().then(Place::default);
            return End { place, ..end };
        }
        let place = self.place.clone();
        let bytes = serde_json::to_string(&place).map_or(usize::MAX, |text| text.len());
        if bytes > RUN_PLACE_MAX_BYTES {
            return End {
                status: end.status,
                ..End::never(format!(
                    "a run keeps at most {RUN_PLACE_MAX_BYTES} bytes between its steps, not {bytes}"
                ))
            };
        }
        End {
            place: Some(place),
            ..end
        }
    }

    /// How the attempt ends, after what it called has ended so.
    pub(super) fn end(
        &mut self,
        (thread, action): (u32, &Action),
        trace: &Trace,
        verdict: Verdict,
    ) -> End {
        self.place = self.before.clone();
        let (status, call_error) = match &verdict {
            Verdict::Done => (AttemptStatus::Done, None),
            Verdict::Skipped(reason) => (AttemptStatus::Skipped, Some(reason.clone())),
            Verdict::Never(reason) | Verdict::Again { reason, .. } => {
                (AttemptStatus::Failed, Some(reason.clone()))
            }
        };
        if let Verdict::Again { after, reason } = &verdict {
            let tries = (action.attempts, action.pause);
            let again = End::tried_again(self.lease, tries, reason, *after, fresh::now());
            if let Some(end) = again {
                return end;
            }
        }
        let goes_on = match &verdict {
            Verdict::Never(reason) | Verdict::Again { reason, .. } => {
                self.place.failed(thread, action, reason)
            }
            Verdict::Done | Verdict::Skipped(_) => {
                let record = trace.record.unwrap_or(self.event_record());
                let output = output(record, (&trace.mutations, &trace.made), status);
                self.place.acted(thread, action, &output);
                true
            }
        };
        let end = match goes_on {
            // Whoever tries again goes on with this step.
            false => End {
                error: call_error.clone(),
                place: self.lease.job.place.is_some().then(|| self.before.clone()),
                ..End::new(JobState::Dead)
            },
            true => match self.flow.program().settle(&mut self.place) {
                Some(next) => self.over(next),
                None => self.kept(End::new(JobState::Queued)),
            },
        };
        let is_skipped = matches!(verdict, Verdict::Skipped(_)) && end.state == JobState::Done;
        End {
            status: Some(status),
            error: end
                .error
                .or_else(|| call_error.clone().filter(|_| is_skipped)),
            call_error,
            ..end
        }
    }

    /// Where the run goes on if the action that it stands at is passed over.
    pub(super) fn pass_over(&mut self, (thread, action): (u32, &Action), error: &str) -> End {
        self.place = self.before.clone();
        self.place.passed_over(thread, action, error);
        match self.flow.program().settle(&mut self.place) {
            Some(next) => self.over(next),
            None => self.kept(End::new(JobState::Queued)),
        }
    }

    pub(super) fn event_record(&self) -> RecordId {
        self.lease.job.event.record_id
    }

    /// The event that an action is told of.
    pub(super) fn event(&self, action: &Action, item: Option<RecordId>) -> Option<Cow<'a, Event>> {
        let standing = Standing {
            event: &self.lease.job.event,
            place: &self.before,
            current: self.lease.job.current.as_ref(),
            items: &self.items,
            versions: &self.versions,
        };
        standing.told(action, item)
    }

    /// What is known of the record that an action is called on.
    pub(super) fn known(&self, item: Option<RecordId>) -> Option<(RecordId, Known)> {
        let (id, base) = match item {
            None => (self.event_record(), self.lease.job.current.clone()?),
            Some(item) => {
                let data = self.items.get(&item)?.clone()?;
                let version = self.versions.get(&item).copied()?;
                (item, Base { version, data })
            }
        };
        Some((id, Known { base, record: None }))
    }

    /// The configuration of an action, with the values of its expressions.
    pub(super) fn config(&self, action: &Action, item: Option<RecordId>) -> Result<Value, String> {
        let config = action.config();
        let context = match config.is_plain() {
            true => Value::Null,
            false => self.context(item),
        };
        let filled = config.fill(&context);
        filled.map_err(|error| format!("{}: config: {error}", action.step))
    }

    pub(super) fn context(&self, item: Option<RecordId>) -> Value {
        let of = (&self.lease.job.event, self.lease.job.current.as_ref());
        let facts = facts(self.model, of, (&self.items, &self.came), fresh::now());
        facts.context(&self.place.outputs(), item)
    }

    /// The work that the next step of a way is, in this run: the same at each attempt, whatever
    /// other ways did in between, and no other's.
    pub(super) fn key(&self, thread: u32) -> Uuid {
        let job = self.lease.job.id.uuid();
        // The low bits are random; the first step's key is the job's.
        Uuid::from_u128(job.as_u128() ^ u128::from(self.before.work(thread)))
    }

    /// What the mutations of one event are counted for: in a loop, each record's by themselves.
    pub(super) fn root(&self, item: Option<RecordId>) -> EventId {
        let event = &self.lease.job.event;
        let chain = event.cause.chain();
        let root = chain.first().map_or(event.id, |first| first.event.id);
        match item {
            None => root,
            Some(item) => {
                let job = self.lease.job.id.uuid().as_u128();
                EventId::new(Uuid::from_u128(job ^ item.uuid().as_u128()))
            }
        }
    }

    fn reader(&self) -> Option<&'a Actor> {
        match self.flow.run_as() {
            RunAs::Person => Some(&self.lease.job.event.actor),
            RunAs::Itself => None,
        }
    }

    fn scope(&self) -> Scope<'a> {
        match self.reader() {
            Some(actor) => Scope::person(self.model, actor, fresh::now()),
            None => Scope::host(self.model, fresh::now()),
        }
    }

    async fn page(
        &mut self,
        thread: u32,
        each: usize,
        cursor: Option<String>,
    ) -> Result<(), String> {
        let each = self.flow.program().each(each);
        let each = each.ok_or("the workflow has no such loop any more")?;
        let (context, scope) = (self.context(None), self.scope());
        let wanted = (each, cursor, LOOP_PAGE_MAX_RECORDS);
        let (records, next) = page_of(self.engine, scope, wanted, &context).await?;
        self.place.page(thread, records, next);
        Ok(())
    }

    async fn load(&mut self, module: &ModuleSlug, id: RecordId) -> Result<(), String> {
        let (store, tenant) = (self.engine.store(), self.lease.tenant);
        let found = crm_store::records::record_read(store, tenant, module, id).await;
        let (_, mut found) = found.map_err(|error| error.to_string())?;
        if let (Some(_), Some(reader)) = (&found, self.reader()) {
            match self
                .engine
                .check_there(self.model, reader, (module, id))
                .await
            {
                Ok(()) => {}
                Err(EngineError::Store(error)) => return Err(error.to_string()),
                Err(_) => found = None,
            }
        }
        if let Some(record) = &found {
            self.versions.insert(id, record.version);
        }
        self.items.insert(id, found.map(|record| record.data));
        Ok(())
    }
}

/// A page of a loop's records, at most `limit`, and where the next one begins.
pub(super) async fn page_of(
    engine: &Engine,
    scope: Scope<'_>,
    (each, cursor, limit): (&Loop, Option<String>, u32),
    context: &Value,
) -> Result<(Vec<RecordId>, Option<String>), String> {
    let filter = each.filter().map(|filter| filter.fill(context));
    let input = QueryInput {
        filter: filter
            .transpose()
            .map_err(|error| format!("{}: {error}", each.step))?,
        limit: Some(limit),
        cursor,
        ..QueryInput::default()
    };
    let query = Query::parse(scope, &each.module, &input)
        .map_err(|violations| format!("{}: {violations}", each.step))?;
    let page = async {
        let (store, tenant) = (engine.store(), scope.model().tenant_id());
        let mut tx = TenantTx::begin_query(store, tenant, QUERY_MAX_MILLISECONDS).await?;
        read_page(&mut tx, scope, &query).await
    };
    let page: Result<_, EngineError> = page.await;
    let page = page.map_err(|error| format!("{}: {error}", each.step))?;
    let records = page.rows.iter().map(|row| row.found.record.id);
    Ok((records.collect(), page.next_cursor))
}

/// What a program is told of the run that it goes on with, at this time.
pub(super) fn facts<'f>(
    model: &'f Model,
    (event, current): (&'f Event, Option<&'f Base>),
    (items, came): (
        &'f BTreeMap<RecordId, Option<Data>>,
        &'f BTreeMap<u64, Came>,
    ),
    now: DateTime<Utc>,
) -> Facts<'f> {
    Facts {
        event,
        record: current.map(|base| &base.data),
        items,
        came,
        now,
        settings: model.settings(),
    }
}

/// What later steps can say of this one.
pub(super) fn output(
    record: RecordId,
    (mutations, made): (&[Mutation], &[RecordId]),
    status: AttemptStatus,
) -> Output {
    let mut made = made.iter();
    let (mut created, mut set) = (Vec::new(), Data::new());
    if status == AttemptStatus::Done {
        for mutation in mutations {
            match mutation {
                Mutation::Create { module, .. } => {
                    created.push(json!({ "module": module, "id": made.next() }));
                }
                Mutation::Update {
                    record_id, patch, ..
                } if *record_id == record => set.extend(patch.clone()),
                _ => {}
            }
        }
    }
    Output {
        status: match status {
            AttemptStatus::Skipped => "skipped",
            _ => "done",
        },
        created,
        set: Value::Object(set),
    }
}
