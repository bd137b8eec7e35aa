//! The short way: records that stand alone are read, judged, and committed in one statement.

use crm_model::{Model, Mutation};
use crm_store::commit::Commit;
use crm_store::{StoreError, TenantTx};
use std::pin::pin;

use super::gather::{related_of, related_read};
use super::hooks::Hooks;
use super::prepare::{Gathered, Prepared, Rooms};
use super::reach::{self, Closed};
use super::{Attempt, Changed, Known, Operation, Proposal, conflict};
use crate::{Engine, EngineError, fresh};

/// Whether nothing that the proposal changes can touch another record than those it names.
pub(super) fn stands_alone(model: &Model, proposal: &Proposal<'_>) -> bool {
    let single = proposal.operations.len() == 1;
    !proposal.dry_run
        && proposal.place.is_none()
        && (proposal.atomic || single)
        && proposal.operations.len() <= ALONE_MAX_OPERATIONS
        && proposal.operations.iter().all(|operation| match operation {
            Operation::Mutation(mutation) => mutation_stands_alone(model, mutation),
            Operation::Upsert { .. } => false,
        })
}

/// Operations that are read one by one.
const ALONE_MAX_OPERATIONS: usize = 8;

fn mutation_stands_alone(model: &Model, mutation: &Mutation) -> bool {
    let module = mutation.module();
    match mutation {
        Mutation::Activity { .. } => true,
        Mutation::Restore { .. } | Mutation::Purge { .. } => false,
        Mutation::Delete { .. } => {
            model.rollups_over(module).is_empty() && model.references_to(module).is_empty()
        }
        Mutation::Create { .. }
        | Mutation::Update { .. }
        | Mutation::Replace { .. }
        | Mutation::Link { .. }
        | Mutation::Unlink { .. }
        | Mutation::Assign { .. } => model.rollups_over(module).is_empty(),
    }
}

impl Engine {
    pub(super) async fn attempt_alone(
        &self,
        model: &Model,
        proposal: &mut Proposal<'_>,
        rooms: &Rooms,
        hooks: &mut Hooks,
    ) -> Result<Attempt, EngineError> {
        let mutations: Vec<&Mutation> = proposal
            .operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Mutation(mutation) => Some(mutation),
                Operation::Upsert { .. } => None,
            })
            .collect();
        let mut gathered = self.gather_alone(model, proposal, &mutations).await?;
        let numbered = mutations.iter().copied().enumerate();
        let at = fresh::now();
        let mut questions = hooks.questions((model, &*proposal), numbered, &gathered, at);
        let valid = questions
            .iter_mut()
            .filter_map(|question| Some((question.operation, question.valid.take()?)));
        gathered.valid = valid.collect();
        let leftover = self
            .before_save((model, proposal.tenant), questions, hooks)
            .await;
        gathered.said = hooks.said_from(0, mutations.len());
        gathered.numbers = self
            .numbers_for(proposal.tenant, model, &mutations, &gathered.known)
            .await?;
        let mut prepared = Prepared::new(rooms.clone(), at);
        for (index, mutation) in mutations.into_iter().enumerate() {
            let by = (index, proposal.authority);
            let outcome = prepared.add(model, proposal, by, mutation, &mut gathered);
            prepared.outcomes.push(outcome);
        }
        if !prepared.is_refused() && reach::may_fault((model, proposal), &prepared.changes) {
            let mut tx = TenantTx::begin(self.store(), proposal.tenant).await?;
            let of = (model, &*proposal);
            for (index, fault) in reach::faults(&mut tx, of, &prepared.changes).await? {
                if let Some(outcome) = prepared.outcomes.get_mut(index) {
                    *outcome = Err(fault.into());
                }
            }
        }
        if prepared.is_refused() {
            if self.model_is_old(model).await? {
                return Ok(Attempt::Again(Changed::Model));
            }
            if prepared.outcomes.iter().any(conflict::is_stale) {
                let mut tx = TenantTx::begin(self.store(), proposal.tenant).await?;
                let outcomes = &mut prepared.outcomes;
                conflict::explain(
                    &mut tx,
                    (model, proposal),
                    proposal.operations,
                    &gathered,
                    outcomes,
                )
                .await?;
            }
            return Ok(Attempt::Done(prepared.outcomes));
        }
        let committed = {
            let mut commit = pin!(self.commit_alone(model, proposal, &prepared));
            // In that order: what a hook left is cleared away, and its next instance made, while
            // the database is at work, and nobody waits for that.
            tokio::select! {
                biased;
                committed = &mut commit => committed,
                () = leftover.renew() => commit.await,
            }
        };
        proposal.known = gathered.known;
        match committed {
            Ok(()) => {
                self.announce(proposal.tenant, &prepared);
                Ok(Attempt::Done(prepared.outcomes))
            }
            Err(StoreError::StaleModel) => Ok(Attempt::Again(Changed::Model)),
            Err(StoreError::StaleRecords(_) | StoreError::StillReferenced) => {
                proposal.known.clear();
                Ok(Attempt::Again(Changed::Record))
            }
            Err(error) => {
                for (index, fault) in conflict::faults(error, (model, proposal), &prepared.changes)?
                {
                    if let Some(outcome) = prepared.outcomes.get_mut(index) {
                        *outcome = Err(fault.into());
                    }
                }
                Ok(Attempt::Done(prepared.outcomes))
            }
        }
    }

    async fn gather_alone(
        &self,
        model: &Model,
        proposal: &mut Proposal<'_>,
        mutations: &[&Mutation],
    ) -> Result<Gathered, EngineError> {
        let mut known = std::mem::take(&mut proposal.known);
        for mutation in mutations {
            let Some(id) = mutation.record_id() else {
                continue;
            };
            if known.contains_key(&id) || model.module(mutation.module()).is_none() {
                continue;
            }
            let (_, record) = crm_store::records::record_read(
                self.store(),
                proposal.tenant,
                mutation.module(),
                id,
            )
            .await?;
            known.extend(record.map(|record| (id, Known::of(record))));
        }
        let reader = proposal.authority.reader();
        let closed = if reach::limits(model, reader, mutations) {
            let mut tx = TenantTx::begin(self.store(), proposal.tenant).await?;
            reach::closed(&mut tx, model, reader, mutations).await?
        } else {
            Closed::default()
        };
        let related = related_of(model, mutations, &known);
        let related = if related.is_empty() {
            Default::default()
        } else {
            let mut tx = TenantTx::begin(self.store(), proposal.tenant).await?;
            related_read(&mut tx, &related).await?
        };
        Ok(Gathered {
            known,
            closed,
            related,
            ..Gathered::default()
        })
    }

    async fn commit_alone(
        &self,
        model: &Model,
        proposal: &Proposal<'_>,
        prepared: &Prepared,
    ) -> Result<(), StoreError> {
        let receipt = proposal.receipt.as_ref();
        let receipt = receipt.map(|maker| maker(&prepared.outcomes));
        if prepared.is_empty() && proposal.completion.is_none() && receipt.is_none() {
            return Ok(());
        }
        let commit = Commit {
            completion: proposal.completion.clone(),
            receipt,
            ..prepared.commit(model, proposal)
        };
        crm_store::commit::commit(self.store(), &commit).await
    }

    /// A refusal counts only under the model of now.
    async fn model_is_old(&self, model: &Model) -> Result<bool, EngineError> {
        let tx = TenantTx::begin(self.store(), model.tenant_id()).await?;
        Ok(tx.model_version() != Some(model.version()))
    }
}
