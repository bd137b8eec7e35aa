//! What was sent, and the record that it would make before the host computes anything: merged,
//! in stored form, and without what the sender may not set.

use serde_json::Value;
use std::collections::BTreeSet;

use super::change::differs;
use super::{bounds, pointer};
use crate::Data;
use crate::capability::WriteOperation;
use crate::definition::FieldDefinition;
use crate::fields::FieldType;
use crate::model::Module;
use crate::mutation::Mutation;
use crate::permission::Permit;
use crate::rules::is_computed;
use crate::sight::Sight;
use crate::violation::Violations;

/// The record as it was asked for.
pub(super) struct Intake {
    pub(super) data: Data,
    pub(super) violations: Violations,
}

/// Takes in what a create, an update or a replace sends; none for other mutations.
pub(super) fn take(
    module: &Module,
    permit: &Permit<'_>,
    mutation: &Mutation,
    before: Option<&Data>,
) -> Option<Intake> {
    // Values under names that are fields no more go with the next change.
    let known = before.map(|data| module.known(data));
    let before = known.as_deref();
    let (sent, data) = match mutation {
        Mutation::Create { data, .. } | Mutation::Replace { data, .. } => (data, data.clone()),
        Mutation::Update { patch, .. } => {
            let mut data = before.cloned().unwrap_or_default();
            merge_patch(&mut data, patch);
            (patch, data)
        }
        _ => return None,
    };
    let mut violations = Violations::default();
    bounds::check(&data, &mut violations);
    let mut intake = Intake {
        data: normalized(module, data),
        violations,
    };
    let is_patch = matches!(mutation, Mutation::Update { .. });
    for (field, kind) in module.fields() {
        let sent = sent.get(field.key.as_str());
        let sight = permit.sight();
        if sight.is_hidden(field) && !permit.is_host() {
            intake.hide(field, before, sent, sight);
            continue;
        }
        // In new data, null is the same as leaving a field out; in a patch it empties it.
        let sent = sent.filter(|value| is_patch || !value.is_null());
        if sight.is_masked(field) && !is_computed(field, kind) {
            intake.keep_masked(field, before, sent, sight);
        } else if let Some(reason) = kept(field, kind, permit, before.is_none()) {
            intake.keep(field, before, sent.map(|_| reason));
        }
    }
    if permit.is_plugin() {
        intake.check_grant(permit, before);
    }
    Some(intake)
}

impl Intake {
    fn check_grant(&mut self, permit: &Permit<'_>, before: Option<&Data>) {
        let names = before.into_iter().chain([&self.data]).flat_map(Data::keys);
        let refused: BTreeSet<&String> = names
            .filter(|name| !permit.covers_field(name))
            .filter(|name| before.and_then(|data| data.get(*name)) != self.data.get(*name))
            .collect();
        for name in refused {
            let message = "the plugin may not write this field";
            self.violations.add(pointer(name), "forbidden", message);
        }
    }

    /// Leaves a field as it was, and says so where another value was sent.
    fn keep(&mut self, field: &FieldDefinition, before: Option<&Data>, sent: Option<Reason>) {
        if !differs(&field.key, before, Some(&self.data)) {
            return;
        }
        let key = field.key.as_str();
        if let Some(reason) = sent {
            self.violations
                .add(pointer(key), reason.code, reason.message);
        }
        self.put_back(field, before);
    }

    /// What the sender does not see stays, and has no name of its own to be told apart by: not
    /// even by whether the value that was sent is the one that stands there.
    fn hide(
        &mut self,
        field: &FieldDefinition,
        before: Option<&Data>,
        sent: Option<&Value>,
        sight: &Sight<'_>,
    ) {
        let key = field.key.as_str();
        if sent.is_some_and(|value| !value.is_null()) {
            let message = sight.unknown_field(key);
            self.violations.add(pointer(key), "unknown_field", message);
        }
        self.put_back(field, before);
    }

    /// A mask that is sent back changes nothing, and none is ever kept as a value. Whether
    /// another value is the one behind the mask is not told.
    fn keep_masked(
        &mut self,
        field: &FieldDefinition,
        before: Option<&Data>,
        sent: Option<&Value>,
        sight: &Sight<'_>,
    ) {
        let key = field.key.as_str();
        let stored = before.and_then(|data| data.get(key));
        let shown = stored.and_then(|stored| sight.show_value(field, stored));
        let is_as_read = match sent {
            None => true,
            Some(Value::Null) => stored.is_none(),
            Some(sent) => shown.as_ref() == Some(sent),
        };
        let is_writable = sight.may_write(&field.key, operation(before.is_none()));
        if is_as_read || !is_writable || sent.is_some_and(Sight::is_mask) {
            if !is_as_read {
                let message = "is masked for you: leave it out, or as it is";
                self.violations.add(pointer(key), "read_only", message);
            }
            self.put_back(field, before);
        }
    }

    fn put_back(&mut self, field: &FieldDefinition, before: Option<&Data>) {
        let key = field.key.as_str();
        match before.and_then(|data| data.get(key)) {
            Some(stored) => self.data.insert(key.to_owned(), stored.clone()),
            None => self.data.remove(key),
        };
    }
}

/// Why a field is not for the sender to set.
struct Reason {
    code: &'static str,
    message: &'static str,
}

const fn operation(is_new: bool) -> WriteOperation {
    match is_new {
        true => WriteOperation::Create,
        false => WriteOperation::Update,
    }
}

fn kept(
    field: &FieldDefinition,
    kind: &dyn FieldType,
    permit: &Permit<'_>,
    is_new: bool,
) -> Option<Reason> {
    let reason = |code, message| Some(Reason { code, message });
    if is_computed(field, kind) {
        return reason("computed", "is computed: leave it out");
    }
    let is_open = permit.sight().may_write(&field.key, operation(is_new));
    if !is_open || (field.read_only && !permit.is_plugin()) {
        return reason("read_only", "is read-only: leave it out, or as it is");
    }
    None
}

/// Stored data holds no nulls: a field is there or it is not.
pub(super) fn normalized(module: &Module, mut data: Data) -> Data {
    data.retain(|_, value| !value.is_null());
    for (field, kind) in module.fields() {
        if let Some(value) = data.get_mut(field.key.as_str()) {
            *value = kind.normalize(field, value.take());
        }
    }
    data
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
