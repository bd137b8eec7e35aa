//! The tenant's own part of its model: modules and fields of its own, and edits of what the
//! template owns. Templates are immutable; the overlay is laid over them when a model is compiled
//! and survives their upgrades. Nothing here stores anything: [`revise`] says what has to be
//! written.

mod change;
mod edit;
mod fields;
mod modules;
mod people;
mod rebuild;
mod roles;
mod workflows;

pub(crate) use change::check_characters;
pub use change::{ModelChange, OverlayRefusal, OverlayWrite, revise};
pub(crate) use edit::attributes;
pub use edit::{FieldEdit, ModuleEdit, WorkflowEdit, WorkflowPatch};
pub use fields::field_input;
pub use rebuild::{Rebuild, rebuild};

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{FieldDefinition, ModuleDefinition, RoleDefinition, TemplateDefinition};
use crate::names::{FieldKey, ModuleSlug, RoleSlug, WorkflowSlug};

/// What a tenant adds to its template and changes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlay {
    /// Modules of the tenant's own. Their fields stand in `fields`.
    pub modules: Vec<ModuleDefinition>,
    /// Fields of the tenant's own, of its own modules and of the template's, oldest first.
    pub fields: Vec<(ModuleSlug, FieldDefinition)>,
    /// What the tenant changed of a module. Of its own modules: the order of fields alone.
    pub module_edits: BTreeMap<ModuleSlug, ModuleEdit>,
    /// Roles of the tenant's own, and what stands in the place of the template's.
    pub roles: BTreeMap<RoleSlug, RoleDefinition>,
    /// What the tenant changed of the template's fields.
    pub field_edits: BTreeMap<(ModuleSlug, FieldKey), FieldEdit>,
    /// What the tenant says of workflows beside what stands in them.
    pub workflow_edits: BTreeMap<WorkflowSlug, WorkflowEdit>,
}

/// A module with everything that the tenant says of it.
#[derive(Clone, Debug)]
pub(crate) struct MergedModule {
    /// All fields, in the tenant's order.
    pub(crate) definition: ModuleDefinition,
    /// The tenant's own fields.
    pub(crate) own_fields: BTreeSet<FieldKey>,
    /// Whether the module itself is the tenant's own.
    pub(crate) is_own: bool,
}

impl Overlay {
    /// Lays the overlay over the template's modules. Edits of what the template no longer has do
    /// nothing; two modules of one name stay two, for compiling to refuse.
    pub(crate) fn merge(&self, template: &TemplateDefinition) -> Vec<MergedModule> {
        let templates = template.modules.iter().map(|module| (module, false));
        let own = self.modules.iter().map(|module| (module, true));
        templates
            .chain(own)
            .map(|(module, is_own)| self.merge_module(module, is_own))
            .collect()
    }

    /// The module of that name with everything that the tenant says of it.
    pub(crate) fn merged(
        &self,
        template: &TemplateDefinition,
        slug: &ModuleSlug,
    ) -> Option<MergedModule> {
        let templates = template.modules.iter().find(|module| module.slug == *slug);
        match templates {
            Some(module) => Some(self.merge_module(module, false)),
            None => self
                .own_module(slug)
                .map(|module| self.merge_module(module, true)),
        }
    }

    fn own_module(&self, slug: &ModuleSlug) -> Option<&ModuleDefinition> {
        self.modules.iter().find(|module| module.slug == *slug)
    }

    fn own_field(&self, slug: &ModuleSlug, key: &FieldKey) -> Option<&FieldDefinition> {
        let mut fields = self.fields.iter();
        fields
            .find(|(module, field)| module == slug && field.key == *key)
            .map(|(_, field)| field)
    }

    fn merge_module(&self, module: &ModuleDefinition, is_own: bool) -> MergedModule {
        let mut definition = module.clone();
        for field in &mut definition.fields {
            let place = (module.slug.clone(), field.key.clone());
            if let Some(edit) = self.field_edits.get(&place) {
                edit.apply(field);
            }
        }
        let own: Vec<FieldDefinition> = self
            .fields
            .iter()
            .filter(|(slug, _)| *slug == module.slug)
            .map(|(_, field)| field.clone())
            .collect();
        let own_fields = own.iter().map(|field| field.key.clone()).collect();
        definition.fields.extend(own);
        if let Some(edit) = self.module_edits.get(&module.slug) {
            edit.apply(&mut definition);
        }
        MergedModule {
            definition,
            own_fields,
            is_own,
        }
    }
}

#[cfg(test)]
mod tests;
