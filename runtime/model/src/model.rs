//! A tenant's whole schema, compiled: template and overlay together, immutable, identified by
//! its version. Compiling finds every mistake that a definition can hold, so that later steps
//! need not look again.

use jsonschema::Validator;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Data;
use crate::capability::Grant;
use crate::choices;
use crate::definition::{
    FieldDefinition, ModuleDefinition, RollupDefinition, TemplateDefinition, UniqueDefinition,
};
use crate::derived;
use crate::fields::{self, FieldType};
use crate::form::Form;
use crate::ids::TenantId;
use crate::limits;
use crate::names::{FieldKey, ModuleSlug, PluginName, TemplateSlug};
use crate::permission::{Action, Actor, Roles};
use crate::relations::{Links, ReferenceRule, RollupUse, is_stored_relation, is_to_one};
use crate::rules::Rules;
use crate::schema;
use crate::settings::Settings;
use crate::workflow::Workflow;

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
    links: Links,
    workflows: Vec<Arc<Workflow>>,
    roles: Roles,
    plugins: BTreeMap<PluginName, InstalledPlugin>,
}

impl std::fmt::Debug for dyn FieldType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A compiled module.
#[derive(Debug)]
pub struct Module {
    definition: ModuleDefinition,
    /// The types of the fields, in the same order.
    kinds: Vec<&'static dyn FieldType>,
    positions: BTreeMap<FieldKey, usize>,
    own_fields: BTreeSet<FieldKey>,
    building: BTreeSet<FieldKey>,
    schema: Value,
    validator: Validator,
    rules: Rules,
    /// Selects that depend on another one, and pipelines.
    choices: Vec<FieldKey>,
    retired: Vec<FieldKey>,
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
        let mut rules = modules
            .iter()
            .map(|(slug, module)| Ok((slug.clone(), Rules::compile(module, &modules)?)))
            .collect::<Result<BTreeMap<_, _>, ModelError>>()?;
        for (slug, module) in &mut modules {
            module.rules = rules.remove(slug).unwrap_or_default();
        }
        let links = Links::compile(&modules)?;
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
            links,
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

    /// The rollups that look at records of this module.
    pub fn rollups_over(&self, child: &ModuleSlug) -> &[RollupUse] {
        let rollups = self.links.rollups_over.get(child);
        rollups.map(Vec::as_slice).unwrap_or_default()
    }

    /// The stored relations that point to records of this module.
    pub fn references_to(&self, module: &ModuleSlug) -> &[ReferenceRule] {
        let rules = self.links.references_to.get(module);
        rules.map(Vec::as_slice).unwrap_or_default()
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
        let mut kinds = Vec::with_capacity(definition.fields.len());
        let mut positions = BTreeMap::new();
        for (position, field) in definition.fields.iter().enumerate() {
            let place = format!("{place}/fields/{}", field.key);
            if positions.insert(field.key.clone(), position).is_some() {
                return Err(ModelError::new(place, "stands there twice"));
            }
            let kind =
                check_field(field, modules).map_err(|message| ModelError::new(place, message))?;
            kinds.push(kind);
        }
        let schema = schema::module_schema(&definition);
        let validator =
            schema::compile(&schema).map_err(|message| ModelError::new(place.clone(), message))?;
        let of = |wanted: fn(&FieldDefinition) -> bool| {
            let fields = definition.fields.iter().filter(|field| wanted(field));
            fields.map(|field| field.key.clone()).collect()
        };
        let module = Self {
            choices: of(|field| field.depends_on.is_some() || choices::is_pipeline(field)),
            retired: of(|field| field.retired),
            definition,
            kinds,
            positions,
            own_fields,
            building: BTreeSet::new(),
            schema,
            validator,
            rules: Rules::default(),
        };
        module.check_title(&place)?;
        module.check_choices(&place)?;
        module.check_unique(&place)?;
        module.check_defaults(&place)?;
        Ok(module)
    }

    fn check_title(&self, place: &str) -> Result<(), ModelError> {
        match &self.definition.title_field {
            Some(title) if !self.positions.contains_key(title) => Err(ModelError::new(
                place,
                format!("title_field “{title}” is no field of it"),
            )),
            _ => Ok(()),
        }
    }

    fn check_choices(&self, place: &str) -> Result<(), ModelError> {
        for field in &self.definition.fields {
            choices::check_definition(field, self).map_err(|message| {
                ModelError::new(format!("{place}/fields/{}", field.key), message)
            })?;
        }
        Ok(())
    }

    fn check_unique(&self, place: &str) -> Result<(), ModelError> {
        let definitions = &self.definition.unique;
        if definitions.len() > limits::MODULE_MAX_UNIQUE {
            let most = limits::MODULE_MAX_UNIQUE;
            return Err(ModelError::new(
                format!("{place}/unique"),
                format!("a module has at most {most} of them"),
            ));
        }
        for (index, unique) in definitions.iter().enumerate() {
            self.check_unique_fields(unique)
                .map_err(|message| ModelError::new(format!("{place}/unique/{index}"), message))?;
        }
        let alone = self.definition.fields.iter().filter(|field| field.unique);
        for field in alone {
            self.check_comparable(&field.key).map_err(|message| {
                ModelError::new(format!("{place}/fields/{}/unique", field.key), message)
            })?;
        }
        Ok(())
    }

    fn check_unique_fields(&self, unique: &UniqueDefinition) -> Result<(), String> {
        let count = unique.fields.len();
        if count == 0 || count > limits::UNIQUE_MAX_FIELDS {
            return Err(format!("names 1 to {} fields", limits::UNIQUE_MAX_FIELDS));
        }
        let mut seen = BTreeSet::new();
        for key in &unique.fields {
            if !seen.insert(key) {
                return Err(format!("“{key}” stands there twice"));
            }
            self.check_comparable(key)?;
        }
        Ok(())
    }

    /// Lists and values without an order are compared with nothing, and computed values change
    /// without anybody who could be told.
    fn check_comparable(&self, key: &FieldKey) -> Result<(), String> {
        let slug = &self.definition.slug;
        let Some((field, kind)) = self.field(key.as_str()) else {
            return Err(format!("“{slug}” has no field “{key}”"));
        };
        let form = derived::main_part(kind.parts(field)).form;
        let computed = [fields::FORMULA, fields::ROLLUP].contains(&field.kind.as_str());
        if matches!(form, Form::Opaque | Form::List) || computed || field.inverse_of.is_some() {
            return Err(format!("values of “{key}” cannot be unique"));
        }
        Ok(())
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
            .zip(self.kinds.iter().copied())
    }

    /// The field of that name, with its type.
    pub(crate) fn field(&self, name: &str) -> Option<(&FieldDefinition, &'static dyn FieldType)> {
        let position = *self.positions.get(name)?;
        let kind = *self.kinds.get(position)?;
        Some((self.definition.fields.get(position)?, kind))
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Selects that depend on another one, and pipelines.
    pub(crate) fn choices(&self) -> &[FieldKey] {
        &self.choices
    }

    /// Fields out of use.
    pub(crate) fn retired(&self) -> &[FieldKey] {
        &self.retired
    }

    /// The fields that point to other records and are stored with this one, and where to.
    pub fn relations(&self) -> impl Iterator<Item = (&FieldKey, &ModuleSlug)> {
        self.definition
            .fields
            .iter()
            .filter(|field| is_stored_relation(field))
            .filter_map(|field| Some((&field.key, field.module.as_ref()?)))
    }

    /// The stored relations to one record behind which expressions of this module look: their
    /// records belong into [`crate::validate::Surroundings::related`].
    pub fn related_fields(&self) -> impl Iterator<Item = (&FieldKey, &ModuleSlug)> {
        self.definition
            .fields
            .iter()
            .filter(|field| is_to_one(field) && self.rules.related.contains(&field.key))
            .filter_map(|field| Some((&field.key, field.module.as_ref()?)))
    }

    /// The fields that count new records.
    pub fn auto_numbers(&self) -> impl Iterator<Item = &FieldKey> {
        self.definition
            .fields
            .iter()
            .filter(|field| field.kind == fields::AUTO_NUMBER)
            .map(|field| &field.key)
    }

    /// The rollups of this module.
    pub fn rollups(&self) -> impl Iterator<Item = (&FieldKey, &RollupDefinition)> {
        let fields = self.definition.fields.iter();
        fields.filter_map(|field| Some((&field.key, field.rollup.as_ref()?)))
    }

    /// What people and plugins see of a record's stored data: no retired fields, and nothing
    /// under names that are fields no more.
    pub fn visible<'a>(&self, data: &'a Data) -> Cow<'a, Data> {
        if self.retired.is_empty() {
            return self.known(data);
        }
        self.filtered(data, |name| {
            self.field(name).is_some_and(|(field, _)| !field.retired)
        })
    }

    /// A record's stored data without what stands under names that are fields no more.
    pub(crate) fn known<'a>(&self, data: &'a Data) -> Cow<'a, Data> {
        self.filtered(data, |name| self.positions.contains_key(name))
    }

    fn filtered<'a>(&self, data: &'a Data, keep: impl Fn(&str) -> bool) -> Cow<'a, Data> {
        if data.keys().all(|name| keep(name)) {
            return Cow::Borrowed(data);
        }
        let kept = data.iter().filter(|(name, _)| keep(name));
        Cow::Owned(
            kept.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }
}

fn check_field(
    field: &FieldDefinition,
    modules: &BTreeSet<ModuleSlug>,
) -> Result<&'static dyn FieldType, String> {
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
    kind.check_definition(field)?;
    Ok(kind)
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
