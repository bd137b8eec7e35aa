//! How the records of a query are found. Under row-level security PostgreSQL uses indexes only
//! for leakproof operators, and its guesses about JSON are worthless, so the way is chosen here,
//! by rules and by counting a little; PostgreSQL is left no other.

use crm_model::query::{Filter, Keys, Place, Query, SystemField};

use super::source::{self, Source};
use super::sql::{Bind, Sql};
use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// So many records are fetched and sorted rather than looked for along another order: about
/// where both cost the same in a module of a million.
const PICK_MAX_ROWS: i64 = 2_500;
/// For aggregates, which look at every record that passes.
const PICK_FOR_AGGREGATE_MAX_ROWS: i64 = 50_000;
/// Conditions that are counted to find the one that leaves the fewest.
const PROBES_MAX_COUNT: usize = 3;

/// The way to a query's records.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    /// The module's records in the order of one of their own indexes.
    Walk,
    /// There are conditions on plain columns with indexes: PostgreSQL's own choice among those,
    /// the one that it can make.
    Columns,
    /// Newest first along each of the source's keys.
    EachKey(Source),
    /// The source's few records, then sorted.
    Pick(Source),
    /// Along the typed index of the first sort key. Others of its sources are asked before a
    /// record is fetched.
    Sorted {
        slot: String,
        keys: Option<Keys>,
        others: Vec<Source>,
    },
}

/// Chooses the way to a page.
pub(super) async fn plan(
    tx: &mut TenantTx,
    query: &Query,
    terms: &[Vec<String>],
) -> Result<Plan, StoreError> {
    let walk = if has_column_condition(&query.filter) {
        Plan::Columns
    } else {
        Plan::Walk
    };
    if query.deleted {
        return Ok(walk);
    }
    let sources = sources((&query.filter, query.reach.as_ref()), terms);
    let sort_slot = query.sort.first().and_then(|key| key.target.slot.clone());
    let base = match (&sort_slot, query.sort.is_empty()) {
        (Some(slot), _) => Plan::Sorted {
            slot: slot.clone(),
            keys: sources
                .iter()
                .find_map(|source| source.keys_of(slot))
                .map(in_a_row),
            others: sources
                .iter()
                .filter(|source| {
                    source.keys_of(slot).is_none() && source.is_walkable() && source.is_index()
                })
                .cloned()
                .collect(),
        },
        (None, true) => match sources.iter().find(|source| source.is_walkable()) {
            Some(source) => Plan::EachKey(source.clone()),
            None => walk,
        },
        (None, false) => walk,
    };
    let others: Vec<&Source> = sources
        .iter()
        .filter(|source| {
            sort_slot
                .as_ref()
                .is_none_or(|slot| source.keys_of(slot).is_none())
        })
        .collect();
    if others.is_empty() || (others.len() == 1 && matches!(base, Plan::EachKey(_))) {
        return Ok(base);
    }
    let module = query.module.as_str();
    let fewest = fewest(tx, module, &others, PICK_MAX_ROWS).await?;
    Ok(match fewest {
        // Its keys are in the order of ids already.
        Some(source) if query.sort.is_empty() && source.is_walkable() => Plan::EachKey(source),
        Some(source) => Plan::Pick(source),
        None => base,
    })
}

/// Chooses the way to all records that pass.
pub(super) async fn plan_all(
    tx: &mut TenantTx,
    module: &str,
    condition: (&Filter, Option<&Filter>),
    terms: &[Vec<String>],
) -> Result<Plan, StoreError> {
    let sources = sources(condition, terms);
    let sources: Vec<&Source> = sources.iter().collect();
    let fewest = fewest(tx, module, &sources, PICK_FOR_AGGREGATE_MAX_ROWS).await?;
    Ok(fewest.map_or(Plan::Walk, Plan::Pick))
}

/// Whether every passing record meets a condition on a column that an index leads to.
fn has_column_condition(filter: &Filter) -> bool {
    match filter {
        Filter::All(filters) => filters.iter().any(has_column_condition),
        Filter::Test(condition) => matches!(
            condition.target.place,
            Place::System(
                SystemField::Id
                    | SystemField::OwnerId
                    | SystemField::CreatedAt
                    | SystemField::UpdatedAt
            )
        ),
        _ => false,
    }
}

/// Those of the filter and of what is there for the reader, which is first asked for.
fn sources((filter, reach): (&Filter, Option<&Filter>), terms: &[Vec<String>]) -> Vec<Source> {
    let mut sources: Vec<Source> = reach.and_then(source::of_reach).into_iter().collect();
    sources.extend(terms.iter().map(|words| Source::Words(words.clone())));
    for (slot, keys) in filter.narrowing() {
        let known = sources.iter_mut().find_map(|source| source.range_of(&slot));
        match (known, keys) {
            (Some((from, to)), Keys::Range(other_from, other_to)) => {
                *from = from.take().max(other_from);
                *to = match (to.take(), other_to) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            (_, keys) => sources.push(Source::Index { slot, keys }),
        }
    }
    sources
}

/// The source with the fewest rows, if it has no more than `most`.
async fn fewest(
    tx: &mut TenantTx,
    module: &str,
    sources: &[&Source],
    most: i64,
) -> Result<Option<Source>, StoreError> {
    let mut best: Option<(i64, &Source)> = None;
    for source in sources.iter().take(PROBES_MAX_COUNT) {
        let least = best.map_or(most, |(count, _)| count - 1);
        let mut sql = Sql::of_tenant(tx.tenant_id().uuid());
        let table = source.table(&mut sql, module);
        let rows = source.rows(&mut sql, module, "i");
        let limit = sql.bind(Bind::Integer(least + 1));
        sql.push(&format!(
            "select count(*) from (select from {table} i where {rows} limit {limit}) counted"
        ));
        let count: Vec<(i64,)> = sql.rows(tx.connection()).await?;
        let count = count.first().map_or(0, |(count,)| *count);
        if count <= least {
            best = Some((count, source));
        }
    }
    Ok(best.map(|(_, source)| source.clone()))
}

/// Keys that can be walked along in order: several become all between the first and the last.
fn in_a_row(keys: Keys) -> Keys {
    match keys {
        Keys::OneOf(keys) if keys.len() > 1 => {
            Keys::Range(keys.iter().min().cloned(), keys.iter().max().cloned())
        }
        other => other,
    }
}
