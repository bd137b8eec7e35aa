//! Whether the records that operations are about are there for who asks: those that they change,
//! those that they point to, and those that they make.

use crm_model::permission::{Action, Authority, permit};
use crm_model::validate::action_of;
use crm_model::{Actor, Denied, Model, ModuleSlug, Mutation, RecordId};
use crm_store::query::{NewRecord, would_pass};
use crm_store::{StoreError, TenantTx};
use std::collections::{BTreeMap, HashSet};

use super::conflict::{Fault, Of, dangling};
use super::prepare::PreparedChange;
use crate::reach::{self, reach, reached};

/// Records that are closed to who asks.
#[derive(Default)]
pub(super) struct Closed {
    /// Not there for them.
    hidden: HashSet<RecordId>,
    /// There, but not for this.
    refused: HashSet<(RecordId, Action)>,
}

impl Closed {
    pub(super) fn hides(&self, record: RecordId) -> bool {
        self.hidden.contains(&record)
    }

    pub(super) fn refuses(&self, record: RecordId, action: Action) -> bool {
        self.refused.contains(&(record, action))
    }
}

/// The records that mutations change, by module and action.
fn asked<'a>(mutations: &[&'a Mutation]) -> BTreeMap<(&'a ModuleSlug, Action), Vec<RecordId>> {
    let mut asked: BTreeMap<_, Vec<RecordId>> = BTreeMap::new();
    for mutation in mutations {
        if let Some(record) = mutation.record_id() {
            let key = (mutation.module(), action_of(mutation));
            asked.entry(key).or_default().push(record);
        }
    }
    asked
}

/// Whether not all records that mutations may change are there for who asks.
pub(super) fn limits(model: &Model, reader: Option<&Actor>, mutations: &[&Mutation]) -> bool {
    let limits = |(module, action): &(&ModuleSlug, Action)| {
        reader.is_some_and(|actor| reach(model, actor, module, *action).is_some())
    };
    asked(mutations).keys().any(limits)
}

/// Which of the records that mutations change are closed to who asks.
pub(super) async fn closed(
    tx: &mut TenantTx,
    model: &Model,
    reader: Option<&Actor>,
    mutations: &[&Mutation],
) -> Result<Closed, StoreError> {
    let mut closed = Closed::default();
    let Some(actor) = reader else {
        return Ok(closed);
    };
    let of = (model, actor);
    for ((module, action), records) in asked(mutations) {
        let found = reach::closed(tx, of, module, action, &records).await?;
        closed.hidden.extend(found.hidden);
        let refused = found.refused.into_iter();
        closed
            .refused
            .extend(refused.map(|record| (record, action)));
    }
    Ok(closed)
}

/// Which operations make records that who asks may not make, or point to records that are not
/// there for them.
pub(super) async fn faults(
    tx: &mut TenantTx,
    of: Of<'_>,
    changes: &[PreparedChange],
) -> Result<BTreeMap<usize, Fault>, StoreError> {
    let (model, proposal) = of;
    let Some(actor) = proposal.authority.reader() else {
        return Ok(BTreeMap::new());
    };
    let mut faults = dangling(&missing(tx, (model, actor), changes).await?, of, changes);
    let mut made: BTreeMap<&ModuleSlug, Vec<&PreparedChange>> = BTreeMap::new();
    for change in changes {
        if change.change.base_version() == 0 {
            made.entry(change.change.module()).or_default().push(change);
        }
    }
    for (module, changes) in made {
        let Some(reach) = reach(model, actor, module, Action::Create) else {
            continue;
        };
        let records = changes.iter().filter_map(|change| {
            Some(NewRecord {
                id: change.change.record_id(),
                data: change.change.after()?,
                user: actor.user_id.as_str(),
            })
        });
        let records: Vec<NewRecord<'_>> = records.collect();
        let open = would_pass(tx, &reach, &records).await?;
        for change in changes {
            if !open.contains(&change.change.record_id()) {
                let denied = Denied::OutOfReach {
                    module: module.clone(),
                    action: Action::Create,
                };
                faults.insert(change.operation, Fault::Closed(denied));
            }
        }
    }
    Ok(faults)
}

/// Whether [`faults`] has anything to ask the database.
pub(super) fn may_fault((model, proposal): Of<'_>, changes: &[PreparedChange]) -> bool {
    let Some(actor) = proposal.authority.reader() else {
        return false;
    };
    let limits = |module, action| reach(model, actor, module, action).is_some();
    changes.iter().any(|change| {
        let is_new = change.change.base_version() == 0;
        (is_new && limits(change.change.module(), Action::Create))
            || change
                .references
                .iter()
                .any(|(_, module, _)| limits(module, Action::Read))
    })
}

/// Records that are pointed to and not there for somebody who may read their module. Who may not
/// does not learn anything by pointing.
async fn missing(
    tx: &mut TenantTx,
    (model, actor): (&Model, &Actor),
    changes: &[PreparedChange],
) -> Result<Vec<RecordId>, StoreError> {
    let mut pointed: BTreeMap<&ModuleSlug, Vec<RecordId>> = BTreeMap::new();
    for (_, module, record) in changes.iter().flat_map(|change| &change.references) {
        pointed.entry(module).or_default().push(*record);
    }
    let mut missing = Vec::new();
    for (module, records) in pointed {
        if permit(model, Authority::User(actor), Action::Read, module).is_err() {
            continue;
        }
        let of = (model, actor);
        if let Some(there) = reached(tx, of, module, Action::Read, &records).await? {
            missing.extend(records.into_iter().filter(|record| !there.contains(record)));
        }
    }
    Ok(missing)
}
