//! Which records are there for somebody: asked of the database, by the same condition that lists
//! are read under. Nothing is asked where no role of theirs says anything of records.

use crm_model::permission::Action;
use crm_model::query::Filter;
use crm_model::{Actor, Denied, Model, ModuleSlug, RecordId, Refusal};
use crm_store::{StoreError, TenantTx, query};
use std::collections::{BTreeMap, HashSet};

use crate::{EngineError, fresh};

/// Records that are looked at again at once, where not all are there for the reader.
const KEPT_AT_ONCE_RECORDS: u32 = 500;

/// Which records somebody reaches for an action; none: all of the module.
pub(crate) fn reach(
    model: &Model,
    actor: &Actor,
    module: &ModuleSlug,
    action: Action,
) -> Option<Filter> {
    model.reach(model.module(module)?, actor, action, fresh::now())
}

/// Those of these records that somebody reaches for an action; none: all of them.
pub(crate) async fn reached(
    tx: &mut TenantTx,
    (model, actor): (&Model, &Actor),
    module: &ModuleSlug,
    action: Action,
    ids: &[RecordId],
) -> Result<Option<HashSet<RecordId>>, StoreError> {
    match reach(model, actor, module, action) {
        None => Ok(None),
        Some(reach) => Ok(Some(query::passing(tx, module, &reach, ids).await?)),
    }
}

/// Records that are closed to somebody for an action.
#[derive(Default)]
pub(crate) struct Closed {
    /// Not there for them.
    pub(crate) hidden: Vec<RecordId>,
    /// There, but not for this.
    pub(crate) refused: Vec<RecordId>,
}

/// Which of these records are closed to somebody for an action. Whether they may be read is asked
/// only of those that are.
pub(crate) async fn closed(
    tx: &mut TenantTx,
    of: (&Model, &Actor),
    module: &ModuleSlug,
    action: Action,
    ids: &[RecordId],
) -> Result<Closed, StoreError> {
    let mut closed = Closed::default();
    let Some(open) = reached(tx, of, module, action, ids).await? else {
        return Ok(closed);
    };
    let shut = ids.iter().copied().filter(|id| !open.contains(id));
    let shut: Vec<RecordId> = shut.collect();
    let there = match action {
        Action::Read => Some(HashSet::new()),
        _ => reached(tx, of, module, Action::Read, &shut).await?,
    };
    let is_there = |id: &RecordId| there.as_ref().is_none_or(|there| there.contains(id));
    (closed.refused, closed.hidden) = shut.into_iter().partition(is_there);
    Ok(closed)
}

/// Asks whether a record is there for somebody, and whether they may do this to it.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Denied::OutOfReach`] where they may read it.
pub(crate) async fn check_reach(
    tx: &mut TenantTx,
    of: (&Model, &Actor),
    (module, record): (&ModuleSlug, RecordId),
    action: Action,
) -> Result<(), EngineError> {
    let closed = closed(tx, of, module, action, &[record]).await?;
    if !closed.hidden.is_empty() {
        return Err(Refusal::NotFound.into());
    }
    if !closed.refused.is_empty() {
        let module = module.clone();
        return Err(Refusal::Denied(Denied::OutOfReach { module, action }).into());
    }
    Ok(())
}

/// A list of what is known of records.
pub(crate) trait OfRecords {
    type Row: Send;
    /// Where a row stands in the list.
    type Place: Copy + Send;

    /// The rows behind a place.
    fn fetch(
        &self,
        tx: &mut TenantTx,
        before: Option<Self::Place>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Where a row stands, and of which record it is.
    fn of(row: &Self::Row) -> (Self::Place, ModuleSlug, RecordId);
}

/// A reader of what is known of records of several modules.
pub(crate) struct Reading {
    limits: BTreeMap<ModuleSlug, Filter>,
}

impl Reading {
    pub(crate) fn new(model: &Model, actor: &Actor) -> Self {
        let modules = model.modules();
        let limits = modules.filter_map(|module| {
            let slug = &module.definition().slug;
            Some((slug.clone(), reach(model, actor, slug, Action::Read)?))
        });
        Self {
            limits: limits.collect(),
        }
    }

    /// Whether records of one of these modules are not all there.
    pub(crate) fn limits(&self, modules: &[ModuleSlug]) -> bool {
        modules
            .iter()
            .any(|module| self.limits.contains_key(module))
    }

    /// Those of the records, each with its module, that are there.
    pub(crate) async fn passing(
        &self,
        tx: &mut TenantTx,
        records: impl Iterator<Item = (ModuleSlug, RecordId)>,
    ) -> Result<HashSet<RecordId>, StoreError> {
        let mut there = HashSet::new();
        let mut asked: BTreeMap<ModuleSlug, Vec<RecordId>> = BTreeMap::new();
        for (module, record) in records {
            if self.limits.contains_key(&module) {
                asked.entry(module).or_default().push(record);
            } else {
                there.insert(record);
            }
        }
        for (module, records) in asked {
            if let Some(reach) = self.limits.get(&module) {
                there.extend(query::passing(tx, &module, reach, &records).await?);
            }
        }
        Ok(there)
    }

    /// The next rows of a list, without those of records that are not there: `limit` of them
    /// where there are so many, and perhaps more.
    pub(crate) async fn rows<L: OfRecords>(
        &self,
        tx: &mut TenantTx,
        list: &L,
        (mut before, limit): (Option<L::Place>, u32),
    ) -> Result<Vec<L::Row>, StoreError> {
        if self.limits.is_empty() {
            return list.fetch(tx, before, limit).await;
        }
        let at_once = limit.max(KEPT_AT_ONCE_RECORDS);
        let mut kept = Vec::new();
        loop {
            let rows = list.fetch(tx, before, at_once).await?;
            let is_last = rows.len() < usize::try_from(at_once).unwrap_or(usize::MAX);
            let records = rows.iter().map(|row| {
                let (_, module, record) = L::of(row);
                (module, record)
            });
            let there = self.passing(tx, records).await?;
            before = rows.last().map(|row| L::of(row).0);
            let is_there = |row: &L::Row| there.contains(&L::of(row).2);
            kept.extend(rows.into_iter().filter(is_there));
            if is_last || kept.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                return Ok(kept);
            }
        }
    }
}
