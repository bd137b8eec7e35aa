//! Declared rights of a plugin. Allowed = declared by its manifest ∩ granted by the tenant
//! (∩ allowed to the person, which [`crate::permission`] adds).

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Stands for every module or every field.
const ANY: &str = "*";

/// What a plugin may read and write. Keys and members are names, or `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Module → fields whose values the plugin gets to see.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<String, BTreeSet<String>>,
    /// Module → what the plugin may change there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub writes: BTreeMap<String, WriteCapability>,
    /// Modules on whose records' timelines the plugin may write.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub activities: BTreeSet<String>,
}

/// A right to change records of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteCapability {
    pub operations: BTreeSet<WriteOperation>,
    /// For create and update: the fields that may be set.
    #[serde(default)]
    pub fields: BTreeSet<String>,
}

/// How a record changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOperation {
    Create,
    Update,
    Delete,
}

fn names(set: &BTreeSet<String>, name: &str) -> bool {
    set.contains(ANY) || set.contains(name)
}

impl Capabilities {
    fn reads_field(&self, module: &str, field: &str) -> bool {
        [module, ANY]
            .iter()
            .filter_map(|key| self.reads.get(*key))
            .any(|fields| names(fields, field))
    }

    fn write_rights<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a WriteCapability> {
        [module, ANY]
            .into_iter()
            .filter_map(|key| self.writes.get(key))
    }

    fn writes(&self, module: &str, operation: WriteOperation) -> bool {
        self.write_rights(module)
            .any(|right| right.operations.contains(&operation))
    }

    fn writes_field(&self, module: &str, operation: WriteOperation, field: &str) -> bool {
        self.write_rights(module)
            .any(|right| right.operations.contains(&operation) && names(&right.fields, field))
    }

    fn adds_activity(&self, module: &str) -> bool {
        names(&self.activities, module)
    }
}

/// What one tenant lets one plugin do: both sides have to say yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    declared: Capabilities,
    granted: Capabilities,
}

impl Grant {
    /// The meeting of what a manifest declares and what a tenant grants.
    pub fn new(declared: Capabilities, granted: Capabilities) -> Self {
        Self { declared, granted }
    }

    /// Whether the plugin may see the field's value.
    pub fn may_read(&self, module: &str, field: &str) -> bool {
        self.declared.reads_field(module, field) && self.granted.reads_field(module, field)
    }

    /// Whether the plugin may do this to records of the module.
    pub fn may_write(&self, module: &str, operation: WriteOperation) -> bool {
        self.declared.writes(module, operation) && self.granted.writes(module, operation)
    }

    /// Whether the plugin may set the field.
    pub fn may_write_field(&self, module: &str, operation: WriteOperation, field: &str) -> bool {
        self.declared.writes_field(module, operation, field)
            && self.granted.writes_field(module, operation, field)
    }

    /// Whether the plugin may add to timelines of the module's records.
    pub fn may_add_activity(&self, module: &str) -> bool {
        self.declared.adds_activity(module) && self.granted.adds_activity(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(json: &str) -> Capabilities {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn both_sides_have_to_say_yes() {
        let all = capabilities(
            r#"{"reads":{"*":["*"]},"writes":{"*":{"operations":["update"],"fields":["*"]}},"activities":["*"]}"#,
        );
        let some = capabilities(
            r#"{"reads":{"items":["carat"]},"writes":{"items":{"operations":["update"],"fields":["band"]}}}"#,
        );
        for grant in [Grant::new(all.clone(), some.clone()), Grant::new(some, all)] {
            assert!(grant.may_read("items", "carat"));
            assert!(!grant.may_read("items", "price"));
            assert!(!grant.may_read("orders", "carat"));
            assert!(grant.may_write("items", WriteOperation::Update));
            assert!(!grant.may_write("items", WriteOperation::Delete));
            assert!(!grant.may_write("orders", WriteOperation::Update));
            assert!(grant.may_write_field("items", WriteOperation::Update, "band"));
            assert!(!grant.may_write_field("items", WriteOperation::Update, "price"));
            assert!(!grant.may_add_activity("items"));
        }
    }
}
