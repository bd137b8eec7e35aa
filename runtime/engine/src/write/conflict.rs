//! What stands against a write, told so that the caller can act: which field of which operation
//! a taken value or a dangling reference belongs to, and who changed what where the record has
//! another version than the caller read.

use crm_model::{Data, FieldKey, Mutation, RecordId, Refusal, Violations};
use crm_store::{StoreError, Taken, TenantTx};
use serde_json::Value;
use std::collections::BTreeMap;

use super::prepare::{Gathered, PreparedChange};
use super::{Operation, Outcome};
use crate::EngineError;

/// A field that the caller changes and somebody else has changed meanwhile. Null where there is
/// no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    pub field: FieldKey,
    /// What the caller read.
    pub base: Value,
    /// What is there now.
    pub theirs: Value,
    /// What the caller wants.
    pub yours: Value,
}

/// Why the store refused what an operation asked for.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Another record has a value that only one may have.
    Taken(Violations),
    /// It points to a record that is not there.
    Dangling(Violations),
}

impl From<Fault> for EngineError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Taken(violations) => Self::Taken(violations),
            Fault::Dangling(violations) => Self::invalid(violations),
        }
    }
}

/// Which operations are at fault for a commit that the store refused, and why.
///
/// # Errors
/// The store's error, where it is nobody's fault.
pub(super) fn faults(
    error: StoreError,
    changes: &[PreparedChange],
) -> Result<BTreeMap<usize, Fault>, EngineError> {
    match error {
        StoreError::Taken(taken) => Ok(of_taken(&taken, changes)),
        StoreError::MissingReferences(missing) => Ok(of_missing(&missing, changes)),
        other => Err(other.into()),
    }
}

fn of_taken(taken: &[Taken], changes: &[PreparedChange]) -> BTreeMap<usize, Fault> {
    let mut violations: BTreeMap<usize, Violations> = BTreeMap::new();
    for Taken { slot, record_id } in taken {
        let Some(change) = change_of(changes, *record_id) else {
            continue;
        };
        let fields = slot.split_once('.').map_or("", |(_, fields)| fields);
        let fields: Vec<&str> = fields.trim_matches(['(', ')']).split(',').collect();
        let message = match fields.as_slice() {
            [_] => "another record has this value".to_owned(),
            several => format!("another record has these values of {}", several.join(", ")),
        };
        let list = violations.entry(change.operation).or_default();
        for field in fields {
            list.add(format!("/data/{field}"), "unique", message.clone());
        }
    }
    let faults = violations.into_iter();
    faults
        .map(|(operation, violations)| (operation, Fault::Taken(violations)))
        .collect()
}

fn of_missing(missing: &[RecordId], changes: &[PreparedChange]) -> BTreeMap<usize, Fault> {
    let mut violations: BTreeMap<usize, Violations> = BTreeMap::new();
    for change in changes {
        for (field, module, record) in &change.references {
            if missing.contains(record) {
                let message = format!("there is no such record in “{module}”");
                let list = violations.entry(change.operation).or_default();
                list.add(format!("/data/{field}"), "relation", message);
            }
        }
    }
    let faults = violations.into_iter();
    faults
        .map(|(operation, violations)| (operation, Fault::Dangling(violations)))
        .collect()
}

fn change_of(changes: &[PreparedChange], record: RecordId) -> Option<&PreparedChange> {
    changes
        .iter()
        .find(|change| change.change.record_id() == record)
}

/// Whether an outcome waits for [`explain`].
pub(super) fn is_stale(outcome: &Outcome) -> bool {
    matches!(outcome, Err(EngineError::Refused(Refusal::Stale { .. })))
}

/// Adds to refusals for an old version which fields are in dispute.
pub(super) async fn explain(
    tx: &mut TenantTx,
    operations: &[Operation],
    gathered: &Gathered,
    outcomes: &mut [Outcome],
) -> Result<(), EngineError> {
    for (operation, outcome) in operations.iter().zip(outcomes) {
        let Err(EngineError::Refused(Refusal::Stale { expected, current })) = outcome else {
            continue;
        };
        let (expected, current) = (*expected, *current);
        let conflicts = match operation {
            Operation::Mutation(mutation) => conflicts(tx, gathered, mutation, expected).await?,
            Operation::Upsert { .. } => Vec::new(),
        };
        *outcome = Err(EngineError::Stale {
            expected,
            current,
            conflicts,
        });
    }
    Ok(())
}

async fn conflicts(
    tx: &mut TenantTx,
    gathered: &Gathered,
    mutation: &Mutation,
    expected: i64,
) -> Result<Vec<Conflict>, EngineError> {
    let (id, wanted) = match mutation {
        Mutation::Update {
            record_id, patch, ..
        } => (*record_id, patch),
        Mutation::Replace {
            record_id, data, ..
        } => (*record_id, data),
        _ => return Ok(Vec::new()),
    };
    let Some(known) = gathered.known.get(&id) else {
        return Ok(Vec::new());
    };
    let since = crm_store::history::history_since(tx, id, expected).await?;
    let mut base: BTreeMap<FieldKey, Value> = BTreeMap::new();
    for (fields, before) in since {
        for field in fields {
            let value = value_of(&before, &field);
            base.entry(field).or_insert(value);
        }
    }
    let disputed = base.into_iter().filter_map(|(field, base)| {
        let yours = match mutation {
            Mutation::Update { .. } => wanted.get(field.as_str())?.clone(),
            _ => value_of(wanted, &field),
        };
        let theirs = value_of(&known.base.data, &field);
        (yours != theirs).then_some(Conflict {
            field,
            base,
            theirs,
            yours,
        })
    });
    Ok(disputed.collect())
}

fn value_of(data: &Data, field: &FieldKey) -> Value {
    data.get(field.as_str()).cloned().unwrap_or(Value::Null)
}
