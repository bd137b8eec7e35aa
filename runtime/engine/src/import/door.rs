//! Rows of an import on their way through the door: as the person who asked, under the model's
//! rules, with the import as their cause, and with the task's place in the same commit.

use crm_model::permission::Authority;
use crm_model::{
    Actor, Cause, Data, FieldKey, ImportId, ModuleSlug, Mutation, Refusal, TenantId, Violations,
};
use serde_json::Value;
use std::collections::HashMap;

use crate::tasks::Held;
use crate::write::{Operation, Outcome as Written, Place, Proposal};
use crate::{Engine, EngineError};

/// A row as the door takes it.
#[derive(Clone, Debug)]
pub(crate) struct RowChange {
    pub(crate) row: u64,
    /// The record that has this value of a unique field is updated.
    pub(crate) key: Option<(FieldKey, Value)>,
    pub(crate) data: Data,
}

/// What became of a row.
#[derive(Clone, Debug)]
pub(crate) struct RowOutcome {
    pub(crate) row: u64,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Created,
    /// Also where the record was so already.
    Updated,
    Refused(Violations),
}

/// Rows of one import.
pub(crate) struct WriteRows<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) actor: &'a Actor,
    pub(crate) import: ImportId,
    pub(crate) module: &'a ModuleSlug,
    pub(crate) rows: Vec<RowChange>,
    pub(crate) run_workflows: bool,
    /// Judged, not written.
    pub(crate) dry_run: bool,
}

/// The task's place after the rows, which depends on what becomes of them.
pub(crate) struct TaskStep<'a> {
    pub(crate) held: &'a Held,
    pub(crate) state: &'a (dyn Fn(&[RowOutcome]) -> Value + Sync),
}

/// Writes the rows that keep the rules, and the task's place, in one transaction; gives back the
/// task's state.
///
/// # Errors
/// [`crm_store::StoreError::LeaseLost`] as [`EngineError::Store`]; [`EngineError::Refused`]
/// where the person may not write any more.
pub(crate) async fn write_rows(
    engine: &Engine,
    request: WriteRows<'_>,
    step: TaskStep<'_>,
) -> Result<Value, EngineError> {
    let numbers: Vec<u64> = request.rows.iter().map(|row| row.row).collect();
    let state = |outcomes: &[Written]| (step.state)(&row_outcomes(&numbers, outcomes));
    if request.dry_run || request.rows.is_empty() {
        let outcomes = propose(engine, &request, None).await?;
        let state = state(&outcomes);
        let mut tx = crm_store::TenantTx::begin(engine.store(), request.tenant).await?;
        step.held.keep_place(&mut tx, &state).await?;
        tx.commit().await?;
        return Ok(state);
    }
    let place = Place {
        held: step.held,
        state: &state,
    };
    let outcomes = propose(engine, &request, Some(place)).await?;
    Ok(state(&outcomes))
}

/// What would become of the rows; writes nothing.
///
/// # Errors
/// As [`write_rows`].
pub(crate) async fn check_rows(
    engine: &Engine,
    request: &WriteRows<'_>,
) -> Result<Vec<RowOutcome>, EngineError> {
    let request = WriteRows {
        rows: request.rows.clone(),
        dry_run: true,
        ..*request
    };
    let numbers: Vec<u64> = request.rows.iter().map(|row| row.row).collect();
    let outcomes = propose(engine, &request, None).await?;
    Ok(row_outcomes(&numbers, &outcomes))
}

async fn propose(
    engine: &Engine,
    request: &WriteRows<'_>,
    place: Option<Place<'_>>,
) -> Result<Vec<Written>, EngineError> {
    let rows = request.rows.iter();
    let operations: Vec<Operation> = rows.map(|row| operation(request.module, row)).collect();
    let proposal = Proposal {
        tenant: request.tenant,
        authority: Authority::User(request.actor),
        cause: &Cause::Import {
            import: request.import.uuid(),
        },
        depth: 0,
        operations: &operations,
        atomic: false,
        workflows: request.run_workflows,
        dry_run: request.dry_run,
        known: HashMap::new(),
        new_ids: HashMap::new(),
        completion: None,
        receipt: None,
        place,
        priority: crm_model::Priority::Bulk,
    };
    let outcomes = engine.propose(proposal).await?;
    // What no row can help ends the import.
    let mut kept = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        match outcome {
            Err(error) if violations(&error).is_none() => return Err(error),
            other => kept.push(other),
        }
    }
    Ok(kept)
}

fn operation(module: &ModuleSlug, row: &RowChange) -> Operation {
    let (module, data) = (module.clone(), row.data.clone());
    match &row.key {
        None => Operation::Mutation(Mutation::Create { module, data }),
        Some((field, value)) => Operation::Upsert {
            module,
            field: field.clone(),
            value: value.clone(),
            data,
        },
    }
}

fn violations(error: &EngineError) -> Option<&Violations> {
    match error {
        EngineError::Refused(Refusal::Invalid(violations)) | EngineError::Taken(violations) => {
            Some(violations)
        }
        _ => None,
    }
}

/// Why a row was not written. What ends the import is told of its rows too, so that none is
/// counted without a word.
fn refusal(error: &EngineError) -> Violations {
    if let Some(violations) = violations(error) {
        return violations.clone();
    }
    let (code, message) = match error {
        EngineError::Refused(Refusal::Denied(_)) => ("forbidden", error.to_string()),
        EngineError::Quota(_) => ("quota", error.to_string()),
        EngineError::Refused(_)
        | EngineError::Stale { .. }
        | EngineError::NotFound(_)
        | EngineError::Conflict(_)
        | EngineError::Contended => ("refused", error.to_string()),
        // Nothing of the inside is told.
        _ => (
            "internal",
            "could not be written; the host's log has the rest".to_owned(),
        ),
    };
    Violations::one("", code, message)
}

fn row_outcomes(numbers: &[u64], outcomes: &[Written]) -> Vec<RowOutcome> {
    let outcome = |written: &Written| match written {
        Ok(crate::write::Written::Created(_)) => Outcome::Created,
        Ok(_) => Outcome::Updated,
        Err(error) => Outcome::Refused(refusal(error)),
    };
    let rows = numbers.iter().zip(outcomes);
    rows.map(|(row, written)| RowOutcome {
        row: *row,
        outcome: outcome(written),
    })
    .collect()
}
