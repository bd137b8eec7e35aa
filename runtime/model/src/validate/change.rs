//! What may be written: a change that keeps every rule, a record that may go. Only
//! [`super`] makes either.

use serde_json::Value;
use std::collections::BTreeSet;

use crate::Data;
use crate::event::EventKind;
use crate::ids::RecordId;
use crate::model::Module;
use crate::names::{FieldKey, ModuleSlug, UserId};

/// A change that keeps every rule of the model. Made by [`super::validate`],
/// [`super::would_be`] and [`super::recompute`], and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidChange {
    pub(super) kind: EventKind,
    pub(super) module: ModuleSlug,
    pub(super) record_id: RecordId,
    pub(super) base_version: i64,
    pub(super) before: Option<Data>,
    pub(super) after: Option<Data>,
    pub(super) changed: Vec<FieldKey>,
    pub(super) owner: Option<UserId>,
}

impl ValidChange {
    /// Created, updated, deleted or restored.
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

    /// Whose the record is from then on; none: it stays whose it is.
    pub fn owner(&self) -> Option<&UserId> {
        self.owner.as_ref()
    }

    /// The records that this change newly points to: field, module, record. Of a list, those
    /// that were not in it before.
    pub fn new_references<'a>(
        &'a self,
        module: &'a Module,
    ) -> impl Iterator<Item = (&'a FieldKey, &'a ModuleSlug, RecordId)> {
        let relations = module
            .relations()
            .filter(|(field, _)| self.changed.contains(field));
        relations.flat_map(|(field, target)| {
            let before = references(self.before.as_ref(), field);
            references(self.after.as_ref(), field)
                .difference(&before)
                .map(|record| (field, target, *record))
                .collect::<Vec<_>>()
        })
    }
}

/// The records that a relation points to: one, or those of a list.
fn references(data: Option<&Data>, field: &FieldKey) -> BTreeSet<RecordId> {
    let parse = |value: &Value| value.as_str()?.parse().ok();
    match data.and_then(|data| data.get(field.as_str())) {
        Some(Value::Array(values)) => values.iter().filter_map(parse).collect(),
        one => one.and_then(parse).into_iter().collect(),
    }
}

/// A record that may go for good. Made by [`super::validate`] and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidPurge {
    pub(super) module: ModuleSlug,
    pub(super) record_id: RecordId,
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

/// The module's fields whose values differ.
pub(super) fn changed_fields(
    module: &Module,
    before: Option<&Data>,
    after: Option<&Data>,
) -> Vec<FieldKey> {
    let fields = module.definition().fields.iter();
    let mut changed: Vec<FieldKey> = fields
        .filter(|field| differs(&field.key, before, after))
        .map(|field| field.key.clone())
        .collect();
    changed.sort();
    changed
}

/// Whether the field's values differ.
pub(super) fn differs(field: &FieldKey, before: Option<&Data>, after: Option<&Data>) -> bool {
    let before = before.and_then(|data| data.get(field.as_str()));
    before != after.and_then(|data| data.get(field.as_str()))
}
