//! What a template's hook sees of a change, and what it may add to one.

use super::{ValidChange, bounds, draft::Draft, intake, pointer};
use crate::Data;
use crate::hooks::SaveKind;
use crate::module::Module;
use crate::mutation::Mutation;
use crate::names::FieldKey;
use crate::rules::is_computed;
use crate::violation::Violations;

/// A change that its record's hook is asked about: complete but for auto numbers, its values of
/// the right types. Whether it keeps the model's rules is found out with what the hook adds.
#[derive(Clone, Debug, PartialEq)]
pub struct WouldBe {
    pub kind: SaveKind,
    /// The version of the record that it changes; 0 for a new one.
    pub base_version: i64,
    pub before: Option<Data>,
    pub after: Data,
    pub changed: Vec<FieldKey>,
    /// What [`validate`](super::validate) makes of it where the hook adds nothing. None where
    /// something is wrong with it as it is, or auto numbers are still to come.
    pub valid: Option<ValidChange>,
}

/// What kind of change a hook would be asked about; none for those that change no data: they
/// delete a record, bring it back as it was, or hand it on.
pub fn save_kind(mutation: &Mutation) -> Option<SaveKind> {
    match mutation {
        Mutation::Create { .. } => Some(SaveKind::Create),
        Mutation::Update { .. }
        | Mutation::Replace { .. }
        | Mutation::Link { .. }
        | Mutation::Unlink { .. } => Some(SaveKind::Update),
        Mutation::Delete { .. }
        | Mutation::Assign { .. }
        | Mutation::Restore { .. }
        | Mutation::Purge { .. }
        | Mutation::Activity { .. } => None,
    }
}

/// That a hook's patch is of fields that the module has and that are not the host's to compute.
/// Fields that are read-only for people, or hidden from who asks, are the template's to set.
///
/// # Errors
/// A clause that names the first field that is not for a hook.
pub fn check_added(module: &Module, patch: &Data) -> Result<(), String> {
    for key in patch.keys() {
        match module.field(key) {
            Some((field, kind)) if is_computed(field, kind) => {
                return Err(format!("it sets “{key}”, which is computed"));
            }
            Some((field, _)) if !field.retired => {}
            _ => {
                let slug = &module.definition().slug;
                return Err(format!("it sets “{key}”, which is no field of “{slug}”"));
            }
        }
    }
    Ok(())
}

impl Draft<'_> {
    /// Takes over what the hook adds: a merge patch, brought into stored form.
    pub(super) fn take_added(&mut self, patch: &Data) {
        intake::merge_patch(&mut self.data, patch);
        for key in patch.keys() {
            let Some((field, kind)) = self.scene.module.field(key) else {
                continue;
            };
            let value = self.data.remove(key).filter(|value| !value.is_null());
            self.put(&field.key, value.map(|value| kind.normalize(field, value)));
        }
    }
}

/// What of all that is wrong with a record is the hook's doing: what is wrong with fields that it
/// set, and with the size of what became of them.
pub(super) fn blamed(patch: &Data, data: &Data, violations: &Violations) -> Violations {
    let mut blamed = Violations::default();
    bounds::check(data, &mut blamed);
    let set: Vec<String> = patch.keys().map(|key| pointer(key)).collect();
    for violation in violations.as_slice() {
        let is_set = |at: &String| {
            let rest = violation.pointer.strip_prefix(at.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if set.iter().any(is_set) {
            let (at, message) = (violation.pointer.clone(), violation.message.clone());
            blamed.add(at, &violation.code, message);
        }
    }
    blamed
}

/// Whether nothing is wrong with the values, only with which ones there are.
pub(super) fn only_missing(violations: &Violations) -> bool {
    let all = violations.as_slice();
    all.iter().all(|violation| violation.code == "required")
}
