//! What stands against a write, told so that the caller can act: which field of which operation
//! a taken value or a dangling reference belongs to, and who changed what where the record has
//! another version than the caller read.

use crm_model::sight::Sight;
use crm_model::{
    Data, Denied, FieldKey, Model, ModuleSlug, Mutation, RecordId, Refusal, Violations,
};
use crm_store::{StoreError, Taken, TenantTx};
use serde_json::Value;
use std::collections::BTreeMap;

use super::prepare::{Gathered, PreparedChange};
use super::{Operation, Outcome, Proposal};
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

/// Under which model, and who asked for what.
pub(super) type Of<'a> = (&'a Model, &'a Proposal<'a>);

/// Why the store refused what an operation asked for.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Another record has a value that only one may have.
    Taken(Violations),
    /// It points to a record that is not there.
    Dangling(Violations),
    /// Who asks may not make such a record.
    Closed(Denied),
}

impl From<Fault> for EngineError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Taken(violations) => Self::Taken(violations),
            Fault::Dangling(violations) => Self::invalid(violations),
            Fault::Closed(denied) => Refusal::Denied(denied).into(),
        }
    }
}

/// Which operations are at fault for a commit that the store refused, and why.
///
/// # Errors
/// The store's error, where it is nobody's fault.
pub(super) fn faults(
    error: StoreError,
    of: Of<'_>,
    changes: &[PreparedChange],
) -> Result<BTreeMap<usize, Fault>, EngineError> {
    match error {
        StoreError::Taken(taken) => Ok(of_taken(&taken, of, changes)),
        StoreError::MissingReferences(missing) => Ok(dangling(&missing, of, changes)),
        other => Err(other.into()),
    }
}

/// The sender's sight of a module.
fn sight_of<'a>((model, proposal): Of<'a>, module: &ModuleSlug) -> Option<Sight<'a>> {
    Some(model.sight(model.module(module)?, proposal.authority.reader()))
}

/// A field as the sender may be told of it: none where they do not see it.
fn told<'a>(sight: Option<&Sight<'_>>, field: &'a str) -> Option<&'a str> {
    sight?.field(field).map(|_| field)
}

fn of_taken(taken: &[Taken], of: Of<'_>, changes: &[PreparedChange]) -> BTreeMap<usize, Fault> {
    let mut violations: BTreeMap<usize, Violations> = BTreeMap::new();
    for Taken { slot, record_id } in taken {
        let Some(change) = change_of(changes, *record_id) else {
            continue;
        };
        let fields = slot.split_once('.').map_or("", |(_, fields)| fields);
        let fields: Vec<&str> = fields.trim_matches(['(', ')']).split(',').collect();
        let sight = sight_of(of, change.change.module());
        let seen = fields
            .iter()
            .filter_map(|field| told(sight.as_ref(), field));
        let seen: Vec<&str> = seen.collect();
        let message = match seen.as_slice() {
            _ if seen.len() < fields.len() => {
                "another record has these values, of which you do not see all".to_owned()
            }
            [_] => "another record has this value".to_owned(),
            several => format!("another record has these values of {}", several.join(", ")),
        };
        let list = violations.entry(change.operation).or_default();
        if seen.is_empty() {
            list.add("/data".to_owned(), "unique", message.clone());
        }
        for field in seen {
            list.add(format!("/data/{field}"), "unique", message.clone());
        }
    }
    let faults = violations.into_iter();
    faults
        .map(|(operation, violations)| (operation, Fault::Taken(violations)))
        .collect()
}

/// Operations that point to one of these records, which are not there.
pub(super) fn dangling(
    missing: &[RecordId],
    of: Of<'_>,
    changes: &[PreparedChange],
) -> BTreeMap<usize, Fault> {
    let mut violations: BTreeMap<usize, Violations> = BTreeMap::new();
    for change in changes {
        for (field, module, record) in &change.references {
            if missing.contains(record) {
                let sight = sight_of(of, change.change.module());
                let list = violations.entry(change.operation).or_default();
                match told(sight.as_ref(), field.as_str()) {
                    Some(field) => {
                        let message = format!("there is no such record in “{module}”");
                        list.add(format!("/data/{field}"), "relation", message);
                    }
                    None => {
                        let message = "it points to a record that is not there";
                        list.add("/data".to_owned(), "relation", message);
                    }
                }
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
    of: Of<'_>,
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
            Operation::Mutation(mutation) => {
                conflicts(tx, of, gathered, mutation, expected).await?
            }
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
    of: Of<'_>,
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
    let Some(sight) = sight_of(of, mutation.module()) else {
        return Ok(Vec::new());
    };
    let disputed = base.into_iter().filter_map(|(field, base)| {
        let definition = sight.field(field.as_str())?;
        let show = |value: Value| match value {
            Value::Null => Some(Value::Null),
            value => sight.show_value(definition, &value),
        };
        let base = show(base)?;
        let yours = match mutation {
            Mutation::Update { .. } => wanted.get(field.as_str())?.clone(),
            _ => value_of(wanted, &field),
        };
        let theirs = show(value_of(&known.base.data, &field))?;
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
