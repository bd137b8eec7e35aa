//! What records that were there before get when a computed field is added: rollups, formulas,
//! auto numbers, who and when. A change of the host's own, which starts no workflows.

use crm_model::derived::slot;
use crm_model::permission::Authority;
use crm_model::{Actor, Cause, FieldKey, Model, RecordId, RollupUse};
use crm_store::TenantTx;
use crm_store::records::Record;
use std::collections::{BTreeMap, HashMap};

use super::Proposal;
use super::rollup::recomputed;
use crate::{Engine, EngineError};

/// Auto numbers for records.
pub(super) type Numbers = BTreeMap<RecordId, BTreeMap<FieldKey, i64>>;

impl Engine {
    /// Computes these fields of records anew, within a transaction: what follows from a change
    /// of the model, for records that were there before. Starts no workflows.
    pub(crate) async fn records_recompute(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        by: &Actor,
        fields: &[FieldKey],
        ids: &[RecordId],
    ) -> Result<(), EngineError> {
        let proposal = Proposal {
            tenant: tx.tenant_id(),
            authority: Authority::Host(by),
            cause: &Cause::System,
            depth: 0,
            operations: &[],
            atomic: true,
            workflows: false,
            dry_run: false,
            known: HashMap::new(),
            new_ids: HashMap::new(),
            completion: None,
            receipt: None,
            place: None,
            priority: crm_model::Priority::Normal,
        };
        let records = crm_store::records::records_lock(tx, ids).await?;
        let records: Vec<Record> = records
            .into_iter()
            .filter(|record| record.deleted_at.is_none())
            .collect();
        let wanted = |rollup: &RollupUse| fields.contains(&rollup.field);
        let numbers = self.numbers_missing(tx, model, fields, &records).await?;
        let numbers = Some(&numbers);
        let prepared = recomputed(tx, model, &proposal, &records, wanted, numbers).await?;
        if prepared.is_empty() {
            return Ok(());
        }
        let parents = self.rollup_parents_lock(tx, model, &prepared).await?;
        let commit = prepared.commit(model, &proposal);
        crm_store::commit::commit_within(tx, &commit).await?;
        self.rollups(tx, model, &proposal, parents).await?;
        Ok(())
    }

    /// Takes auto numbers for those of these records that have none, in the order in which they
    /// were made: ids sort by time. New records take theirs from the same counter, so no number
    /// is given twice.
    async fn numbers_missing(
        &self,
        tx: &TenantTx,
        model: &Model,
        fields: &[FieldKey],
        records: &[Record],
    ) -> Result<Numbers, EngineError> {
        let mut numbers = Numbers::new();
        let Some(slug) = records.first().map(|record| &record.module) else {
            return Ok(numbers);
        };
        let module = Engine::module_of(model, slug)?;
        for field in module.auto_numbers().filter(|field| fields.contains(field)) {
            let without = records
                .iter()
                .filter(|record| !record.data.contains_key(field.as_str()));
            let ids: Vec<RecordId> = without.map(|record| record.id).collect();
            if ids.is_empty() {
                continue;
            }
            let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
            let (tenant, slots) = (tx.tenant_id(), [slot(slug, field)]);
            let taken = crm_store::records::numbers_take(self.store(), tenant, &slots, count);
            let first = taken.await?.into_iter().next().map(|(_, first)| first);
            for (id, number) in ids.into_iter().zip(first.into_iter().flat_map(|n| n..)) {
                numbers.entry(id).or_default().insert(field.clone(), number);
            }
        }
        Ok(numbers)
    }
}
