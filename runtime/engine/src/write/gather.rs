//! Reading what operations are judged by: the records that they change, the records that
//! formulas look into, the next auto numbers.

use crm_model::definition::FieldDefinition;
use crm_model::derived::{Entry, slot};
use crm_model::{
    Actor, Data, FieldKey, Model, ModuleSlug, Mutation, RecordId, TenantId, Violations,
};
use crm_store::TenantTx;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::prepare::{Gathered, Resolved};
use super::{Engine, Known, Operation, reach};
use crate::EngineError;

/// Turns operations into mutations: an upsert becomes an update where there is a record of that
/// value, else a new record.
pub(super) async fn resolve<'a>(
    tx: &mut TenantTx,
    model: &Model,
    reader: Option<&Actor>,
    operations: &'a [Operation],
) -> Result<Vec<Resolved<'a>>, EngineError> {
    let entries: Vec<Option<Entry>> = operations
        .iter()
        .map(|operation| unique_entry(model, reader, operation))
        .collect();
    let wanted = entries.iter().flatten();
    // No record holds NUL and PostgreSQL takes none: what is written says why it is refused.
    let wanted = wanted.filter(|entry| !entry.key.contains('\0'));
    let wanted: Vec<Entry> = wanted.cloned().collect();
    let found: HashMap<Entry, RecordId> = if wanted.is_empty() {
        HashMap::new()
    } else {
        let found = crm_store::records::records_by_unique(tx, &wanted).await?;
        found.into_iter().collect()
    };
    let resolved = operations.iter().zip(entries).map(|(operation, entry)| {
        let Operation::Upsert {
            module,
            field,
            value,
            data,
        } = operation
        else {
            return match operation {
                Operation::Mutation(mutation) => Resolved::Mutation(Cow::Borrowed(mutation)),
                Operation::Upsert { .. } => Resolved::Refused(not_unique(model, reader, operation)),
            };
        };
        let Some(entry) = entry else {
            return Resolved::Refused(not_unique(model, reader, operation));
        };
        let mut data = data.clone();
        data.entry(field.to_string())
            .or_insert_with(|| value.clone());
        Resolved::Mutation(Cow::Owned(match found.get(&entry) {
            Some(record) => Mutation::Update {
                module: module.clone(),
                record_id: *record,
                expected_version: None,
                patch: data,
            },
            None => Mutation::Create {
                module: module.clone(),
                data,
            },
        }))
    });
    Ok(resolved.collect())
}

/// None also where the sender does not see the field: whether a record has a value is not told.
fn unique_entry(model: &Model, reader: Option<&Actor>, operation: &Operation) -> Option<Entry> {
    match operation {
        Operation::Mutation(_) => None,
        Operation::Upsert {
            module,
            field,
            value,
            ..
        } => {
            let module = model.module(module)?;
            model.sight(module, reader).clear_field(field.as_str())?;
            module.unique_entry(field, value)
        }
    }
}

fn not_unique(model: &Model, reader: Option<&Actor>, operation: &Operation) -> EngineError {
    let Operation::Upsert { module, field, .. } = operation else {
        return EngineError::Internal("only an upsert looks for a value".to_owned());
    };
    let Some(found) = model.module(module) else {
        return EngineError::no_module(module);
    };
    let sight = model.sight(found, reader);
    let seen = |field: &&FieldDefinition| sight.clear_field(field.key.as_str()).is_some();
    let unique = sight.fields().filter(|field| field.unique).filter(seen);
    let names: Vec<&str> = unique.map(|field| field.key.as_str()).collect();
    let message = if names.contains(&field.as_str()) {
        format!("“{field}” needs a value to look for")
    } else if names.is_empty() {
        format!("“{module}” has no unique field to look for records by")
    } else {
        let names = names.join(", ");
        format!("“{field}” is not unique; look for records by: {names}")
    };
    EngineError::invalid(Violations::one("/match/field", "unique", message))
}

/// The records that mutations change, as they stand, by id.
pub(super) fn records_of(mutations: &[&Mutation]) -> Vec<RecordId> {
    let ids: BTreeSet<RecordId> = mutations
        .iter()
        .filter_map(|mutation| mutation.record_id())
        .collect();
    ids.into_iter().collect()
}

/// The records that formulas of the written modules look into.
pub(super) fn related_of(
    model: &Model,
    mutations: &[&Mutation],
    known: &HashMap<RecordId, Known>,
) -> Vec<RecordId> {
    let mut ids = BTreeSet::new();
    for mutation in mutations {
        let Some(module) = model.module(mutation.module()) else {
            continue;
        };
        let sent: Option<&Data> = match mutation {
            Mutation::Create { data, .. } | Mutation::Replace { data, .. } => Some(data),
            Mutation::Update { patch, .. } => Some(patch),
            _ => None,
        };
        if let Mutation::Link { targets, .. } = mutation {
            ids.extend(targets);
        }
        let stored = mutation
            .record_id()
            .and_then(|id| known.get(&id))
            .map(|known| &known.base.data);
        for (field, _) in module.related_fields() {
            let values = [sent, stored].into_iter().flatten();
            ids.extend(values.flat_map(|data| pointed_from(data, field)));
        }
    }
    ids.into_iter().collect()
}

/// Reads the data of related records.
pub(super) async fn related_read(
    tx: &mut TenantTx,
    ids: &[RecordId],
) -> Result<BTreeMap<RecordId, Data>, EngineError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let records = crm_store::records::records_read(tx, ids).await?;
    Ok(records
        .into_iter()
        .map(|record| (record.id, record.data))
        .collect())
}

/// Records that come back let go of those that went for good, or are in the trash, meanwhile.
async fn let_go(
    tx: &mut TenantTx,
    model: &Model,
    mutations: &[&Mutation],
    known: &mut HashMap<RecordId, Known>,
) -> Result<(), EngineError> {
    for mutation in mutations {
        let Mutation::Restore { module, record_id } = mutation else {
            continue;
        };
        let (Some(module), Some(known)) = (model.module(module), known.get_mut(record_id)) else {
            continue;
        };
        for (field, _) in module.relations() {
            let Some(value) = known.base.data.get_mut(field.as_str()) else {
                continue;
            };
            let pointed = pointed(value);
            let there = crm_store::records::records_read(tx, &pointed).await?;
            let is_there = |id: &Value| {
                record_id_of(id).is_some_and(|id| there.iter().any(|record| record.id == id))
            };
            let keep = match value {
                Value::Array(ids) => {
                    ids.retain(is_there);
                    !ids.is_empty()
                }
                one => is_there(one),
            };
            if !keep {
                known.base.data.remove(field.as_str());
            }
        }
    }
    Ok(())
}

/// The records that a relation of this data points to.
pub(super) fn pointed_from(data: &Data, relation: &FieldKey) -> Vec<RecordId> {
    data.get(relation.as_str()).map(pointed).unwrap_or_default()
}

fn pointed(value: &Value) -> Vec<RecordId> {
    match value {
        Value::Array(ids) => ids.iter().filter_map(record_id_of).collect(),
        one => record_id_of(one).into_iter().collect(),
    }
}

fn record_id_of(value: &Value) -> Option<RecordId> {
    value.as_str()?.parse().ok()
}

/// Whether a mutation gives its record auto numbers: a new one, and one that comes back from
/// before a field was added.
pub(super) fn takes_numbers(model: &Model, mutation: &Mutation, known: Option<&Known>) -> bool {
    match (mutation, known) {
        (Mutation::Create { .. }, _) => true,
        (Mutation::Restore { module, .. }, Some(known)) => {
            model.module(module).is_some_and(|module| {
                let mut numbers = module.auto_numbers();
                numbers.any(|field| !known.base.data.contains_key(field.as_str()))
            })
        }
        _ => false,
    }
}

impl Engine {
    /// Takes auto numbers for the records among these mutations that get some.
    pub(super) async fn numbers_for(
        &self,
        tenant: TenantId,
        model: &Model,
        mutations: &[&Mutation],
        known: &HashMap<RecordId, Known>,
    ) -> Result<BTreeMap<ModuleSlug, BTreeMap<FieldKey, i64>>, EngineError> {
        let mut counts: BTreeMap<&ModuleSlug, i64> = BTreeMap::new();
        for mutation in mutations {
            let known = mutation.record_id().and_then(|id| known.get(&id));
            if takes_numbers(model, mutation, known) {
                *counts.entry(mutation.module()).or_default() += 1;
            }
        }
        let mut numbers = BTreeMap::new();
        for (slug, count) in counts {
            let Some(module) = model.module(slug) else {
                continue;
            };
            let fields: BTreeMap<String, FieldKey> = module
                .auto_numbers()
                .map(|field| (slot(slug, field), field.clone()))
                .collect();
            if fields.is_empty() {
                continue;
            }
            let slots: Vec<String> = fields.keys().cloned().collect();
            let taken =
                crm_store::records::numbers_take(self.store(), tenant, &slots, count).await?;
            let taken = taken
                .into_iter()
                .filter_map(|(slot, first)| Some((fields.get(&slot)?.clone(), first)));
            numbers.insert(slug.clone(), taken.collect());
        }
        Ok(numbers)
    }
}

/// How records are read within a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// To be changed in it: nobody else changes them meanwhile.
    Locked,
    /// To look at what would be.
    Free,
}

/// Everything that mutations within a transaction are judged by, but for auto numbers and what
/// hooks say.
pub(super) async fn gather_within(
    tx: &mut TenantTx,
    model: &Model,
    mutations: &[&Mutation],
    (reader, reading): (Option<&Actor>, Reading),
) -> Result<Gathered, EngineError> {
    let ids = records_of(mutations);
    let mut known = HashMap::new();
    if !ids.is_empty() {
        let records = match reading {
            Reading::Locked => crm_store::records::records_lock(tx, &ids).await?,
            Reading::Free => crm_store::records::records_read(tx, &ids).await?,
        };
        known.extend(
            records
                .into_iter()
                .map(|record| (record.id, Known::of(record))),
        );
    }
    let closed = reach::closed(tx, model, reader, mutations).await?;
    let_go(tx, model, mutations, &mut known).await?;
    let related = related_read(tx, &related_of(model, mutations, &known)).await?;
    Ok(Gathered {
        known,
        closed,
        related,
        ..Gathered::default()
    })
}
