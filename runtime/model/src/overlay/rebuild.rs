//! What has to be computed anew for records that are there already, when a model follows
//! another: rows of the typed index, unique values, words, computed fields. Says it; a task does
//! it.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{FieldDefinition, RollupDefinition};
use crate::derived::{is_indexed, is_searched};
use crate::fields::FieldType;
use crate::model::{Model, Module};
use crate::names::{FieldKey, ModuleSlug};

/// What is to be done in one module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// Fields whose rows or values have to be brought in line.
    pub fields: BTreeSet<FieldKey>,
    /// Those of them that cannot be relied on until it is done.
    pub building: BTreeSet<FieldKey>,
    /// Whether words may be left that no longer follow from any field.
    pub words: bool,
}

/// What of a field follows from its values. Retiring it changes what it is found by, and nothing
/// else: its index rows, unique values and computed values are kept right meanwhile, so that it
/// can come back, and so that relations let go of records that are deleted.
#[derive(PartialEq)]
struct Derivation<'a> {
    indexed: bool,
    unique: bool,
    case_insensitive: bool,
    searchable: bool,
    expression: Option<&'a str>,
    result: Option<&'a str>,
    rollup: Option<&'a RollupDefinition>,
    /// Whether the host gives the values, so that records from before the field have none.
    computed: bool,
}

impl<'a> Derivation<'a> {
    fn of((field, kind): (&'a FieldDefinition, &dyn FieldType)) -> Self {
        Self {
            indexed: is_indexed(field),
            unique: field.unique,
            case_insensitive: field.unique && field.case_insensitive,
            searchable: is_searched(field),
            expression: field.expression.as_deref(),
            result: field.result.as_deref(),
            rollup: field.rollup.as_ref(),
            computed: kind.is_computed(),
        }
    }

    fn is_something(&self) -> bool {
        self.indexed || self.unique || self.searchable || self.computed
    }

    /// What was never there leaves nothing behind.
    fn none() -> Self {
        Self {
            indexed: false,
            unique: false,
            case_insensitive: false,
            searchable: false,
            expression: None,
            result: None,
            rollup: None,
            computed: false,
        }
    }
}

/// Compares two models of a tenant, module by module. A module that is new has no records.
pub fn rebuild(before: &Model, after: &Model) -> BTreeMap<ModuleSlug, Rebuild> {
    let language_changes = before.settings().language != after.settings().language;
    let mut rebuilds = BTreeMap::new();
    for module in after.modules() {
        let slug = &module.definition().slug;
        let Some(old) = before.module(slug) else {
            continue;
        };
        let rebuild = module_rebuild(old, module, language_changes);
        if !rebuild.fields.is_empty() {
            rebuilds.insert(slug.clone(), rebuild);
        }
    }
    rebuilds
}

fn module_rebuild(before: &Module, after: &Module, language_changes: bool) -> Rebuild {
    let mut rebuild = Rebuild::default();
    for (field, kind) in after.fields() {
        let old = before.field(field.key.as_str());
        let old = old.map_or_else(Derivation::none, |(old, kind)| Derivation::of((old, kind)));
        let new = Derivation::of((field, kind));
        let differs = old != new && (old.is_something() || new.is_something());
        let has_other_words = language_changes && new.searchable;
        if differs || has_other_words {
            rebuild.fields.insert(field.key.clone());
            rebuild.words |= has_other_words || (old.searchable && !new.searchable);
            let retires = field.retired && old.searchable;
            if new.is_something() && !retires {
                rebuild.building.insert(field.key.clone());
            }
        }
    }
    let together = after.definition().unique.iter();
    let new_together = together.filter(|unique| !before.definition().unique.contains(unique));
    let keys = new_together.flat_map(|unique| unique.fields.iter().cloned());
    rebuild.fields.extend(keys);
    rebuild
}
