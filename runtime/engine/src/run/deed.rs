//! What a workflow is tried on: something that somebody would do, the event that it would leave
//! behind, and the changes that each further step is tried after.

use crm_model::permission::{Authority, RunAs};
use crm_model::{
    Actor, Cause, Data, Event, EventId, EventKind, Grant, Model, ModuleSlug, Mutation, RecordId,
};
use crm_store::records::Record;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

use crate::write::{Operation, Outcome, Proposal, Written};
use crate::{Engine, EngineError, fresh};

/// What somebody would do.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Create such a record.
    Create(Data),
    /// Change a record like this.
    Update(RecordId, Data),
    Delete(RecordId),
    /// Whatever starts the workflow happens to this record, which stays as it is.
    Nothing(RecordId),
    /// Whatever starts the workflow happens, with this in its payload, and to no record.
    Tell(Value),
}

/// Changes that were tried, on whose word.
pub(super) struct Taken {
    /// None: the person's own.
    pub(super) by: Option<(Grant, RunAs)>,
    pub(super) cause: Cause,
    pub(super) operations: Vec<Operation>,
    pub(super) new_ids: HashMap<usize, RecordId>,
}

impl Engine {
    /// The event that the deed would leave behind, and the deed to be done again before each step.
    pub(super) async fn done_for_trial(
        &self,
        model: &Model,
        actor: &Actor,
        (module, trigger): (&ModuleSlug, EventKind),
        deed: Deed,
    ) -> Result<(Event, Vec<Taken>), EngineError> {
        let event = |kind, record: &Record, before: Option<Data>, after: Option<Data>| Event {
            id: EventId::new(fresh::id()),
            kind,
            module: module.clone(),
            record_id: record.id,
            record_version: record.version,
            changed_fields: changed(before.as_ref(), after.as_ref()),
            before,
            after,
            payload: None,
            actor: actor.clone(),
            cause: Cause::User,
            depth: 0,
            occurred_at: fresh::now(),
        };
        let there = match &deed {
            Deed::Create(_) | Deed::Tell(_) => None,
            Deed::Update(record, _) | Deed::Delete(record) | Deed::Nothing(record) => {
                let (store, tenant) = (self.store(), model.tenant_id());
                let (_, found) =
                    crm_store::records::record_read(store, tenant, module, *record).await?;
                let found = found.filter(|found| found.deleted_at.is_none());
                Some(found.ok_or(EngineError::NotFound("record"))?)
            }
        };
        let mutation = match (deed, &there) {
            (Deed::Create(data), _) => Mutation::Create {
                module: module.clone(),
                data,
            },
            (Deed::Update(record_id, patch), _) => Mutation::Update {
                module: module.clone(),
                record_id,
                expected_version: None,
                patch,
            },
            (Deed::Delete(record_id), _) => Mutation::Delete {
                module: module.clone(),
                record_id,
                expected_version: None,
            },
            (Deed::Nothing(_), Some(there)) => {
                let data = there.data.clone();
                let before = (trigger != EventKind::RecordCreated).then(|| data.clone());
                let after = (trigger != EventKind::RecordDeleted).then_some(data);
                let mut event = event(trigger, there, before, after);
                event.changed_fields = there
                    .data
                    .keys()
                    .filter_map(|key| key.parse().ok())
                    .collect();
                return Ok((event, Vec::new()));
            }
            (Deed::Nothing(_), None) => return Err(EngineError::NotFound("record")),
            (Deed::Tell(payload), _) => {
                return Ok((of_no_record(module, trigger, actor, payload), Vec::new()));
            }
        };
        let taken = vec![Taken {
            by: None,
            cause: Cause::User,
            operations: vec![Operation::Mutation(mutation)],
            new_ids: HashMap::from([(0, RecordId::new(fresh::id()))]),
        }];
        let (outcomes, _) = self.try_taken(model, actor, &taken, &[]).await?;
        let written = outcomes.into_iter().next();
        let written = written.ok_or_else(|| EngineError::Internal("no outcome".to_owned()))??;
        let before = there.as_ref().map(|there| there.data.clone());
        let told = match (written, there) {
            (Written::Created(record), _) => event(
                EventKind::RecordCreated,
                &record,
                None,
                Some(record.data.clone()),
            ),
            (Written::Updated(record), _) => event(
                EventKind::RecordUpdated,
                &record,
                before,
                Some(record.data.clone()),
            ),
            (_, Some(there)) => event(EventKind::RecordDeleted, &there, before, None),
            (_, None) => return Err(EngineError::Internal("no record".to_owned())),
        };
        Ok((told, taken))
    }

    /// What would become of the last of these, after the others.
    pub(super) async fn try_taken(
        &self,
        model: &Model,
        actor: &Actor,
        taken: &[Taken],
        look: &[RecordId],
    ) -> Result<(Vec<Outcome>, Vec<Record>), EngineError> {
        let proposals = taken.iter().map(|taken| Proposal {
            tenant: model.tenant_id(),
            authority: match &taken.by {
                None => Authority::User(actor),
                Some((grant, run_as)) => Authority::Plugin {
                    grant,
                    behalf_of: actor,
                    run_as: *run_as,
                },
            },
            cause: &taken.cause,
            depth: 0,
            operations: &taken.operations,
            atomic: true,
            workflows: false,
            dry_run: true,
            known: HashMap::new(),
            new_ids: taken.new_ids.clone(),
            completion: None,
            receipt: None,
            place: None,
            priority: crm_model::Priority::Normal,
        });
        let proposals: Vec<Proposal<'_>> = proposals.collect();
        self.propose_trial(model, &proposals, look).await
    }
}

fn of_no_record(module: &ModuleSlug, kind: EventKind, actor: &Actor, payload: Value) -> Event {
    Event {
        id: EventId::new(fresh::id()),
        kind,
        module: module.clone(),
        record_id: RecordId::new(Uuid::nil()),
        record_version: 0,
        before: None,
        after: None,
        changed_fields: Vec::new(),
        payload: Some(payload),
        actor: actor.clone(),
        cause: Cause::User,
        depth: 0,
        occurred_at: fresh::now(),
    }
}

fn changed(before: Option<&Data>, after: Option<&Data>) -> Vec<crm_model::FieldKey> {
    let empty = Data::new();
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differs = keys
        .into_iter()
        .filter(|key| before.get(*key) != after.get(*key));
    differs.filter_map(|key| key.parse().ok()).collect()
}
