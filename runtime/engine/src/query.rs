//! Asking for records: pages, totals, related records beside them, numbers about groups. What
//! may be asked is the model's to say, how it is found the store's.

use crm_model::limits::{
    AGGREGATE_MAX_MILLISECONDS, EXPAND_MANY_MAX_RECORDS, EXPAND_MANY_TOTAL_MAX_RECORDS,
    QUERY_MAX_MILLISECONDS,
};
use crm_model::permission::{Action, Authority, permit};
use crm_model::query::{Aggregate, AggregateInput, Expansion, Query, QueryInput, Scope, Way};
use crm_model::{Actor, Data, Model, ModuleSlug, RecordId, TenantId, Violations};
use crm_store::query::{Aggregated, Found};
use crm_store::{StoreError, TenantTx, query};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::read::Total;
use crate::{Engine, EngineError, fresh};

/// A page of records.
#[derive(Clone, Debug)]
pub struct RecordPage {
    pub rows: Vec<Shown>,
    /// For the next page; none on the last.
    pub next_cursor: Option<String>,
    pub total: Option<Total>,
}

/// A record with what was expanded of it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub found: Found,
    /// By relation.
    pub expanded: BTreeMap<String, Expanded>,
}

/// What stands at the other end of a relation.
#[derive(Clone, Debug)]
pub enum Expanded {
    /// None where there is none, or none any more.
    One(Option<Box<Shown>>),
    /// The newest, up to the limit of an expansion.
    Many(Vec<Shown>),
}

impl Engine {
    /// A page of a module's records.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the module does not exist for the caller, where the query
    /// is wrong, and where it takes too long.
    pub async fn records(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        input: &QueryInput,
    ) -> Result<RecordPage, EngineError> {
        self.records_page(tenant, actor, module, input, None).await
    }

    /// The same, in pages of the host's own size.
    pub(crate) async fn records_many(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        input: &QueryInput,
        limit: u32,
    ) -> Result<RecordPage, EngineError> {
        self.records_page(tenant, actor, module, input, Some(limit))
            .await
    }

    async fn records_page(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        input: &QueryInput,
        limit: Option<u32>,
    ) -> Result<RecordPage, EngineError> {
        let milliseconds = QUERY_MAX_MILLISECONDS;
        let (mut tx, model) = self
            .begin_query(tenant, actor, module, milliseconds)
            .await?;
        let scope = Scope::person(&model, actor, fresh::now());
        let mut query = Query::parse(scope, module, input).map_err(EngineError::invalid)?;
        query.limit = limit.unwrap_or(query.limit);
        if query.deleted {
            permit(&model, Authority::User(actor), Action::Delete, module)?;
        }
        read_page(&mut tx, scope, &query).await
    }

    /// Numbers about groups of a module's records, and how the query was understood.
    ///
    /// # Errors
    /// As [`Engine::records`].
    pub async fn aggregate(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        input: &AggregateInput,
    ) -> Result<(Aggregate, Aggregated), EngineError> {
        let limit = AGGREGATE_MAX_MILLISECONDS;
        let (mut tx, model) = self.begin_query(tenant, actor, module, limit).await?;
        let scope = Scope::person(&model, actor, fresh::now());
        read_groups(&mut tx, scope, module, input).await
    }

    async fn begin_query(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        limit_milliseconds: u32,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let tx = TenantTx::begin_query(self.store(), tenant, limit_milliseconds).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or_else(|| EngineError::no_module(module))?;
        permit(&model, Authority::User(actor), Action::Read, module)?;
        Ok((tx, model))
    }
}

/// Numbers about groups of records, for this reader.
///
/// # Errors
/// As [`Engine::aggregate`].
pub(crate) async fn read_groups(
    tx: &mut TenantTx,
    scope: Scope<'_>,
    module: &ModuleSlug,
    input: &AggregateInput,
) -> Result<(Aggregate, Aggregated), EngineError> {
    let limit = AGGREGATE_MAX_MILLISECONDS;
    let aggregate = Aggregate::parse(scope, module, input).map_err(EngineError::invalid)?;
    let found = match query::aggregate(tx, &aggregate).await {
        Err(StoreError::TooSlow) => {
            return Err(too_slow("/filter", &aggregate.filter.unindexed(), limit));
        }
        other => other?,
    };
    if let Some(index) = found.mixed {
        return Err(EngineError::invalid(Violations::one(
            &format!("/metrics/{index}"),
            "mixed_currencies",
            "the amounts are in several currencies; group by the currency, or filter by one",
        )));
    }
    Ok((aggregate, found))
}

/// Groups with their numbers as they are answered: `{"group": {…}, "<metric>": …}`.
pub fn aggregated_rows(aggregate: &Aggregate, found: Aggregated) -> Vec<Data> {
    let names = |names: Vec<&str>, values: Vec<Value>| -> Data {
        names.into_iter().map(str::to_owned).zip(values).collect()
    };
    let row = |row: crm_store::query::AggregatedRow| {
        let groups = aggregate.groups.iter().map(|group| group.name.as_str());
        let metrics = aggregate.metrics.iter().map(|metric| metric.name.as_str());
        let mut body = names(metrics.collect(), row.values);
        let group = names(groups.collect(), row.group);
        body.insert("group".to_owned(), Value::Object(group));
        body
    };
    found.rows.into_iter().map(row).collect()
}

/// A page of records, for this reader.
///
/// # Errors
/// As [`Engine::records`].
pub(crate) async fn read_page(
    tx: &mut TenantTx,
    scope: Scope<'_>,
    query: &Query,
) -> Result<RecordPage, EngineError> {
    let page = page(tx, scope, query).await;
    page.map_err(|error| explain(error, query))
}

async fn page(
    tx: &mut TenantTx,
    reader: Scope<'_>,
    query: &Query,
) -> Result<RecordPage, StoreError> {
    let mut found = query::page(tx, query).await?;
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_cursor = last.map(|last| query.cursor_after(&last.view()));
    let mut rows = shown(found, reader);
    expand(tx, reader, &mut rows, &query.expand).await?;
    if let Some(fields) = &query.fields {
        for row in &mut rows {
            row.found.record.data.retain(|key, _| {
                key.parse::<crm_model::FieldKey>()
                    .is_ok_and(|key| fields.contains(&key))
            });
        }
    }
    let total = if query.total {
        let count = query::count(tx, query).await?;
        Some(Total {
            value: count.value,
            exact: count.is_exact,
        })
    } else {
        None
    };
    Ok(RecordPage {
        rows,
        next_cursor,
        total,
    })
}

/// Records, all of one module, as the reader sees them.
fn shown(found: Vec<Found>, reader: Scope<'_>) -> Vec<Shown> {
    let first = found.first();
    let module = first.and_then(|first| reader.module(&first.record.module));
    let sight = module.map(|module| reader.sight(module));
    let show = |mut found: Found| {
        let data = &mut found.record.data;
        *data = match &sight {
            Some(sight) => sight.show(data).into_owned(),
            None => crm_model::Data::new(),
        };
        Shown {
            found,
            expanded: BTreeMap::new(),
        }
    };
    found.into_iter().map(show).collect()
}

/// Brings related records along: one query for each relation, however many records there are.
async fn expand(
    tx: &mut TenantTx,
    reader: Scope<'_>,
    rows: &mut [Shown],
    expansions: &[Expansion],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    for expansion in expansions {
        let ends = ends(tx, rows, expansion).await?;
        let wanted: BTreeSet<RecordId> = ends.values().flatten().copied().collect();
        let wanted: Vec<RecordId> = wanted.into_iter().collect();
        let found = query::by_ids(tx, &expansion.link, wanted).await?;
        let mut others = shown(found, reader);
        Box::pin(expand(tx, reader, &mut others, &expansion.inner)).await?;
        let others: BTreeMap<RecordId, Shown> = others
            .into_iter()
            .map(|other| (other.found.record.id, other))
            .collect();
        for row in rows.iter_mut() {
            let ids = ends.get(&row.found.record.id);
            let mut there = ids
                .into_iter()
                .flatten()
                .filter_map(|id| others.get(id).cloned());
            let expanded = if expansion.link.way.is_to_one() {
                Expanded::One(there.next().map(Box::new))
            } else {
                Expanded::Many(there.collect())
            };
            row.expanded.insert(expansion.field.to_string(), expanded);
        }
    }
    Ok(())
}

/// The ids at the other end, by record.
async fn ends(
    tx: &mut TenantTx,
    rows: &[Shown],
    expansion: &Expansion,
) -> Result<BTreeMap<RecordId, Vec<RecordId>>, StoreError> {
    let most = (EXPAND_MANY_TOTAL_MAX_RECORDS / rows.len()).clamp(1, EXPAND_MANY_MAX_RECORDS);
    let stored = |row: &Shown, field: &crm_model::FieldKey| -> Vec<RecordId> {
        let value = row.found.record.data.get(field.as_str());
        let ids = match value {
            Some(Value::Array(ids)) => ids.as_slice(),
            Some(id) => std::slice::from_ref(id),
            None => &[],
        };
        let ids = ids.iter().filter_map(|id| id.as_str()?.parse().ok());
        ids.take(most).collect()
    };
    match &expansion.link.way {
        Way::One { field } | Way::Many { field } => Ok(rows
            .iter()
            .map(|row| (row.found.record.id, stored(row, field)))
            .collect()),
        Way::Inverse { .. } => {
            let targets: Vec<RecordId> = rows.iter().map(|row| row.found.record.id).collect();
            let most = u32::try_from(most).unwrap_or(1);
            let pairs = query::pointing_to(tx, expansion, &targets, most).await?;
            let mut ends: BTreeMap<RecordId, Vec<RecordId>> = BTreeMap::new();
            for (target, pointing) in pairs {
                ends.entry(target).or_default().push(pointing);
            }
            Ok(ends)
        }
    }
}

/// A query that took too long becomes advice.
fn explain(error: StoreError, query: &Query) -> EngineError {
    if !matches!(error, StoreError::TooSlow) {
        return error.into();
    }
    let unsorted = query.sort.first().filter(|key| key.target.slot.is_none());
    match unsorted {
        Some(key) => too_slow("/sort", &[key.target.name.as_str()], QUERY_MAX_MILLISECONDS),
        None => too_slow("/filter", &query.filter.unindexed(), QUERY_MAX_MILLISECONDS),
    }
}

fn too_slow(pointer: &str, fields: &[&str], limit_milliseconds: u32) -> EngineError {
    let seconds = limit_milliseconds / 1_000;
    let advice = match fields {
        [] => "narrow it down with a condition on an indexed field".to_owned(),
        fields => format!("mark “{}” as indexed", fields.join("”, “")),
    };
    let message = format!("the query took longer than {seconds} seconds; {advice}");
    EngineError::invalid(Violations::one(pointer, "too_slow", message))
}
