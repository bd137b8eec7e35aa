//! The one door. Every change of a record, a person's or a plugin's, goes through here: the
//! permission is asked for, the data validated, the jobs that follow are found, and all of it is
//! committed in one statement. Optimistic: whoever finds the record or the model changed starts
//! again.

use chrono::{DateTime, Utc};
use crm_model::limits::{CHAIN_MAX_DEPTH, WRITE_MAX_RETRIES};
use crm_model::permission::{Authority, permit, permit_activity};
use crm_model::validate::{Base, Surroundings, Validated, action_of, validate};
use crm_model::{
    ActivityId, Actor, Cause, Denied, Event, EventId, JobId, Model, Mutation, RecordId, Refusal,
    TenantId, ValidChange, Violations,
};
use crm_store::commit::{ActivityRow, Commit, Completion, NewJob};
use crm_store::records::Record;
use crm_store::{StoreError, TenantTx};
use std::collections::{BTreeMap, HashMap};

use crate::{Engine, EngineError, fresh};

/// Mutations on their way in.
#[derive(Clone)]
pub(crate) struct Proposal<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) authority: Authority<'a>,
    pub(crate) cause: &'a Cause,
    pub(crate) depth: u32,
    /// At most one change for each record; see [`crate::run`], which folds them.
    pub(crate) mutations: &'a [Mutation],
    /// Records as they were read a moment ago.
    pub(crate) known: HashMap<RecordId, Known>,
    /// The job whose result this is.
    pub(crate) completion: Option<Completion>,
}

/// A record as it was read, with the rest of its row where that was read too.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) base: Base,
    pub(crate) record: Option<Record>,
}

/// What became of one mutation.
#[derive(Clone, Debug)]
pub enum Written {
    /// The record as it is now.
    Record(Box<Record>),
    /// The record is gone.
    Deleted { version: i64 },
    /// The timeline has this entry.
    Activity(ActivityId),
}

struct Prepared {
    at: DateTime<Utc>,
    changes: Vec<(EventId, ValidChange)>,
    jobs: Vec<NewJob>,
    activities: Vec<ActivityRow>,
    written: Vec<Written>,
}

impl Engine {
    /// Does what a person asks. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`EngineError::Refused`] with every violation; [`EngineError::Store`] where the database
    /// is away.
    pub async fn write(
        &self,
        tenant: TenantId,
        actor: Actor,
        mutation: Mutation,
    ) -> Result<Written, EngineError> {
        let engine = self.clone();
        let task = tokio::spawn(async move {
            let proposal = Proposal {
                tenant,
                authority: Authority::User(&actor),
                cause: &Cause::User,
                depth: 0,
                mutations: std::slice::from_ref(&mutation),
                known: HashMap::new(),
                completion: None,
            };
            engine.propose(proposal).await
        });
        let written = task
            .await
            .map_err(|error| EngineError::Internal(error.to_string()))??;
        let first = written.into_iter().next();
        first.ok_or_else(|| EngineError::Internal("a write without a result".to_owned()))
    }

    /// Validates and commits all of a proposal, or nothing.
    pub(crate) async fn propose(
        &self,
        mut proposal: Proposal<'_>,
    ) -> Result<Vec<Written>, EngineError> {
        for _ in 0..=WRITE_MAX_RETRIES {
            let Some(module) = proposal.mutations.first().map(Mutation::module) else {
                return Err(EngineError::Internal("an empty proposal".to_owned()));
            };
            let model = self.model_guess(proposal.tenant, module).await?;
            self.read_known(&mut proposal, &model).await?;
            let prepared = prepare(&model, &proposal);
            if prepared.is_err() && self.model_is_old(&model).await? {
                self.model_forget(proposal.tenant);
                continue;
            }
            let prepared = prepared?;
            self.check_references(proposal.tenant, &model, &prepared)
                .await?;
            match self.commit(&proposal, &model, &prepared).await {
                Ok(()) => return Ok(prepared.written),
                Err(StoreError::StaleModel) => self.model_forget(proposal.tenant),
                Err(StoreError::StaleRecord) => proposal.known.clear(),
                Err(other) => return Err(other.into()),
            }
        }
        Err(EngineError::Contended)
    }

    /// A refusal counts only under the model of now.
    async fn model_is_old(&self, model: &Model) -> Result<bool, EngineError> {
        let tx = TenantTx::begin(self.store(), model.tenant_id()).await?;
        Ok(tx.model_version() != Some(model.version()))
    }

    async fn read_known(
        &self,
        proposal: &mut Proposal<'_>,
        model: &Model,
    ) -> Result<(), EngineError> {
        for mutation in proposal.mutations {
            let Some(id) = mutation.record_id() else {
                continue;
            };
            if proposal.known.contains_key(&id) || model.module(mutation.module()).is_none() {
                continue;
            }
            let (_, record) = crm_store::records::record_read(
                self.store(),
                proposal.tenant,
                mutation.module(),
                id,
            )
            .await?;
            if let Some(record) = record {
                let base = Base {
                    version: record.version,
                    data: record.data.clone(),
                };
                proposal.known.insert(
                    id,
                    Known {
                        base,
                        record: Some(record),
                    },
                );
            }
        }
        Ok(())
    }

    async fn check_references(
        &self,
        tenant: TenantId,
        model: &Model,
        prepared: &Prepared,
    ) -> Result<(), EngineError> {
        let references: Vec<_> = prepared
            .changes
            .iter()
            .filter_map(|(_, change)| Some((change, model.module(change.module())?)))
            .flat_map(|(change, module)| change.new_references(module))
            .collect();
        if references.is_empty() {
            return Ok(());
        }
        let ids: Vec<RecordId> = references.iter().map(|(_, _, record)| *record).collect();
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let present = crm_store::records::records_present(&mut tx, &ids).await?;
        drop(tx);
        let mut violations = Violations::default();
        for (field, module, record) in references {
            if !present
                .iter()
                .any(|(found, id)| found == module && *id == record)
            {
                let message = format!("there is no such record in “{module}”");
                violations.add(format!("/data/{field}"), "relation", message);
            }
        }
        violations.into_result().map_err(EngineError::invalid)
    }

    async fn commit(
        &self,
        proposal: &Proposal<'_>,
        model: &Model,
        prepared: &Prepared,
    ) -> Result<(), StoreError> {
        let nothing = prepared.changes.is_empty() && prepared.activities.is_empty();
        if nothing && proposal.completion.is_none() {
            return Ok(());
        }
        let commit = Commit {
            tenant: proposal.tenant,
            model_version: model.version(),
            at: prepared.at,
            actor: proposal.authority.actor(),
            cause: proposal.cause,
            depth: proposal.depth,
            changes: prepared
                .changes
                .iter()
                .map(|(event, change)| (*event, change))
                .collect(),
            jobs: prepared.jobs.clone(),
            activities: prepared.activities.clone(),
            completion: proposal.completion.clone(),
        };
        crm_store::commit::commit(self.store(), commit).await?;
        for (_, change) in &prepared.changes {
            metrics::counter!("crm_events_total", "kind" => change.kind().name()).increment(1);
        }
        if !prepared.jobs.is_empty() {
            self.inner.jobs_waiting.notify_one();
        }
        Ok(())
    }
}

/// Asks the model about each mutation, and finds the jobs that follow.
fn prepare(model: &Model, proposal: &Proposal<'_>) -> Result<Prepared, EngineError> {
    let mut prepared = Prepared {
        at: fresh::now(),
        changes: Vec::new(),
        jobs: Vec::new(),
        activities: Vec::new(),
        written: Vec::new(),
    };
    for mutation in proposal.mutations {
        let module = mutation.module();
        let known = mutation.record_id().and_then(|id| proposal.known.get(&id));
        if let Mutation::Activity {
            record_id,
            activity,
            ..
        } = mutation
        {
            permit_activity(model, proposal.authority, module)?;
            if known.is_none() {
                return Err(Refusal::NotFound.into());
            }
            let id = ActivityId::new(fresh::id());
            prepared.activities.push(ActivityRow {
                id,
                module: module.clone(),
                record_id: *record_id,
                kind: activity.kind(),
                title: activity.title().to_owned(),
                body: activity.body().map(str::to_owned),
            });
            prepared.written.push(Written::Activity(id));
            continue;
        }
        let permit = permit(model, proposal.authority, action_of(mutation), module)?;
        let record_id = mutation
            .record_id()
            .unwrap_or_else(|| RecordId::new(fresh::id()));
        let base = known.map(|known| &known.base);
        let surroundings = Surroundings {
            at: prepared.at,
            related: &BTreeMap::new(),
            numbers: &BTreeMap::new(),
            rollups: &BTreeMap::new(),
        };
        match validate(model, &permit, mutation, record_id, base, &surroundings)? {
            Validated::Purge(_) => {}
            Validated::Unchanged => {
                let record = known.and_then(|known| known.record.clone());
                prepared
                    .written
                    .extend(record.map(|record| Written::Record(Box::new(record))));
            }
            Validated::Change(change) => {
                let event = EventId::new(fresh::id());
                prepared
                    .jobs
                    .extend(jobs_of(model, proposal, &prepared, event, &change));
                prepared
                    .written
                    .push(written(proposal, prepared.at, known, &change));
                prepared.changes.push((event, change));
            }
        }
    }
    Ok(prepared)
}

fn written(
    proposal: &Proposal<'_>,
    at: DateTime<Utc>,
    known: Option<&Known>,
    change: &ValidChange,
) -> Written {
    let Some(after) = change.after() else {
        return Written::Deleted {
            version: change.version(),
        };
    };
    let user = proposal.authority.actor().user_id.as_str();
    let before = known.and_then(|known| known.record.as_ref());
    Written::Record(Box::new(Record {
        id: change.record_id(),
        module: change.module().clone(),
        version: change.version(),
        data: after.clone(),
        owner_id: before
            .map_or(user, |record| record.owner_id.as_str())
            .to_owned(),
        created_at: before.map_or(at, |record| record.created_at),
        created_by: before
            .map_or(user, |record| record.created_by.as_str())
            .to_owned(),
        updated_at: at,
        updated_by: user.to_owned(),
    }))
}

/// One job for each workflow that the change starts. What must not start is a job too, born
/// dead, so that people can see it.
fn jobs_of(
    model: &Model,
    proposal: &Proposal<'_>,
    prepared: &Prepared,
    event_id: EventId,
    change: &ValidChange,
) -> Vec<NewJob> {
    if model
        .workflows()
        .iter()
        .all(|workflow| workflow.definition().module != *change.module())
    {
        return Vec::new();
    }
    let event = Event {
        id: event_id,
        kind: change.kind(),
        module: change.module().clone(),
        record_id: change.record_id(),
        record_version: change.version(),
        before: change.before().cloned(),
        after: change.after().cloned(),
        changed_fields: change.changed().to_vec(),
        actor: proposal.authority.actor().clone(),
        cause: proposal.cause.clone(),
        depth: proposal.depth,
        occurred_at: prepared.at,
    };
    let triggered = model
        .workflows()
        .iter()
        .filter(|workflow| workflow.is_triggered_by(&event));
    triggered
        .filter_map(|workflow| {
            let error = match workflow.condition_holds(&event) {
                Ok(false) => return None,
                Ok(true) if event.depth > CHAIN_MAX_DEPTH => Some(format!(
                    "the chain is cut here: more than {CHAIN_MAX_DEPTH} workflow runs caused \
                     each other"
                )),
                Ok(true) => None,
                Err(message) => Some(message),
            };
            Some(NewJob {
                id: JobId::new(fresh::id()),
                workflow: workflow.definition().slug.clone(),
                event_id,
                module: event.module.clone(),
                record_id: event.record_id,
                error,
            })
        })
        .collect()
}

/// Whether a refusal says that the thing is not there for this caller.
pub fn is_invisible(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NotFound | Refusal::Denied(Denied::Invisible { .. })
    )
}
