//! A tenant's whole schema, compiled: template and overlay together, immutable, identified by
//! its version. Compiling finds every mistake that a definition can hold, so that later steps
//! need not look again.

use jsonschema::Validator;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::activity;
use crate::capability::Grant;
use crate::definition::{FieldDefinition, ModuleDefinition, TemplateDefinition};
use crate::derived;
use crate::fields::{self, FieldType};
use crate::ids::TenantId;
use crate::limits;
use crate::names::{FieldKey, ModuleSlug, PluginName, TemplateSlug};
use crate::permission::{Action, Actor, Roles};
use crate::schema;
use crate::settings::Settings;
use crate::workflow::Workflow;

pub use crate::stand_in::{ReferenceRule, RollupUse};

/// Why definitions do not make a model. `place` says which part, as a person would look for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ModelError {
    pub place: String,
    pub message: String,
}

impl ModelError {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }
}

/// The template that a tenant chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateReference {
    pub slug: TemplateSlug,
    pub version: semver::Version,
}

/// What a model is compiled from.
#[derive(Clone, Debug)]
pub struct ModelSource {
    pub tenant_id: TenantId,
    /// Grows by one with every change of the tenant's model.
    pub version: i64,
    pub template: TemplateReference,
    pub settings: Settings,
    pub definition: TemplateDefinition,
    /// The tenant's own fields, by module.
    pub fields: Vec<(ModuleSlug, FieldDefinition)>,
    /// The tenant's own workflows.
    pub workflows: Vec<crate::definition::WorkflowDefinition>,
    /// Plugins that the tenant installed.
    pub plugins: BTreeMap<PluginName, InstalledPlugin>,
    /// Fields whose rows in the typed index, unique values or words are not complete yet,
    /// because they came to records that were there before.
    pub building: BTreeSet<(ModuleSlug, FieldKey)>,
}

/// A plugin as a tenant has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPlugin {
    pub version: semver::Version,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// What its manifest declares and the tenant grants.
    pub grant: Grant,
}

/// A compiled model.
#[derive(Debug)]
pub struct Model {
    tenant_id: TenantId,
    version: i64,
    template: TemplateReference,
    settings: Settings,
    modules: BTreeMap<ModuleSlug, Module>,
    workflows: Vec<Arc<Workflow>>,
    roles: Roles,
    plugins: BTreeMap<PluginName, InstalledPlugin>,
}

/// A compiled module.
#[derive(Debug)]
pub struct Module {
    definition: ModuleDefinition,
    own_fields: BTreeSet<FieldKey>,
    building: BTreeSet<FieldKey>,
    schema: Value,
    validator: Validator,
}

impl Model {
    /// Compiles definitions.
    ///
    /// # Errors
    /// The first mistake found, with its place.
    pub fn compile(source: ModelSource) -> Result<Self, ModelError> {
        let ModelSource {
            tenant_id,
            version,
            template,
            settings,
            definition,
            building,
            ..
        } = source;
        let count = definition.modules.len();
        if count == 0 || count > limits::MODEL_MAX_MODULES {
            let most = limits::MODEL_MAX_MODULES;
            return Err(ModelError::new(
                "modules",
                format!("a model has 1 to {most} modules"),
            ));
        }
        let slugs: BTreeSet<ModuleSlug> = definition
            .modules
            .iter()
            .map(|module| module.slug.clone())
            .collect();
        let mut own_fields: BTreeMap<ModuleSlug, Vec<FieldDefinition>> = BTreeMap::new();
        for (module, field) in source.fields {
            own_fields.entry(module).or_default().push(field);
        }
        let mut modules = BTreeMap::new();
        for module in definition.modules {
            let own = own_fields.remove(&module.slug).unwrap_or_default();
            let slug = module.slug.clone();
            let mut compiled = Module::compile(module, own, &slugs)?;
            compiled.building = building
                .iter()
                .filter(|(module, _)| *module == slug)
                .map(|(_, field)| field.clone())
                .collect();
            if modules.insert(slug.clone(), compiled).is_some() {
                return Err(ModelError::new(
                    format!("modules/{slug}"),
                    "stands there twice",
                ));
            }
        }
        let workflows = definition.workflows.into_iter().chain(source.workflows);
        let workflows = Workflow::compile_all(workflows, &modules, &source.plugins)?;
        let roles = Roles::compile(&definition.roles)
            .map_err(|message| ModelError::new("roles", message))?;
        let plugins = source.plugins;
        Ok(Self {
            tenant_id,
            version,
            template,
            settings,
            modules,
            workflows,
            roles,
            plugins,
        })
    }

    /// Whose model it is.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// Which of the tenant's models it is.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The template below it.
    pub fn template(&self) -> &TemplateReference {
        &self.template
    }

    /// Time zone and language.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The module of that name.
    pub fn module(&self, slug: &ModuleSlug) -> Option<&Module> {
        self.modules.get(slug)
    }

    /// All modules, by name.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    /// All workflows: the template's, then the tenant's.
    pub fn workflows(&self) -> &[Arc<Workflow>] {
        &self.workflows
    }

    /// The installed plugin of that name.
    pub fn plugin(&self, name: &PluginName) -> Option<&InstalledPlugin> {
        self.plugins.get(name)
    }

    /// What somebody may do, by module.
    pub fn permissions(&self, actor: &Actor) -> BTreeMap<ModuleSlug, Vec<Action>> {
        self.roles.permissions(actor, self.modules.keys().cloned())
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }
}

impl Module {
    fn compile(
        mut definition: ModuleDefinition,
        own: Vec<FieldDefinition>,
        modules: &BTreeSet<ModuleSlug>,
    ) -> Result<Self, ModelError> {
        let place = format!("modules/{}", definition.slug);
        let own_fields = own.iter().map(|field| field.key.clone()).collect();
        definition.fields.extend(own);
        if definition.fields.len() > limits::MODULE_MAX_FIELDS {
            let most = limits::MODULE_MAX_FIELDS;
            return Err(ModelError::new(
                place,
                format!("a module has at most {most} fields"),
            ));
        }
        let mut keys = BTreeSet::new();
        for field in &definition.fields {
            let place = format!("{place}/fields/{}", field.key);
            if !keys.insert(&field.key) {
                return Err(ModelError::new(place, "stands there twice"));
            }
            check_field(field, modules)
                .and_then(|()| fields::check_siblings(field, &definition.fields))
                .map_err(|message| ModelError::new(place, message))?;
        }
        if let Some(title) = &definition.title_field
            && !keys.contains(title)
        {
            return Err(ModelError::new(
                place,
                format!("title_field “{title}” is no field of it"),
            ));
        }
        activity::check_types(&definition.activity_types)
            .map_err(|message| ModelError::new(place.clone(), message))?;
        let schema = schema::module_schema(&definition);
        let validator =
            schema::compile(&schema).map_err(|message| ModelError::new(place.clone(), message))?;
        let module = Self {
            definition,
            own_fields,
            building: BTreeSet::new(),
            schema,
            validator,
        };
        module.check_defaults(&place)?;
        Ok(module)
    }

    fn check_defaults(&self, place: &str) -> Result<(), ModelError> {
        for (field, kind) in self.fields() {
            let Some(default) = &field.default else {
                continue;
            };
            let refused = |message: String| {
                let place = format!("{place}/fields/{}/default", field.key);
                Err(ModelError::new(place, message))
            };
            let value = kind.normalize(field, default.clone());
            let schema = kind.schema(field);
            match schema::compile(&schema) {
                Ok(validator) if validator.is_valid(&value) => {}
                Ok(_) => return refused("is not a value of the field".to_owned()),
                Err(message) => return refused(message),
            }
            if let Err(problem) = kind.check(field, &value) {
                return refused(problem.message);
            }
        }
        Ok(())
    }

    /// What the template and the tenant wrote.
    pub fn definition(&self) -> &ModuleDefinition {
        &self.definition
    }

    /// Whether the tenant added the field, not the template.
    pub fn is_own_field(&self, key: &FieldKey) -> bool {
        self.own_fields.contains(key)
    }

    /// Whether lookups by the field can rely on the typed index: it is in it, and completely.
    pub fn has_index(&self, key: &FieldKey) -> bool {
        !self.building.contains(key)
            && self
                .definition
                .fields
                .iter()
                .any(|field| field.key == *key && derived::is_indexed(field))
    }

    /// JSON Schema (2020-12) of a record's data.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    pub(crate) fn validator(&self) -> &Validator {
        &self.validator
    }

    pub(crate) fn fields(
        &self,
    ) -> impl Iterator<Item = (&FieldDefinition, &'static dyn FieldType)> {
        self.definition
            .fields
            .iter()
            .filter_map(|field| Some((field, fields::field_type(&field.kind)?)))
    }

    /// The fields that point to other records, and where to.
    pub fn relations(&self) -> impl Iterator<Item = (&FieldKey, &ModuleSlug)> {
        self.definition
            .fields
            .iter()
            .filter(|field| field.kind == fields::RELATION)
            .filter_map(|field| Some((&field.key, field.module.as_ref()?)))
    }
}

fn check_field(field: &FieldDefinition, modules: &BTreeSet<ModuleSlug>) -> Result<(), String> {
    let Some(kind) = fields::field_type(&field.kind) else {
        let known = fields::type_names().join(", ");
        return Err(format!(
            "there is no type “{}”; types are {known}",
            field.kind
        ));
    };
    if field.label.trim().is_empty() || field.label.chars().count() > limits::LABEL_MAX_CHARACTERS {
        return Err(format!(
            "label has 1 to {} characters",
            limits::LABEL_MAX_CHARACTERS
        ));
    }
    if let Some(pattern) = &field.pattern
        && pattern.chars().count() > limits::PATTERN_MAX_CHARACTERS
    {
        let most = limits::PATTERN_MAX_CHARACTERS;
        return Err(format!("pattern is longer than {most} characters"));
    }
    if let Some(target) = &field.module
        && !modules.contains(target)
    {
        return Err(format!("there is no module “{target}” to relate to"));
    }
    fields::check_definition(kind, field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{model, source};
    use serde_json::json;

    fn error(definition: serde_json::Value) -> String {
        Model::compile(source(definition)).unwrap_err().to_string()
    }

    fn field(attributes: serde_json::Value) -> serde_json::Value {
        let mut field = json!({"key": "a", "label": "A", "type": "text"});
        field
            .as_object_mut()
            .unwrap()
            .extend(attributes.as_object().unwrap().clone());
        json!({"modules": [{"slug": "things", "label": "Thing", "fields": [field]}]})
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (attributes, expected) in [
            (
                json!({"type": "txt"}),
                "modules/things/fields/a: there is no type “txt”",
            ),
            (json!({"type": "select"}), "a select has 1 to 1000 options"),
            (json!({"type": "relation"}), "a relation names its module"),
            (
                json!({"type": "relation", "module": "x"}),
                "there is no module “x”",
            ),
            (
                json!({"type": "decimal", "precision": 29}),
                "precision is 1 to 28 digits",
            ),
            (json!({"type": "integer", "min": "1"}), "whole numbers"),
            (json!({"label": " "}), "label has 1 to 200 characters"),
            (json!({"pattern": "("}), "modules/things"),
            (
                json!({"pattern": "a".repeat(501)}),
                "pattern is longer than 500",
            ),
            (json!({"max_length": 1001}), "at most 1000 characters"),
            (
                json!({"type": "integer", "default": "x"}),
                "default: is not a value",
            ),
            (
                json!({"type": "date", "default": "2026-02-30"}),
                "is not a date",
            ),
        ] {
            let message = error(field(attributes.clone()));
            assert!(message.contains(expected), "{attributes}: {message}");
        }
    }

    #[test]
    fn two_fields_of_one_key_are_refused() {
        let twice = json!({"modules": [{"slug": "things", "label": "Thing", "fields": [
            {"key": "a", "label": "A", "type": "text"},
            {"key": "a", "label": "B", "type": "text"},
        ]}]});
        assert!(error(twice).contains("stands there twice"));
    }

    #[test]
    fn the_schema_is_json_schema_2020_12() {
        let model = model();
        let module = model.module(&"items".parse().unwrap()).unwrap();
        assert!(jsonschema::draft202012::meta::is_valid(module.schema()));
        assert_eq!(module.schema()["required"], json!(["sku"]));
    }
}
