//! Values computed from related records. They are kept right in the transaction that changes
//! those: the records that they stand in are locked first, so that of two writes which change
//! the same sum the second computes it from what the first left.

use crm_model::definition::RollupOperation;
use crm_model::limits::ROLLUP_MAX_DEPTH;
use crm_model::query::{Aggregate, Filter, MetricOperation, Scope};
use crm_model::validate::{Base, Surroundings, recompute};
use crm_model::{Cause, FieldKey, Model, ModuleSlug, RecordId, RollupUse};
use crm_store::TenantTx;
use crm_store::commit::Commit;
use crm_store::records::Record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::backfill::Numbers;
use super::gather::{pointed_from, related_read};
use super::prepare::{Prepared, Rooms};
use super::{Proposal, made};
use crate::{Engine, EngineError, fresh};

/// Records whose rollups look at something that changed, and the modules that changed.
#[derive(Default)]
pub(super) struct Parents {
    records: BTreeSet<RecordId>,
    children: BTreeSet<ModuleSlug>,
}

impl Parents {
    /// Of all the changes of a commit: where they point, and where they pointed before.
    fn of(model: &Model, prepared: &Prepared) -> Self {
        let mut parents = Self::default();
        for change in prepared.changes.iter().map(|prepared| &prepared.change) {
            for rollup in model.rollups_over(change.module()) {
                let relation = &rollup.definition.relation;
                let pointed = change
                    .before()
                    .into_iter()
                    .chain(change.after())
                    .flat_map(|data| pointed_from(data, relation));
                parents.records.extend(pointed);
                parents.children.insert(change.module().clone());
            }
        }
        parents
    }
}

impl Engine {
    /// Finds the records whose rollups a commit will change, and locks them.
    pub(super) async fn rollup_parents_lock(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        prepared: &Prepared,
    ) -> Result<Parents, EngineError> {
        let parents = Parents::of(model, prepared);
        if !parents.records.is_empty() {
            let ids: Vec<RecordId> = parents.records.iter().copied().collect();
            crm_store::records::records_lock(tx, &ids).await?;
        }
        Ok(parents)
    }

    /// Computes rollups anew after a commit, and those upon them.
    pub(super) async fn rollups(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        proposal: &Proposal<'_>,
        mut parents: Parents,
    ) -> Result<Vec<Prepared>, EngineError> {
        let mut done = Vec::new();
        for _ in 0..ROLLUP_MAX_DEPTH {
            if parents.records.is_empty() {
                return Ok(done);
            }
            let ids: Vec<RecordId> = parents.records.iter().copied().collect();
            let records = crm_store::records::records_lock(tx, &ids).await?;
            let records = records
                .into_iter()
                .filter(|record| record.deleted_at.is_none());
            let records: Vec<Record> = records.collect();
            let wanted = |rollup: &RollupUse| parents.children.contains(&rollup.definition.module);
            let prepared = recomputed(tx, model, proposal, &records, wanted, None).await?;
            if prepared.is_empty() {
                return Ok(done);
            }
            parents = self.rollup_parents_lock(tx, model, &prepared).await?;
            let commit = Commit {
                cause: &Cause::System,
                ..prepared.commit(model, proposal)
            };
            crm_store::commit::commit_within(tx, &commit).await?;
            done.push(prepared);
        }
        Ok(done)
    }
}

/// What the host changes of these records: rollups that are wanted anew, and formulas; where
/// records may be older than their fields (`numbers`), also what they would have begun with.
pub(super) async fn recomputed(
    tx: &mut TenantTx,
    model: &Model,
    proposal: &Proposal<'_>,
    records: &[Record],
    wanted: impl Fn(&RollupUse) -> bool,
    numbers: Option<&Numbers>,
) -> Result<Prepared, EngineError> {
    let mut prepared = Prepared::new(Rooms::default(), fresh::now());
    let none = BTreeMap::new();
    let related: BTreeSet<RecordId> = records
        .iter()
        .filter_map(|record| Some((record, model.module(&record.module)?)))
        .flat_map(|(record, module)| {
            let fields = module.related_fields();
            fields.flat_map(|(field, _)| pointed_from(&record.data, field))
        })
        .collect();
    let related: Vec<RecordId> = related.into_iter().collect();
    let related = related_read(tx, &related).await?;
    for record in records {
        let Some(module) = model.module(&record.module) else {
            continue;
        };
        let mut rollups: BTreeMap<FieldKey, Value> = BTreeMap::new();
        for (field, definition) in module.rollups() {
            let rollup = RollupUse {
                module: record.module.clone(),
                field: field.clone(),
                definition: definition.clone(),
            };
            if wanted(&rollup) {
                let value = rollup_value(tx, model, &rollup, record.id).await?;
                rollups.insert(rollup.field, value);
            }
        }
        let own = numbers.and_then(|numbers| numbers.get(&record.id));
        let surroundings = Surroundings {
            at: prepared.at,
            related: &related,
            numbers: own.unwrap_or(&none),
            made: numbers.map(|_| made(record)),
            rollups: &rollups,
            added: None,
        };
        let base = Base {
            version: record.version,
            data: record.data.clone(),
        };
        let actor = proposal.authority.actor();
        let change = recompute(
            model,
            &record.module,
            record.id,
            &base,
            actor,
            &surroundings,
        );
        if let Some(change) = change {
            prepared.push(model, proposal, 0, change)?;
        }
    }
    Ok(prepared)
}

/// The value of a rollup; null for none.
async fn rollup_value(
    tx: &mut TenantTx,
    model: &Model,
    rollup: &RollupUse,
    parent: RecordId,
) -> Result<Value, EngineError> {
    let definition = &rollup.definition;
    let scope = Scope::host(model, fresh::now());
    let module = Engine::module_of(model, &definition.module)?;
    let Some(points) = Filter::points_to(module, &definition.relation, parent) else {
        return Ok(Value::Null);
    };
    let mut filters = vec![points];
    if let Some(filter) = &definition.filter {
        let filter = Filter::parse(scope, &definition.module, filter, "/filter");
        // A filter that has become wrong with the model counts nothing.
        let Ok(filter) = filter else {
            return Ok(Value::Null);
        };
        filters.push(filter);
    }
    let operation = match definition.operation {
        RollupOperation::Count => MetricOperation::Count,
        RollupOperation::Sum => MetricOperation::Sum,
        RollupOperation::Min => MetricOperation::Min,
        RollupOperation::Max => MetricOperation::Max,
        RollupOperation::Avg => MetricOperation::Avg,
    };
    let field = definition.field.as_ref().map(FieldKey::as_str);
    let filter = Filter::and(filters);
    let aggregate = Aggregate::single(scope, &definition.module, filter, operation, field)
        .map_err(EngineError::invalid)?;
    let found = crm_store::query::aggregate(tx, &aggregate).await?;
    if found.mixed.is_some() {
        return Ok(Value::Null);
    }
    let value = found.rows.into_iter().next();
    Ok(value
        .and_then(|row| row.values.into_iter().next())
        .unwrap_or(Value::Null))
}
