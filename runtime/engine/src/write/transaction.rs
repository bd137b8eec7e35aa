//! The long way: many records, or records that others follow, in one transaction. Operations go
//! in waves, one commit statement each; a record stands at most once in a wave, so a later wave
//! sees what an earlier one did.

use crm_model::limits::COMMIT_MAX_CHANGES;
use crm_model::{Model, Mutation};
use crm_store::TenantTx;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::conflict::{self, Fault};
use super::gather::{Reading, gather_within, resolve};
use super::hooks::{Hooks, Question};
use super::prepare::{Gathered, Prepared, Resolved, Rooms};
use super::{Attempt, Changed, Operation, Outcome, Proposal, reach};
use crate::receipt::receipt_keep;
use crate::{Engine, EngineError, fresh};

/// How a wave ended.
enum Wave {
    Done(Vec<Prepared>, Vec<Outcome>),
    /// Start the whole transaction again.
    Again,
    /// The same, when the template's hook has said something to these changes.
    Ask(Vec<Question>),
}

/// How all waves of a proposal ended.
pub(super) enum Waves {
    Done(Vec<Prepared>, Vec<Outcome>),
    Again,
    Ask(Vec<Question>),
}

/// How a transaction ended.
enum Ended {
    Attempt(Attempt),
    Ask(Vec<Question>),
}

/// What a wave is made of.
enum Judged {
    Prepared(Box<Prepared>),
    Ask(Vec<Question>),
}

impl Engine {
    /// One transaction; more where the template's hook has to be asked in between, which is done
    /// while none is open.
    pub(super) async fn attempt_in_transactions(
        &self,
        model: &Model,
        proposal: &Proposal<'_>,
        rooms: &Rooms,
        hooks: &mut Hooks,
    ) -> Result<Attempt, EngineError> {
        if model.hooks().is_some() {
            self.ask_ahead(model, proposal, hooks).await?;
        }
        loop {
            let by = (proposal, rooms);
            match self.attempt_in_transaction(model, by, hooks).await? {
                Ended::Attempt(attempt) => return Ok(attempt),
                Ended::Ask(questions) => {
                    if !hooks.next_round() {
                        return Ok(Attempt::Again(Changed::Record));
                    }
                    self.before_save((model, proposal.tenant), questions, hooks)
                        .await;
                }
            }
        }
    }

    /// Asks the hook about all operations as they would be now. Where that is no longer so when
    /// they are made, it is asked again.
    async fn ask_ahead(
        &self,
        model: &Model,
        proposal: &Proposal<'_>,
        hooks: &mut Hooks,
    ) -> Result<(), EngineError> {
        let reader = proposal.authority.reader();
        for (chunk, operations) in proposal.operations.chunks(COMMIT_MAX_CHANGES).enumerate() {
            let mut tx = TenantTx::begin(self.store(), proposal.tenant).await?;
            let resolved = resolve(&mut tx, model, reader, operations).await?;
            let mutations: Vec<&Mutation> =
                resolved.iter().filter_map(Resolved::mutation).collect();
            let how = (reader, Reading::Free);
            let gathered = gather_within(&mut tx, model, &mutations, how).await?;
            drop(tx);
            let numbered = numbered(&resolved, chunk * COMMIT_MAX_CHANGES);
            let questions = hooks.questions((model, proposal), numbered, &gathered, fresh::now());
            self.before_save((model, proposal.tenant), questions, hooks)
                .await;
        }
        Ok(())
    }

    async fn attempt_in_transaction(
        &self,
        model: &Model,
        (proposal, rooms): (&Proposal<'_>, &Rooms),
        hooks: &mut Hooks,
    ) -> Result<Ended, EngineError> {
        let mut tx = TenantTx::begin(self.store(), proposal.tenant).await?;
        if tx.model_version() != Some(model.version()) {
            return Ok(Ended::Attempt(Attempt::Again(Changed::Model)));
        }
        let by = (proposal, rooms);
        let (committed, mut outcomes) = match self.waves(&mut tx, model, by, hooks).await? {
            Waves::Done(committed, outcomes) => (committed, outcomes),
            Waves::Again => return Ok(Ended::Attempt(Attempt::Again(Changed::Record))),
            Waves::Ask(questions) => return Ok(Ended::Ask(questions)),
        };
        let refused = outcomes.iter().any(Result::is_err);
        if proposal.dry_run || (refused && proposal.atomic) {
            outcomes.resize_with(proposal.operations.len(), || Err(EngineError::NotTried));
            return Ok(Ended::Attempt(Attempt::Done(outcomes)));
        }
        self.finish(tx, proposal, &outcomes).await?;
        for prepared in &committed {
            self.announce(proposal.tenant, prepared);
        }
        Ok(Ended::Attempt(Attempt::Done(outcomes)))
    }

    /// All waves, in a transaction that somebody else ends.
    pub(super) async fn waves(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        (proposal, rooms): (&Proposal<'_>, &Rooms),
        hooks: &mut Hooks,
    ) -> Result<Waves, EngineError> {
        let mut outcomes = Vec::with_capacity(proposal.operations.len());
        let mut committed: Vec<Prepared> = Vec::new();
        let mut rooms = rooms.clone();
        for range in waves(model, proposal.operations) {
            let by = (proposal, &rooms);
            let (prepared, wave) = match self.wave(tx, model, by, range, hooks).await? {
                Wave::Done(prepared, wave) => (prepared, wave),
                Wave::Again => return Ok(Waves::Again),
                Wave::Ask(questions) => return Ok(Waves::Ask(questions)),
            };
            if let Some(last) = prepared.last() {
                rooms = last.rooms.clone();
            }
            let refused = wave.iter().any(Result::is_err);
            committed.extend(prepared);
            outcomes.extend(wave);
            if refused && proposal.atomic && !proposal.dry_run {
                break;
            }
        }
        Ok(Waves::Done(committed, outcomes))
    }

    /// The end of the job and the answer to keep, in the same commit.
    async fn finish(
        &self,
        mut tx: TenantTx,
        proposal: &Proposal<'_>,
        outcomes: &[Outcome],
    ) -> Result<(), EngineError> {
        let at = fresh::now();
        if let Some(completion) = &proposal.completion {
            crm_store::commit::complete_within(&mut tx, at, completion).await?;
        }
        let (actor, maker) = (proposal.authority.actor(), proposal.receipt.as_ref());
        receipt_keep(&mut tx, actor, maker, outcomes).await?;
        if let Some(place) = &proposal.place {
            place
                .held
                .keep_place(&mut tx, &(place.state)(outcomes))
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// One wave: what the store refuses is left out (or, in an atomic proposal, ends it), and
    /// the rest is tried again.
    async fn wave(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        (proposal, rooms): (&Proposal<'_>, &Rooms),
        range: Range<usize>,
        hooks: &mut Hooks,
    ) -> Result<Wave, EngineError> {
        let first = range.start;
        let operations = proposal.operations.get(range).unwrap_or_default();
        let mut faults: BTreeMap<usize, Fault> = BTreeMap::new();
        // Each turn but the last refuses one operation more at least.
        for _ in 0..=operations.len() {
            tx.savepoint().await?;
            let part = (first, operations, &faults);
            let judged = self
                .prepare_wave(tx, model, (proposal, rooms), part, hooks)
                .await?;
            let mut prepared = match judged {
                Judged::Prepared(prepared) => *prepared,
                Judged::Ask(questions) => return Ok(Wave::Ask(questions)),
            };
            let outcomes = std::mem::take(&mut prepared.outcomes);
            let ends = proposal.atomic && outcomes.iter().any(Result::is_err);
            if prepared.is_empty() || (ends && !proposal.dry_run) {
                return Ok(Wave::Done(Vec::new(), outcomes));
            }
            let closed = reach::faults(tx, (model, proposal), &prepared.changes).await?;
            if !closed.is_empty() {
                faults.extend(closed);
                tx.back_to_savepoint().await?;
                continue;
            }
            let locked = self.rollup_parents_lock(tx, model, &prepared).await?;
            let commit = prepared.commit(model, proposal);
            let error = match crm_store::commit::commit_within(tx, &commit).await {
                Ok(()) => {
                    let mut done = self.rollups(tx, model, proposal, locked).await?;
                    done.push(prepared);
                    return Ok(Wave::Done(done, outcomes));
                }
                Err(error) => error,
            };
            let found = conflict::faults(error, (model, proposal), &prepared.changes)?;
            if found.is_empty() || lost_race(operations, &found) {
                return Ok(Wave::Again);
            }
            faults.extend(found);
            tx.back_to_savepoint().await?;
        }
        Ok(Wave::Again)
    }

    async fn prepare_wave(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        (proposal, rooms): (&Proposal<'_>, &Rooms),
        (first, operations, faults): (usize, &[Operation], &BTreeMap<usize, Fault>),
        hooks: &mut Hooks,
    ) -> Result<Judged, EngineError> {
        let reader = proposal.authority.reader();
        let resolved = resolve(tx, model, reader, operations).await?;
        let mutations: Vec<&Mutation> = resolved.iter().filter_map(Resolved::mutation).collect();
        let how = (reader, Reading::Locked);
        let mut gathered = gather_within(tx, model, &mutations, how).await?;
        let (numbered, at) = (numbered(&resolved, first), fresh::now());
        let questions = hooks.questions((model, proposal), numbered, &gathered, at);
        if !questions.is_empty() {
            return Ok(Judged::Ask(questions));
        }
        gathered.said = hooks.said_from(first, operations.len());
        if !proposal.dry_run {
            let known = &gathered.known;
            gathered.numbers = self
                .numbers_for(proposal.tenant, model, &mutations, known)
                .await?;
        }
        let mut prepared = Prepared::new(rooms.clone(), at);
        for (index, resolved) in resolved.into_iter().enumerate() {
            let outcome = match (faults.get(&index), resolved) {
                (Some(fault), _) => Err(fault.clone().into()),
                (None, Resolved::Refused(error)) => Err(error),
                (None, Resolved::Mutation(mutation)) => {
                    let with = (model, proposal, &mut gathered);
                    self.judge(tx, with, index, &mutation, &mut prepared)
                        .await?
                }
            };
            prepared.outcomes.push(outcome);
        }
        let outcomes = &mut prepared.outcomes;
        conflict::explain(tx, (model, proposal), operations, &gathered, outcomes).await?;
        Ok(Judged::Prepared(Box::new(prepared)))
    }

    /// One mutation, and what follows from it.
    async fn judge(
        &self,
        tx: &mut TenantTx,
        (model, proposal, gathered): (&Model, &Proposal<'_>, &mut Gathered),
        index: usize,
        mutation: &Mutation,
        prepared: &mut Prepared,
    ) -> Result<Outcome, EngineError> {
        let mark = prepared.mark();
        let by = (index, proposal.authority);
        let outcome = prepared.add(model, proposal, by, mutation, gathered);
        let Mutation::Delete {
            module, record_id, ..
        } = mutation
        else {
            return Ok(outcome);
        };
        if outcome.is_err() {
            return Ok(outcome);
        }
        let followed = match self
            .followers(tx, (model, proposal.authority.reader()), module, *record_id)
            .await
        {
            Ok(followers) => followers.prepare(prepared, model, proposal, index, gathered),
            Err(error @ EngineError::Conflict(_)) => Err(error),
            Err(other) => return Err(other),
        };
        Ok(match followed {
            Ok(()) => outcome,
            Err(error) => {
                prepared.back_to(mark);
                Err(error)
            }
        })
    }
}

/// Mutations with their places in the proposal.
fn numbered<'r>(
    resolved: &'r [Resolved<'_>],
    first: usize,
) -> impl Iterator<Item = (usize, &'r Mutation)> {
    let numbered = resolved.iter().enumerate();
    numbered.filter_map(move |(index, one)| Some((first + index, one.mutation()?)))
}

/// Somebody created the record that an upsert had looked for in vain.
fn lost_race(operations: &[Operation], faults: &BTreeMap<usize, Fault>) -> bool {
    faults.iter().any(|(index, fault)| {
        let (Some(Operation::Upsert { field, .. }), Fault::Taken(violations)) =
            (operations.get(*index), fault)
        else {
            return false;
        };
        let pointer = format!("/data/{field}");
        violations
            .as_slice()
            .iter()
            .any(|violation| violation.pointer == pointer)
    })
}

/// Cuts operations into waves: none names a record twice, looks for the same value twice, or
/// mixes looking for values with naming records; a deletion that others may follow is a wave of
/// its own.
fn waves(model: &Model, operations: &[Operation]) -> Vec<Range<usize>> {
    let mut waves = Vec::new();
    let mut start = 0;
    let mut seen: HashSet<String> = HashSet::new();
    for (index, operation) in operations.iter().enumerate() {
        let alone = takes_others_along(model, operation);
        let name = name_of(model, operation);
        let repeats = name.as_ref().is_some_and(|name| seen.contains(name));
        let previous = index.checked_sub(1).and_then(|index| operations.get(index));
        let mixes = previous.is_some_and(|previous| {
            is_upsert(previous) != is_upsert(operation) || takes_others_along(model, previous)
        });
        if index > start && (alone || repeats || mixes || index - start >= COMMIT_MAX_CHANGES) {
            waves.push(start..index);
            start = index;
            seen.clear();
        }
        seen.extend(name);
    }
    if start < operations.len() {
        waves.push(start..operations.len());
    }
    waves
}

fn is_upsert(operation: &Operation) -> bool {
    matches!(operation, Operation::Upsert { .. })
}

fn takes_others_along(model: &Model, operation: &Operation) -> bool {
    match operation {
        Operation::Mutation(Mutation::Delete { module, .. }) => {
            !model.references_to(module).is_empty()
        }
        _ => false,
    }
}

fn name_of(model: &Model, operation: &Operation) -> Option<String> {
    match operation {
        Operation::Mutation(Mutation::Activity { .. }) => None,
        Operation::Mutation(mutation) => mutation.record_id().map(|id| id.to_string()),
        Operation::Upsert {
            module,
            field,
            value,
            ..
        } => {
            let entry = model.module(module)?.unique_entry(field, value)?;
            Some(format!("{}={}", entry.slot, entry.key))
        }
    }
}
