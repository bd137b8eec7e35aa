//! Stand-ins until the rules are merged.
use std::borrow::Cow;

use crate::Data;
use crate::definition::{OnDelete, RollupDefinition};
use crate::model::{Model, Module};
use crate::names::{FieldKey, ModuleSlug};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceRule {
    pub module: ModuleSlug,
    pub field: FieldKey,
    pub many: bool,
    pub on_delete: OnDelete,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RollupUse {
    pub module: ModuleSlug,
    pub field: FieldKey,
    pub definition: RollupDefinition,
}

impl Model {
    pub fn rollups_over(&self, _child: &ModuleSlug) -> &[RollupUse] {
        &[]
    }
    pub fn references_to(&self, _module: &ModuleSlug) -> &[ReferenceRule] {
        &[]
    }
}

impl Module {
    pub fn related_fields(&self) -> impl Iterator<Item = (&FieldKey, &ModuleSlug)> {
        std::iter::empty()
    }
    pub fn auto_numbers(&self) -> impl Iterator<Item = &FieldKey> {
        std::iter::empty()
    }
    pub fn visible<'a>(&self, data: &'a Data) -> Cow<'a, Data> {
        Cow::Borrowed(data)
    }
}
