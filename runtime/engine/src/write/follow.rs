//! What has to follow when a record is deleted: records that point to it hinder that, let go of
//! it, or go with it, as their relations say.

use crm_model::definition::OnDelete;
use crm_model::derived::{Entry, slot};
use crm_model::limits::DELETE_MAX_FOLLOWERS;
use crm_model::permission::Authority;
use crm_model::relations::ReferenceRule;
use crm_model::{Actor, Data, Model, ModuleSlug, Mutation, RecordId};
use crm_store::TenantTx;
use serde_json::Value;
use std::collections::BTreeMap;

use super::prepare::{Gathered, Prepared};
use super::{Known, Proposal};
use crate::{Engine, EngineError};

/// What a deletion takes along.
#[derive(Default)]
pub(super) struct Followers {
    /// In the order in which they are found; one for each record.
    mutations: BTreeMap<RecordId, Mutation>,
    known: Vec<Known>,
    clear: Vec<Entry>,
}

impl Engine {
    /// Finds all that follows from deleting a record, and locks it.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where a relation forbids the deletion, or too much follows.
    pub(super) async fn followers(
        &self,
        tx: &mut TenantTx,
        (model, reader): (&Model, Option<&Actor>),
        module: &ModuleSlug,
        record: RecordId,
    ) -> Result<Followers, EngineError> {
        let mut followers = Followers::default();
        let mut going = vec![(module.clone(), record)];
        let mut next = 0;
        while let Some((module, record)) = going.get(next).cloned() {
            next += 1;
            for rule in model.references_to(&module) {
                let found = self
                    .pointing(tx, rule, record, &mut followers.clear)
                    .await?;
                for known in found {
                    let Some(id) = known.record.as_ref().map(|record| record.id) else {
                        continue;
                    };
                    if going.iter().any(|(_, gone)| *gone == id) {
                        continue;
                    }
                    if rule.on_delete == OnDelete::Restrict {
                        return Err(still_pointed(model, reader, rule));
                    }
                    if rule.on_delete == OnDelete::Cascade {
                        going.push((rule.module.clone(), id));
                    }
                    followers.add(rule, id, record, known)?;
                }
            }
        }
        Ok(followers)
    }

    async fn pointing(
        &self,
        tx: &mut TenantTx,
        rule: &ReferenceRule,
        record: RecordId,
        clear: &mut Vec<Entry>,
    ) -> Result<Vec<Known>, EngineError> {
        let entry = Entry {
            slot: slot(&rule.module, &rule.field),
            key: record.to_string(),
        };
        let keys = [entry.key.clone()];
        let limit = DELETE_MAX_FOLLOWERS + 1;
        let found = crm_store::records::records_by_key(tx, &entry.slot, &keys, limit).await?;
        clear.push(entry);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<RecordId> = found.into_iter().map(|(_, id)| id).collect();
        let records = crm_store::records::records_lock(tx, &ids).await?;
        Ok(records.into_iter().map(Known::of).collect())
    }
}

impl Followers {
    fn add(
        &mut self,
        rule: &ReferenceRule,
        id: RecordId,
        gone: RecordId,
        known: Known,
    ) -> Result<(), EngineError> {
        let module = rule.module.clone();
        let record_id = id;
        let mutation = match (rule.on_delete, self.mutations.remove(&id)) {
            (OnDelete::Cascade, _) | (_, Some(Mutation::Delete { .. })) => Mutation::Delete {
                module,
                record_id,
                expected_version: None,
            },
            (_, earlier) => {
                let mut patch = match earlier {
                    Some(Mutation::Update { patch, .. }) => patch,
                    _ => Data::new(),
                };
                let stored = patch
                    .get(rule.field.as_str())
                    .or_else(|| known.base.data.get(rule.field.as_str()));
                let left = without(stored, gone);
                patch.insert(rule.field.to_string(), left);
                Mutation::Update {
                    module,
                    record_id,
                    expected_version: None,
                    patch,
                }
            }
        };
        self.mutations.insert(id, mutation);
        self.known.push(known);
        if self.mutations.len() > DELETE_MAX_FOLLOWERS {
            return Err(EngineError::Conflict(format!(
                "more than {DELETE_MAX_FOLLOWERS} other records would change with it; delete \
                 those first"
            )));
        }
        Ok(())
    }

    /// Judges what follows and adds it to what is committed with the deletion.
    pub(super) fn prepare(
        self,
        prepared: &mut Prepared,
        model: &Model,
        proposal: &Proposal<'_>,
        operation: usize,
        gathered: &mut Gathered,
    ) -> Result<(), EngineError> {
        for known in self.known {
            if let Some(id) = known.record.as_ref().map(|record| record.id) {
                gathered.known.insert(id, known);
            }
        }
        let host = Authority::Host(proposal.authority.actor());
        for mutation in self.mutations.values() {
            prepared.add(model, proposal, (operation, host), mutation, gathered)?;
        }
        prepared.clear.extend(self.clear);
        Ok(())
    }
}

/// Names the field that stands in the way only to who sees it.
fn still_pointed(model: &Model, reader: Option<&Actor>, rule: &ReferenceRule) -> EngineError {
    let module = model.module(&rule.module);
    let sight = module.map(|module| model.sight(module, reader));
    let field = sight.and_then(|sight| sight.field(rule.field.as_str()));
    EngineError::Conflict(match field {
        Some(field) => format!(
            "records of “{}” still point to it (field “{}”); change or delete them first",
            rule.module, field.key
        ),
        None => "other records still point to it; change or delete them first".to_owned(),
    })
}

/// What a relation holds when one record is no longer there.
fn without(stored: Option<&Value>, gone: RecordId) -> Value {
    let gone = gone.to_string();
    match stored {
        Some(Value::Array(ids)) => {
            let left: Vec<Value> = ids
                .iter()
                .filter(|id| id.as_str() != Some(gone.as_str()))
                .cloned()
                .collect();
            if left.is_empty() {
                Value::Null
            } else {
                Value::Array(left)
            }
        }
        _ => Value::Null,
    }
}
