//! The only maker of [`ValidChange`]: a mutation, a permit for it and the record as it stands go
//! in; every violation at once, or a change that the store may write, comes out.

use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::Data;
use crate::event::EventKind;
use crate::ids::RecordId;
use crate::model::{Model, Module};
use crate::mutation::Mutation;
use crate::names::{FieldKey, ModuleSlug};
use crate::permission::{Action, Denied, Permit};
use crate::schema::{self, DATA_POINTER};
use crate::violation::{Violations, pointer_segment};

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
    /// The next auto numbers, where the record is new.
    pub numbers: &'a BTreeMap<FieldKey, i64>,
    /// Values of rollups, where they were computed anew.
    pub rollups: &'a BTreeMap<FieldKey, Value>,
}

/// A change that keeps every rule of the model. Made here and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidChange {
    kind: EventKind,
    module: ModuleSlug,
    record_id: RecordId,
    base_version: i64,
    before: Option<Data>,
    after: Option<Data>,
    changed: Vec<FieldKey>,
}

impl ValidChange {
    /// Created, updated or deleted.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The record's module.
    pub fn module(&self) -> &ModuleSlug {
        &self.module
    }

    /// The record.
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }

    /// The version that the record must still have; 0 for a new one.
    pub fn base_version(&self) -> i64 {
        self.base_version
    }

    /// The version that the record will have.
    pub fn version(&self) -> i64 {
        self.base_version + 1
    }

    /// The data before; none for a new record.
    pub fn before(&self) -> Option<&Data> {
        self.before.as_ref()
    }

    /// The data after; none for a deleted record.
    pub fn after(&self) -> Option<&Data> {
        self.after.as_ref()
    }

    /// The fields whose values differ.
    pub fn changed(&self) -> &[FieldKey] {
        &self.changed
    }

    /// The records that this change newly points to: field, module, record.
    pub fn new_references<'a>(
        &'a self,
        module: &'a Module,
    ) -> impl Iterator<Item = (&'a FieldKey, &'a ModuleSlug, RecordId)> {
        module.relations().filter_map(|(field, target)| {
            let value = self.after.as_ref()?.get(field.as_str())?;
            let record = value.as_str()?.parse().ok()?;
            self.changed
                .contains(field)
                .then_some((field, target, record))
        })
    }
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
}

/// A record that may go for good. Made here and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidPurge {
    module: ModuleSlug,
    record_id: RecordId,
}

impl ValidPurge {
    /// The record's module.
    pub fn module(&self) -> &ModuleSlug {
        &self.module
    }

    /// The record.
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }
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
        Mutation::Update { .. } | Mutation::Replace { .. } | Mutation::Activity { .. } => {
            Action::Update
        }
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
    _surroundings: &Surroundings<'_>,
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
    let module = model.module(slug).ok_or_else(invisible)?;
    let base = match (mutation, base) {
        (Mutation::Create { .. }, _) => None,
        (_, Some(base)) => Some(base),
        (_, None) => return Err(Refusal::NotFound),
    };
    check_version(mutation, base)?;

    let before = base.map(|base| &base.data);
    let (kind, after) = match mutation {
        Mutation::Create { data, .. } => {
            let mut data = normalized(module, data.clone());
            add_defaults(module, &mut data);
            (EventKind::RecordCreated, Some(data))
        }
        Mutation::Update { patch, .. } => {
            let mut data = before.cloned().unwrap_or_default();
            merge_patch(&mut data, patch);
            (EventKind::RecordUpdated, Some(normalized(module, data)))
        }
        Mutation::Replace { data, .. } => (
            EventKind::RecordUpdated,
            Some(normalized(module, data.clone())),
        ),
        Mutation::Delete { .. } => (EventKind::RecordDeleted, None),
        Mutation::Restore { .. } => {
            let data = base.map(|base| base.data.clone()).unwrap_or_default();
            return Ok(Validated::Change(ValidChange {
                kind: EventKind::RecordRestored,
                module: slug.clone(),
                record_id,
                base_version: base.map_or(0, |base| base.version),
                before: None,
                changed: changed_fields(None, Some(&data)),
                after: Some(data),
            }));
        }
        Mutation::Purge { .. } => {
            return Ok(Validated::Purge(ValidPurge {
                module: slug.clone(),
                record_id,
            }));
        }
        Mutation::Activity { .. } => return Ok(Validated::Unchanged),
    };
    if after.is_some() && after.as_ref() == before {
        return Ok(Validated::Unchanged);
    }
    let after = after
        .map(|data| check(module, permit, before, data))
        .transpose()?;
    let changed = changed_fields(before, after.as_ref());
    Ok(Validated::Change(ValidChange {
        kind,
        module: slug.clone(),
        record_id,
        base_version: base.map_or(0, |base| base.version),
        before: before.cloned(),
        after,
        changed,
    }))
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
        } => *expected_version,
        Mutation::Create { .. }
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

/// Checks data against the model; gives it back when nothing is wrong.
fn check(
    module: &Module,
    permit: &Permit<'_>,
    before: Option<&Data>,
    data: Data,
) -> Result<Data, Refusal> {
    let mut violations = Violations::default();
    for field in differing(before, Some(&data)) {
        if !permit.covers_field(field) {
            let message = "the plugin may not write this field";
            violations.add(pointer(field), "forbidden", message);
        }
    }
    for (field, value) in &data {
        if holds_nul(value) {
            violations.add(pointer(field), "characters", "holds a NUL character");
        }
    }
    let value = Value::Object(data);
    schema::violations(module.validator(), &value, &mut violations);
    let Value::Object(data) = value else {
        return Ok(Data::new());
    };
    for (field, kind) in module.fields() {
        let Some(value) = data.get(field.key.as_str()) else {
            continue;
        };
        let at = pointer(field.key.as_str());
        if violations.touches(&at) {
            continue;
        }
        if let Err(problem) = kind.check(field, value) {
            violations.add(at, problem.code, problem.message);
        }
    }
    violations.into_result().map_err(Refusal::Invalid)?;
    Ok(data)
}

fn pointer(field: &str) -> String {
    format!("{DATA_POINTER}/{}", pointer_segment(field))
}

/// PostgreSQL's `jsonb` holds any text but this character.
pub(crate) fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

/// Stored data holds no nulls: a field is there or it is not.
fn normalized(module: &Module, mut data: Data) -> Data {
    data.retain(|_, value| !value.is_null());
    for (field, kind) in module.fields() {
        if let Some(value) = data.get_mut(field.key.as_str()) {
            *value = kind.normalize(field, value.take());
        }
    }
    data
}

fn add_defaults(module: &Module, data: &mut Data) {
    for (field, kind) in module.fields() {
        if let Some(default) = &field.default
            && !data.contains_key(field.key.as_str())
        {
            data.insert(
                field.key.to_string(),
                kind.normalize(field, default.clone()),
            );
        }
    }
}

/// RFC 7396.
pub(crate) fn merge_patch(target: &mut Data, patch: &Data) {
    for (name, change) in patch {
        match change {
            Value::Null => {
                target.remove(name);
            }
            Value::Object(change) => {
                let member = target.entry(name.clone()).or_insert(Value::Null);
                if !member.is_object() {
                    *member = Value::Object(Data::new());
                }
                if let Value::Object(member) = member {
                    merge_patch(member, change);
                }
            }
            other => {
                target.insert(name.clone(), other.clone());
            }
        }
    }
}

fn differing<'a>(before: Option<&'a Data>, after: Option<&'a Data>) -> BTreeSet<&'a str> {
    let names = before.into_iter().chain(after).flat_map(Data::keys);
    names
        .filter(|name| {
            before.and_then(|data| data.get(*name)) != after.and_then(|data| data.get(*name))
        })
        .map(String::as_str)
        .collect()
}

fn changed_fields(before: Option<&Data>, after: Option<&Data>) -> Vec<FieldKey> {
    // Stored data holds only names that once were fields, so all of them parse.
    differing(before, after)
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .collect()
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
