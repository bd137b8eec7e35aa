//! One kind of record, compiled: its fields with their types, its schema, its rules. It answers
//! what there is; what a record may hold is judged in [`crate::validate`].

use jsonschema::Validator;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::Data;
use crate::choices;
use crate::definition::{FieldDefinition, ModuleDefinition, RollupDefinition};
use crate::derived;
use crate::fields::{self, FieldType};
use crate::limits;
use crate::model::ModelError;
use crate::module_checks;
use crate::names::{FieldKey, ModuleSlug};
use crate::overlay::MergedModule;
use crate::relations::{is_stored_relation, is_to_one};
use crate::rules::Rules;
use crate::schema;

/// A compiled module.
#[derive(Debug)]
pub struct Module {
    definition: ModuleDefinition,
    /// The types of the fields, in the same order.
    kinds: Vec<&'static dyn FieldType>,
    positions: BTreeMap<FieldKey, usize>,
    is_own: bool,
    own_fields: BTreeSet<FieldKey>,
    building: BTreeSet<FieldKey>,
    schema: Value,
    validator: Validator,
    rules: Rules,
    /// Selects that depend on another one, and pipelines.
    choices: Vec<FieldKey>,
    retired: Vec<FieldKey>,
}

impl std::fmt::Debug for dyn FieldType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Module {
    /// Compiles a template's module with the tenant's overlay, or the tenant's own; all but what looks into other
    /// modules: see [`Module::set_rules`].
    pub(crate) fn compile(
        merged: MergedModule,
        building: BTreeSet<FieldKey>,
        modules: &BTreeSet<ModuleSlug>,
    ) -> Result<Self, ModelError> {
        let MergedModule {
            definition,
            own_fields,
            is_own,
        } = merged;
        let place = format!("modules/{}", definition.slug);
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
            let kind = module_checks::check_field(field, modules)
                .map_err(|message| ModelError::new(place, message))?;
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
            is_own,
            own_fields,
            building,
            schema,
            validator,
            rules: Rules::default(),
        };
        module_checks::check(&module, &place)?;
        Ok(module)
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// What the template and the tenant wrote.
    pub fn definition(&self) -> &ModuleDefinition {
        &self.definition
    }

    pub(crate) fn mark_building(&mut self, fields: &BTreeSet<FieldKey>) {
        self.building.extend(fields.iter().cloned());
    }

    /// Whether the tenant added the module, not the template.
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Whether the field's rows in the typed index, its unique values, words or computed values
    /// are still being made for records that were there before.
    pub fn is_building(&self, key: &FieldKey) -> bool {
        self.building.contains(key)
    }

    /// Whether the host computes the field's values.
    pub fn is_computed(&self, key: &FieldKey) -> bool {
        self.field(key.as_str())
            .is_some_and(|(_, kind)| kind.is_computed())
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
