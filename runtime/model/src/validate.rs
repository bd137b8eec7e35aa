//! The only maker of [`ValidChange`]: a mutation, a permit for it and the record as it stands go
//! in; every violation at once, or a change that the store may write, comes out.
//!
//! The way of a record: `intake` merges what was sent and puts it into stored form, `draft`
//! adds what the host computes, `checks` finds what is wrong.

mod added;
mod bounds;
mod change;
mod checks;
mod draft;
mod intake;
mod links;

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::Data;
use crate::event::EventKind;
use crate::hooks::SaveKind;
use crate::ids::RecordId;
use crate::model::{Model, Module};
use crate::mutation::Mutation;
use crate::names::{FieldKey, ModuleSlug, UserId};
use crate::permission::{Action, Actor, Denied, Permit};
use crate::schema::DATA_POINTER;
use crate::scope::Scene;
use crate::violation::{Violations, pointer_segment};
use change::changed_fields;
use draft::Draft;

pub use added::{WouldBe, check_added, save_kind};
pub(crate) use bounds::holds_nul;
pub use change::{ValidChange, ValidPurge};
pub(crate) use intake::merge_patch;

/// A record as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    pub version: i64,
    pub data: Data,
}

/// What a change is judged by, beside the record itself.
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// The time of the write.
    pub at: DateTime<Utc>,
    /// The data of records that to-one relations point to, as far as formulas look there.
    pub related: &'a BTreeMap<RecordId, Data>,
    /// The next auto numbers, where the record is new or older than the field.
    pub numbers: &'a BTreeMap<FieldKey, i64>,
    /// Where the record may be older than some of its fields.
    pub made: Option<Made<'a>>,
    /// Values of rollups, where they were computed anew.
    pub rollups: &'a BTreeMap<FieldKey, Value>,
    /// What the template's hook adds, a merge patch of the record that [`check_added`] let pass.
    pub added: Option<&'a Data>,
}

/// When and by whom a record was made, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    pub at: DateTime<Utc>,
    pub by: &'a str,
    pub owner: &'a str,
}

/// Why a mutation is not a valid change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Not allowed, or not visible.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The record is none, or none of this tenant.
    #[error("there is no such record")]
    NotFound,
    /// The record has another version by now.
    #[error("the record has version {current} by now, not {expected}")]
    Stale { expected: i64, current: i64 },
    /// The data breaks the model.
    #[error("{0}")]
    Invalid(Violations),
    /// What the template's hook adds breaks the model.
    #[error("{0}")]
    Added(Violations),
}

/// What becomes of a mutation.
#[derive(Clone, Debug, PartialEq)]
pub enum Validated {
    /// Something to write.
    Change(ValidChange),
    /// Something to remove.
    Purge(ValidPurge),
    /// The record is already so; nothing to write, no event.
    Unchanged,
}

/// Which action a mutation needs a permit for.
pub fn action_of(mutation: &Mutation) -> Action {
    match mutation {
        Mutation::Create { .. } => Action::Create,
        Mutation::Update { .. }
        | Mutation::Replace { .. }
        | Mutation::Assign { .. }
        | Mutation::Link { .. }
        | Mutation::Unlink { .. }
        | Mutation::Activity { .. } => Action::Update,
        // Whoever may delete may take it back.
        Mutation::Delete { .. } | Mutation::Restore { .. } => Action::Delete,
        Mutation::Purge { .. } => Action::Purge,
    }
}

/// Turns a mutation of a record into a valid change. `record_id` is the record's id, fresh for a
/// new one; `base` is the record as it stands, none for a new one. Activities change no record
/// and are not for here.
///
/// # Errors
/// See [`Refusal`]; [`Refusal::Invalid`] holds every violation, with pointers from the root of
/// the request's body (`/data/…`).
pub fn validate(
    model: &Model,
    permit: &Permit<'_>,
    mutation: &Mutation,
    record_id: RecordId,
    base: Option<&Base>,
    surroundings: &Surroundings<'_>,
) -> Result<Validated, Refusal> {
    let slug = mutation.module();
    let invisible = || {
        Refusal::Denied(Denied::Invisible {
            module: slug.clone(),
        })
    };
    if !permit.covers(slug, action_of(mutation)) {
        return Err(invisible());
    }
    let base = match (mutation, base) {
        (Mutation::Create { .. }, _) => None,
        (_, Some(base)) => Some(base),
        (_, None) => return Err(Refusal::NotFound),
    };
    check_version(mutation, base)?;
    let writing = Writing {
        scene: Scene {
            model,
            module: model.module(slug).ok_or_else(invisible)?,
            actor: permit.actor(),
            surroundings,
        },
        record_id,
        base,
    };
    match mutation {
        Mutation::Create { .. } | Mutation::Update { .. } | Mutation::Replace { .. } => {
            writing.save(permit, mutation)
        }
        Mutation::Link { .. } | Mutation::Unlink { .. } => {
            let update = writing.relinked(mutation)?;
            writing.save(permit, &update)
        }
        Mutation::Delete { .. } => Ok(Validated::Change(
            writing.change(EventKind::RecordDeleted, None),
        )),
        Mutation::Assign { .. } if !permit.covers_assignment() => {
            Err(Refusal::Denied(Denied::Forbidden {
                module: slug.clone(),
                action: "assign",
                who: "the plugin",
            }))
        }
        Mutation::Assign { owner, .. } => Ok(writing.assign(owner)),
        Mutation::Restore { .. } => Ok(Validated::Change(writing.restore())),
        Mutation::Purge { .. } => Ok(Validated::Purge(ValidPurge {
            module: slug.clone(),
            record_id,
        })),
        Mutation::Activity { .. } => Ok(Validated::Unchanged),
    }
}

/// What a mutation would make of its record, for the template's hook to see. None where there is
/// nothing to ask about: it makes no change of data, is refused, or holds values of wrong types;
/// then [`validate`] says why.
pub fn would_be(
    model: &Model,
    permit: &Permit<'_>,
    mutation: &Mutation,
    record_id: RecordId,
    base: Option<&Base>,
    surroundings: &Surroundings<'_>,
) -> Option<WouldBe> {
    let kind = save_kind(mutation)?;
    let slug = mutation.module();
    let base = match kind {
        SaveKind::Create => None,
        SaveKind::Update => Some(base?),
    };
    let is_let = permit.covers(slug, action_of(mutation)) && check_version(mutation, base).is_ok();
    let writing = Writing {
        scene: Scene {
            model,
            module: model.module(slug).filter(|_| is_let)?,
            actor: permit.actor(),
            surroundings,
        },
        record_id,
        base,
    };
    let relinked = match mutation {
        Mutation::Link { .. } | Mutation::Unlink { .. } => Some(writing.relinked(mutation).ok()?),
        _ => None,
    };
    let (mut draft, mut violations) =
        writing.complete(permit, relinked.as_ref().unwrap_or(mutation))?;
    if !violations.is_empty() {
        return None;
    }
    checks::check_values(&mut draft, permit.sight(), &mut violations);
    if !added::only_missing(&violations) {
        return None;
    }
    checks::check_rules(&draft, &mut violations);
    let takes_number = base.is_none() && writing.scene.module.auto_numbers().next().is_some();
    let is_valid = violations.is_empty() && !takes_number;
    let change = writing.saved(draft);
    Some(WouldBe {
        kind,
        base_version: change.base_version,
        before: change.before.clone(),
        after: change.after.clone()?,
        changed: change.changed.clone(),
        valid: is_valid.then_some(change),
    })
}

/// The host's own change, after rollups of a record changed (`surroundings.rollups`) or computed
/// fields are new: nobody's input is judged, and nobody needs a permit. None where nothing
/// changes.
pub fn recompute(
    model: &Model,
    module: &ModuleSlug,
    record_id: RecordId,
    base: &Base,
    actor: &Actor,
    surroundings: &Surroundings<'_>,
) -> Option<ValidChange> {
    let writing = Writing {
        scene: Scene {
            model,
            module: model.module(module)?,
            actor,
            surroundings,
        },
        record_id,
        base: Some(base),
    };
    let known = writing.scene.module.known(&base.data);
    let mut draft = writing.draft(known.clone().into_owned());
    draft.catch_up();
    draft.take_rollups();
    draft.compute_formulas();
    if draft.data == *known {
        return None;
    }
    draft.sign();
    // Some may read who changed the record, and when.
    draft.compute_formulas();
    Some(writing.change(EventKind::RecordUpdated, Some(draft.data)))
}

/// One record, and all that its change depends on.
struct Writing<'a> {
    scene: Scene<'a>,
    record_id: RecordId,
    base: Option<&'a Base>,
}

impl<'a> Writing<'a> {
    fn before(&self) -> Option<&'a Data> {
        self.base.map(|base| &base.data)
    }

    fn draft(&self, data: Data) -> Draft<'a> {
        Draft::new(self.scene, self.before(), data)
    }

    fn save(&self, permit: &Permit<'_>, mutation: &Mutation) -> Result<Validated, Refusal> {
        let Some((mut draft, mut violations)) = self.complete(permit, mutation) else {
            return Ok(Validated::Unchanged);
        };
        let sight = permit.sight();
        checks::check(&mut draft, sight, &mut violations);
        if let Some(patch) = self.scene.surroundings.added {
            let blamed = added::blamed(patch, &draft.data, &violations);
            blamed.into_result().map_err(Refusal::Added)?;
        }
        let violations = sight.discreet(violations);
        violations.into_result().map_err(Refusal::Invalid)?;
        Ok(Validated::Change(self.saved(draft)))
    }

    /// The record as it was drafted, new or updated.
    fn saved(&self, draft: Draft<'_>) -> ValidChange {
        let kind = match self.base {
            None => EventKind::RecordCreated,
            Some(_) => EventKind::RecordUpdated,
        };
        self.change(kind, Some(draft.data))
    }

    /// The record with all that the host and the hook give to it, not yet checked, and what is
    /// wrong with what was sent; none where nothing changes.
    fn complete(
        &self,
        permit: &Permit<'_>,
        mutation: &Mutation,
    ) -> Option<(Draft<'a>, Violations)> {
        let module = self.scene.module;
        let before = self.before();
        let taken = intake::take(module, permit, mutation, before)?;
        let violations = taken.violations;
        let mut draft = self.draft(taken.data);
        if before.is_none() {
            draft.begin();
        }
        draft.take_rollups();
        if let Some(patch) = self.scene.surroundings.added {
            draft.take_added(patch);
        }
        // Asked before anything else is computed, so that neither the time nor what a formula
        // would say by now makes a change out of none.
        if violations.is_empty()
            && before.is_some_and(|before| is_same(module, before, &draft.data))
        {
            return None;
        }
        draft.sign();
        draft.compute_formulas();
        draft.drop_invisible_defaults();
        Some((draft, violations))
    }

    /// The update that makes or ends links.
    fn relinked(&self, mutation: &Mutation) -> Result<Mutation, Refusal> {
        let (Mutation::Link { field, .. } | Mutation::Unlink { field, .. }) = mutation else {
            return Ok(mutation.clone());
        };
        let links = links::relinked(self.scene.module, mutation, self.before());
        let patch = links.map_err(|message| {
            let pointer = pointer(field.as_str());
            Refusal::Invalid(Violations::one(&pointer, "relation", message))
        })?;
        Ok(Mutation::Update {
            module: mutation.module().clone(),
            record_id: self.record_id,
            expected_version: None,
            patch,
        })
    }

    /// The record as it was, in other hands.
    fn assign(&self, owner: &UserId) -> Validated {
        let made = self.scene.surroundings.made;
        if made.is_some_and(|made| made.owner == owner.as_str()) {
            return Validated::Unchanged;
        }
        let data = self
            .before()
            .map(|data| self.scene.module.known(data).into_owned());
        let mut draft = self.draft(data.unwrap_or_default());
        draft.sign();
        draft.compute_formulas();
        let mut change = self.change(EventKind::RecordUpdated, Some(draft.data));
        change.owner = Some(owner.clone());
        Validated::Change(change)
    }

    /// The record as it was, with what was computed anew.
    fn restore(&self) -> ValidChange {
        let before = self.before();
        let data = before.map(|data| self.scene.module.known(data).into_owned());
        let mut draft = Draft::new(self.scene, None, data.unwrap_or_default());
        draft.catch_up();
        draft.take_rollups();
        draft.sign();
        draft.compute_formulas();
        let mut change = self.change(EventKind::RecordRestored, Some(draft.data));
        change.before = None;
        change.changed = changed_fields(self.scene.module, None, change.after.as_ref());
        change
    }

    fn change(&self, kind: EventKind, after: Option<Data>) -> ValidChange {
        let module = self.scene.module;
        let before = self.before();
        ValidChange {
            kind,
            module: module.definition().slug.clone(),
            record_id: self.record_id,
            base_version: self.base.map_or(0, |base| base.version),
            // A change tells of fields that there are: what a deleted one held is on its way out.
            before: before.map(|data| module.known(data).into_owned()),
            changed: changed_fields(module, before, after.as_ref()),
            after,
            owner: None,
        }
    }
}

/// Whether nothing differs. Values under names that are fields no more do not count.
fn is_same(module: &Module, before: &Data, after: &Data) -> bool {
    before == after || *module.known(before) == *after
}

fn check_version(mutation: &Mutation, base: Option<&Base>) -> Result<(), Refusal> {
    let expected = match mutation {
        Mutation::Update {
            expected_version, ..
        }
        | Mutation::Replace {
            expected_version, ..
        }
        | Mutation::Delete {
            expected_version, ..
        }
        | Mutation::Assign {
            expected_version, ..
        } => *expected_version,
        Mutation::Create { .. }
        | Mutation::Link { .. }
        | Mutation::Unlink { .. }
        | Mutation::Restore { .. }
        | Mutation::Purge { .. }
        | Mutation::Activity { .. } => None,
    };
    match (expected, base) {
        (Some(expected), Some(base)) if expected != base.version => Err(Refusal::Stale {
            expected,
            current: base.version,
        }),
        _ => Ok(()),
    }
}

fn pointer(field: &str) -> String {
    format!("{DATA_POINTER}/{}", pointer_segment(field))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod rules_tests;
