//! Judging: every operation becomes a change with all that follows from it, or a refusal. No
//! I/O: what is needed was gathered before.

use chrono::{DateTime, Utc};
use crm_model::derived::{Derived, Entry};
use crm_model::permission::{Authority, permit, permit_activity};
use crm_model::sight::Sight;
use crm_model::validate::{Base, Surroundings, Validated, action_of, validate};
use crm_model::{
    ActivityId, Data, Denied, EventId, EventKind, FieldKey, Model, Module, ModuleSlug, Mutation,
    Permit, RecordId, Refusal, ValidChange, Violations,
};
use crm_store::commit::{ActivityRow, Change, Commit, NewJob};
use crm_store::records::Record;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::gather::takes_numbers;
use super::hooks::Answered;
use super::jobs::jobs_of;
use super::reach::Closed;
use super::{Engine, Known, Outcome, Proposal, Written};
use crate::meter::Room;
use crate::{EngineError, fresh};

/// What operations are judged by.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) known: HashMap<RecordId, Known>,
    /// What of it is closed to who asks.
    pub(super) closed: Closed,
    /// Data of records that formulas look into.
    pub(super) related: BTreeMap<RecordId, Data>,
    /// The next numbers of auto number fields, by module.
    pub(super) numbers: BTreeMap<ModuleSlug, BTreeMap<FieldKey, i64>>,
    /// What the template's hook said of the operations.
    pub(super) said: HashMap<usize, Arc<Answered>>,
    /// What it was asked about that can be made as it is, by the same data at the same time.
    pub(super) valid: HashMap<usize, ValidChange>,
}

/// An operation that has been resolved to a mutation, or refused before that.
pub(super) enum Resolved<'a> {
    Mutation(Cow<'a, Mutation>),
    Refused(EngineError),
}

impl Resolved<'_> {
    pub(super) fn mutation(&self) -> Option<&Mutation> {
        match self {
            Self::Mutation(mutation) => Some(mutation),
            Self::Refused(_) => None,
        }
    }
}

/// A change that is about to be committed.
pub(super) struct PreparedChange {
    /// The operation that asked for it, or that it follows from.
    pub(super) operation: usize,
    pub(super) event: EventId,
    pub(super) change: ValidChange,
    pub(super) derived: Derived,
    pub(super) references: Vec<(FieldKey, ModuleSlug, RecordId)>,
}

/// Everything that one commit writes, and what comes of each operation.
pub(super) struct Prepared {
    pub(super) at: DateTime<Utc>,
    pub(super) changes: Vec<PreparedChange>,
    pub(super) jobs: Vec<NewJob>,
    pub(super) activities: Vec<ActivityRow>,
    pub(super) clear: Vec<Entry>,
    pub(super) outcomes: Vec<Outcome>,
    /// What the tenant may still add, after these changes.
    pub(super) rooms: Rooms,
}

/// Room for more of what the tenant may not have without end; none where there is no limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Rooms {
    pub(super) records: Option<Room>,
    pub(super) jobs: Option<Room>,
}

impl Rooms {
    /// Takes room for a change and the runs that it starts, all of it or none.
    fn take(&mut self, kind: EventKind, jobs: i64) -> Result<(), EngineError> {
        let records = records_of(kind);
        for (room, wanted) in [(&self.records, records), (&self.jobs, jobs)] {
            if let Some(room) = room
                && wanted > 0
                && room.left < wanted
            {
                return Err(EngineError::Quota(room.spent.clone()));
            }
        }
        for (room, taken) in [(&mut self.records, records), (&mut self.jobs, jobs)] {
            if let Some(room) = room {
                room.left -= taken;
            }
        }
        Ok(())
    }
}

/// How many records there are more after a change.
fn records_of(kind: EventKind) -> i64 {
    match kind {
        EventKind::RecordCreated | EventKind::RecordRestored => 1,
        EventKind::RecordDeleted => -1,
        // The others change no record.
        _ => 0,
    }
}

/// Runs that will wait; those that were born dead do not.
fn waiting(jobs: &[NewJob]) -> i64 {
    let waiting = jobs.iter().filter(|job| job.error.is_none()).count();
    i64::try_from(waiting).unwrap_or(i64::MAX)
}

/// Where [`Prepared::back_to`] goes back to.
pub(super) struct Mark {
    lengths: [usize; 4],
    rooms: Rooms,
}

impl Prepared {
    pub(super) fn new(rooms: Rooms, at: DateTime<Utc>) -> Self {
        Self {
            rooms,
            at,
            changes: Vec::new(),
            jobs: Vec::new(),
            activities: Vec::new(),
            clear: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.outcomes.iter().any(Result::is_err)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            lengths: [
                self.changes.len(),
                self.jobs.len(),
                self.activities.len(),
                self.clear.len(),
            ],
            rooms: self.rooms.clone(),
        }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        let [changes, jobs, activities, clear] = mark.lengths;
        self.changes.truncate(changes);
        self.jobs.truncate(jobs);
        self.activities.truncate(activities);
        self.clear.truncate(clear);
        self.rooms = mark.rooms;
    }

    /// How many records there are more once this is committed, and how many more runs wait.
    pub(super) fn added(&self) -> (i64, i64) {
        let kinds = self.changes.iter().map(|change| change.change.kind());
        (kinds.map(records_of).sum(), waiting(&self.jobs))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.activities.is_empty()
    }

    pub(super) fn commit<'a>(&'a self, model: &Model, proposal: &'a Proposal<'_>) -> Commit<'a> {
        Commit {
            tenant: proposal.tenant,
            model_version: model.version(),
            at: self.at,
            actor: proposal.authority.actor(),
            cause: proposal.cause,
            depth: proposal.depth,
            changes: self.changes.iter().map(PreparedChange::row).collect(),
            clear: &self.clear,
            jobs: &self.jobs,
            activities: &self.activities,
            completion: None,
            receipt: None,
        }
    }

    /// Judges one mutation and adds what comes of it; `by` is the operation that asks for it,
    /// and on whose authority.
    pub(super) fn add(
        &mut self,
        model: &Model,
        proposal: &Proposal<'_>,
        by: (usize, Authority<'_>),
        mutation: &Mutation,
        gathered: &mut Gathered,
    ) -> Outcome {
        let (operation, authority) = by;
        let module = mutation.module();
        let valid = gathered.valid.remove(&operation);
        let known = known_of(authority, mutation, gathered);
        if let Mutation::Activity {
            record_id,
            activity,
            ..
        } = mutation
        {
            permit_activity(model, authority, module)?;
            if known.is_none() {
                return Err(Refusal::NotFound.into());
            }
            check_open(gathered, authority, mutation)?;
            let of = Engine::module_of(model, module)?;
            let checked = activity.check(of, authority).map_err(Refusal::Invalid)?;
            let row = ActivityRow {
                id: ActivityId::new(fresh::id()),
                module: module.clone(),
                record_id: *record_id,
                kind: checked.0,
                content: checked.1,
            };
            let written = row.activity(proposal.authority.actor(), proposal.cause, self.at);
            self.activities.push(row);
            return Ok(Written::Activity(Box::new(written)));
        }
        let permit = permit(model, authority, action_of(mutation), module)?;
        if known.is_some() {
            check_open(gathered, authority, mutation)?;
        }
        let is_numbered = takes_numbers(model, mutation, known);
        let said = match authority {
            // What follows from another change is nobody's to judge.
            Authority::Host(_) => None,
            _ => gathered.said.get(&operation).map(AsRef::as_ref),
        };
        let record_id = mutation
            .record_id()
            .or(said.map(|said| said.record_id))
            .or(proposal.new_ids.get(&operation).copied())
            .unwrap_or_else(|| RecordId::new(fresh::id()));
        let nothing = BTreeMap::new();
        let numbers = gathered.numbers.get(module).unwrap_or(&nothing);
        let surroundings = Surroundings {
            at: self.at,
            related: &gathered.related,
            numbers,
            made: known.and_then(Known::made),
            rollups: &BTreeMap::new(),
            added: None,
        };
        let base = known.map(|known| &known.base);
        let judge = |added: Option<&Data>| {
            let surroundings = Surroundings {
                added,
                ..surroundings.clone()
            };
            validate(model, &permit, mutation, record_id, base, &surroundings)
        };
        let validated = match (said, valid) {
            (None, _) => judge(None)?,
            (Some(said), Some(valid)) if said.is_fine() => Validated::Change(valid),
            (Some(said), _) => judge_with(said, Engine::module_of(model, module)?, &permit, judge)?,
        };
        let outcome = match validated {
            Validated::Purge(_) => Err(EngineError::Internal("a purge in a batch".to_owned())),
            Validated::Unchanged => {
                let known = known.ok_or(Refusal::NotFound)?;
                let Base { version, data } = &known.base;
                let mut record = known.record.clone().unwrap_or_else(|| {
                    // A run knows of its record what stands in it, and asks for no more.
                    let what = (*version, data.clone());
                    seen((record_id, module), what, (proposal, self.at))
                });
                record.data = permit.sight().show(&record.data).into_owned();
                Ok(Written::Updated(Box::new(record)))
            }
            Validated::Change(change) => {
                let written = written(proposal, permit.sight(), self.at, known, &change);
                self.push(model, proposal, operation, change)?;
                Ok(written)
            }
        };
        if is_numbered && outcome.is_ok() {
            for next in gathered
                .numbers
                .get_mut(module)
                .into_iter()
                .flat_map(BTreeMap::values_mut)
            {
                *next += 1;
            }
        }
        outcome
    }

    /// Adds a change with what follows from it.
    pub(super) fn push(
        &mut self,
        model: &Model,
        proposal: &Proposal<'_>,
        operation: usize,
        change: ValidChange,
    ) -> Result<(), EngineError> {
        let module = Engine::module_of(model, change.module())?;
        let event = EventId::new(fresh::id());
        let jobs = jobs_of(model, proposal, self.at, event, &change);
        self.rooms.take(change.kind(), waiting(&jobs))?;
        self.jobs.extend(jobs);
        let references = change
            .new_references(module)
            .map(|(field, target, record)| (field.clone(), target.clone(), record))
            .collect();
        self.changes.push(PreparedChange {
            operation,
            event,
            derived: Derived::of(module, change.before(), change.after()),
            references,
            change,
        });
        Ok(())
    }
}

impl PreparedChange {
    fn row(&self) -> Change<'_> {
        Change {
            event: self.event,
            change: &self.change,
            derived: &self.derived,
            references: self
                .references
                .iter()
                .map(|(_, module, record)| (module, *record))
                .collect(),
        }
    }
}

/// Judges a change with what the template's hook said of it.
fn judge_with(
    said: &Answered,
    module: &Module,
    permit: &Permit<'_>,
    judge: impl Fn(Option<&Data>) -> Result<Validated, Refusal>,
) -> Result<Validated, Refusal> {
    let (validated, objections) = match judge(said.patch()) {
        Err(Refusal::Added(violations)) => (judge(None), said.misfit(&violations)),
        other => (other, said.objections(module, permit.sight())),
    };
    if objections.is_empty() {
        return validated;
    }
    // Everything that is wrong is told at once.
    let mut violations = match validated {
        Err(Refusal::Invalid(violations)) => violations,
        Ok(_) => Violations::default(),
        Err(other) => return Err(other),
    };
    violations.extend(objections);
    Err(Refusal::Invalid(violations))
}

/// The record that a mutation is about, where it is there for who asks.
pub(super) fn known_of<'g>(
    authority: Authority<'_>,
    mutation: &Mutation,
    gathered: &'g Gathered,
) -> Option<&'g Known> {
    let is_asked = authority.reader().is_some();
    let id = mutation.record_id()?;
    if is_asked && gathered.closed.hides(id) {
        return None;
    }
    let known = gathered.known.get(&id)?;
    let is_of_module = known
        .record
        .as_ref()
        .is_none_or(|record| record.module == *mutation.module());
    let is_wanted = known.is_deleted() == matches!(mutation, Mutation::Restore { .. });
    (is_of_module && is_wanted).then_some(known)
}

/// That a record which is there for who asks is open for what they ask.
pub(super) fn check_open(
    gathered: &Gathered,
    authority: Authority<'_>,
    mutation: &Mutation,
) -> Result<(), EngineError> {
    let action = action_of(mutation);
    let is_asked = authority.reader().is_some();
    let refuses = |id| gathered.closed.refuses(id, action);
    if is_asked && mutation.record_id().is_some_and(refuses) {
        let module = mutation.module().clone();
        return Err(Refusal::Denied(Denied::OutOfReach { module, action }).into());
    }
    Ok(())
}

/// A record of which nothing is known but what stands in it: as if it were new.
fn seen(
    (id, module): (RecordId, &ModuleSlug),
    (version, data): (i64, Data),
    (proposal, at): (&Proposal<'_>, DateTime<Utc>),
) -> Record {
    let user = proposal.authority.actor().user_id.to_string();
    Record {
        id,
        module: module.clone(),
        version,
        data,
        owner_id: user.clone(),
        created_at: at,
        created_by: user.clone(),
        updated_at: at,
        updated_by: user,
        deleted_at: None,
    }
}

fn written(
    proposal: &Proposal<'_>,
    sight: &Sight<'_>,
    at: DateTime<Utc>,
    known: Option<&Known>,
    change: &ValidChange,
) -> Written {
    let Some(after) = change.after() else {
        return Written::Deleted {
            version: change.version(),
        };
    };
    let of = (change.record_id(), change.module());
    let what = (change.version(), sight.show(after).into_owned());
    let mut record = Box::new(seen(of, what, (proposal, at)));
    if let Some(before) = known.and_then(|known| known.record.as_ref()) {
        record.owner_id.clone_from(&before.owner_id);
        record.created_at = before.created_at;
        record.created_by.clone_from(&before.created_by);
    }
    if let Some(owner) = change.owner() {
        owner.as_str().clone_into(&mut record.owner_id);
    }
    if change.base_version() == 0 {
        Written::Created(record)
    } else {
        Written::Updated(record)
    }
}
