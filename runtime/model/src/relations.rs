//! What holds between modules: where a relation points and what becomes of its record when that
//! one is deleted, and which records a rollup counts. It reads definitions only.

use serde_json::Value;
use std::collections::BTreeMap;

use crate::definition::{FieldDefinition, OnDelete, RollupDefinition, RollupOperation};
use crate::derived::main_part;
use crate::fields::{self, FieldType};
use crate::form::Form;
use crate::model::{ModelError, Module};
use crate::names::{FieldKey, ModuleSlug};
use crate::order::order;

/// Types whose values have an order and are no numbers.
const DATED: [&str; 2] = ["date", "time"];

/// A rollup over the records of some module.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupUse {
    /// The module that has the rollup.
    pub module: ModuleSlug,
    /// The rollup.
    pub field: FieldKey,
    /// What it computes.
    pub definition: RollupDefinition,
}

/// A relation that points to some module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceRule {
    /// The module that has the relation.
    pub module: ModuleSlug,
    /// The relation.
    pub field: FieldKey,
    /// Whether its values are lists.
    pub many: bool,
    /// What becomes of the record that points to a deleted one.
    pub on_delete: OnDelete,
}

/// The rollups and relations of a model, by the module that they look at.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) rollups_over: BTreeMap<ModuleSlug, Vec<RollupUse>>,
    pub(crate) references_to: BTreeMap<ModuleSlug, Vec<ReferenceRule>>,
}

/// A relation whose value is one id, stored with the record.
pub(crate) fn is_to_one(field: &FieldDefinition) -> bool {
    is_stored_relation(field) && !field.many
}

/// A relation that is stored with the record.
pub(crate) fn is_stored_relation(field: &FieldDefinition) -> bool {
    field.kind == fields::RELATION && field.inverse_of.is_none()
}

impl Links {
    /// Checks every relation and rollup against the module that it looks at.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub(crate) fn compile(modules: &BTreeMap<ModuleSlug, Module>) -> Result<Self, ModelError> {
        let mut links = Self::default();
        for (slug, module) in modules {
            for (field, _) in module.fields() {
                links.add(slug, field, modules).map_err(|message| {
                    ModelError::new(format!("modules/{slug}/fields/{}", field.key), message)
                })?;
            }
        }
        check_circles(modules)?;
        Ok(links)
    }

    fn add(
        &mut self,
        slug: &ModuleSlug,
        field: &FieldDefinition,
        modules: &BTreeMap<ModuleSlug, Module>,
    ) -> Result<(), String> {
        check_inverse(slug, field, modules)?;
        if let (true, Some(target)) = (is_stored_relation(field), &field.module) {
            let rule = ReferenceRule {
                module: slug.clone(),
                field: field.key.clone(),
                many: field.many,
                on_delete: on_delete(field)?,
            };
            let rules = self.references_to.entry(target.clone());
            rules.or_default().push(rule);
        } else if field.on_delete.is_some() {
            return Err("on_delete goes with relations that are stored here".to_owned());
        }
        match &field.rollup {
            Some(rollup) if field.kind == fields::ROLLUP => {
                check_rollup(slug, rollup, modules)
                    .and_then(|()| check_result(field, rollup, modules))
                    .map_err(|message| format!("rollup: {message}"))?;
                let rollups = self.rollups_over.entry(rollup.module.clone());
                rollups.or_default().push(RollupUse {
                    module: slug.clone(),
                    field: field.key.clone(),
                    definition: rollup.clone(),
                });
                Ok(())
            }
            Some(_) => Err("rollup goes with fields of type rollup".to_owned()),
            None if field.kind == fields::ROLLUP => {
                Err("a rollup says what it computes, in “rollup”".to_owned())
            }
            None => Ok(()),
        }
    }
}

/// A record that has to point somewhere keeps the one that it points to.
fn on_delete(field: &FieldDefinition) -> Result<OnDelete, String> {
    // What nobody can see must not stand in anybody's way.
    if field.retired {
        return Ok(OnDelete::SetNull);
    }
    match field.on_delete {
        Some(OnDelete::SetNull) if field.required && !field.many => Err(
            "on_delete: a required relation cannot be set to null; use restrict or cascade"
                .to_owned(),
        ),
        Some(chosen) => Ok(chosen),
        None if field.required => Ok(OnDelete::Restrict),
        None => Ok(OnDelete::SetNull),
    }
}

fn check_inverse(
    slug: &ModuleSlug,
    field: &FieldDefinition,
    modules: &BTreeMap<ModuleSlug, Module>,
) -> Result<(), String> {
    let Some(inverse) = &field.inverse_of else {
        return Ok(());
    };
    let target = field.module.as_ref().and_then(|target| modules.get(target));
    let Some(target) = target.filter(|_| field.kind == fields::RELATION) else {
        return Err("inverse_of goes with relations".to_owned());
    };
    if points_to(target, inverse, slug) {
        return Ok(());
    }
    let name = &target.definition().slug;
    Err(format!(
        "inverse_of: “{name}.{inverse}” is no stored relation to “{slug}”"
    ))
}

fn points_to(module: &Module, field: &FieldKey, target: &ModuleSlug) -> bool {
    module.field(field.as_str()).is_some_and(|(field, _)| {
        is_stored_relation(field) && field.module.as_ref() == Some(target)
    })
}

fn check_rollup(
    slug: &ModuleSlug,
    rollup: &RollupDefinition,
    modules: &BTreeMap<ModuleSlug, Module>,
) -> Result<(), String> {
    let RollupDefinition {
        module, relation, ..
    } = rollup;
    let Some(child) = modules.get(module) else {
        return Err(format!("there is no module “{module}”"));
    };
    if !points_to(child, relation, slug) {
        return Err(format!(
            "“{module}.{relation}” is no stored relation to “{slug}”"
        ));
    }
    let Some(key) = &rollup.field else {
        return match rollup.operation {
            RollupOperation::Count => Ok(()),
            _ => Err("name the field of those records, in “field”".to_owned()),
        };
    };
    let Some((field, kind)) = child.field(key.as_str()) else {
        return Err(format!("“{module}” has no field “{key}”"));
    };
    match rollup.operation {
        RollupOperation::Count => Err("count takes no field".to_owned()),
        RollupOperation::Sum | RollupOperation::Avg if !is_number(field, kind) => {
            Err(format!("“{module}.{key}” is not a number"))
        }
        RollupOperation::Min | RollupOperation::Max if !is_ordered(field, kind) => {
            Err(format!("“{module}.{key}” is neither a number nor a date"))
        }
        _ => Ok(()),
    }
}

/// The least and the latest of days and moments are days and moments.
fn check_result(
    field: &FieldDefinition,
    rollup: &RollupDefinition,
    modules: &BTreeMap<ModuleSlug, Module>,
) -> Result<(), String> {
    let child = modules.get(&rollup.module);
    let looked_at = rollup
        .field
        .as_ref()
        .and_then(|key| child?.field(key.as_str()));
    let Some((looked_at, kind)) = looked_at.filter(|(field, kind)| !is_number(field, *kind)) else {
        return Ok(());
    };
    let expected = looked_at.result.as_deref().unwrap_or(kind.name());
    match field.result.as_deref() {
        Some(result) if result == expected => Ok(()),
        _ => Err(format!("say that its result is “{expected}”")),
    }
}

fn is_number(field: &FieldDefinition, kind: &dyn FieldType) -> bool {
    main_part(kind.parts(field)).form == Form::Number
}

fn is_ordered(field: &FieldDefinition, kind: &dyn FieldType) -> bool {
    let dated = |name: &str| DATED.contains(&name);
    is_number(field, kind)
        || main_part(kind.parts(field)).form == Form::Moment
        || dated(kind.name())
        || field.result.as_deref().is_some_and(dated)
}

/// A rollup whose value follows from itself would never come to rest.
fn check_circles(modules: &BTreeMap<ModuleSlug, Module>) -> Result<(), ModelError> {
    let rollups = modules.iter().flat_map(|(slug, module)| {
        module
            .rollups()
            .map(|(field, _)| (slug.clone(), field.clone()))
    });
    let circle = match order(rollups, |place| needs(place, modules)) {
        Ok(_) => return Ok(()),
        Err(circle) => circle,
    };
    let names: Vec<String> = circle
        .iter()
        .map(|(module, field)| format!("{module}.{field}"))
        .collect();
    let place = circle.first().map_or_else(String::new, |(module, field)| {
        format!("modules/{module}/fields/{field}")
    });
    Err(ModelError::new(
        place,
        format!("the rollup computes itself: {}", names.join(" → ")),
    ))
}

type Place = (ModuleSlug, FieldKey);

/// The computed fields from which the value at a place follows.
fn needs(place: &Place, modules: &BTreeMap<ModuleSlug, Module>) -> Vec<Place> {
    let (slug, key) = place;
    let Some((module, (field, _))) = modules
        .get(slug)
        .and_then(|module| Some((module, module.field(key.as_str())?)))
    else {
        return Vec::new();
    };
    let formula = module.rules().formulas.iter();
    let reads = formula
        .filter(|formula| formula.field == *key)
        .flat_map(|formula| &formula.value.reads)
        .map(|read| (slug.clone(), read.clone()));
    let rolled = field.rollup.iter().flat_map(|rollup| {
        let mut fields: Vec<FieldKey> = rollup.field.iter().cloned().collect();
        rollup
            .filter
            .iter()
            .for_each(|filter| filtered(filter, &mut fields));
        fields
            .into_iter()
            .map(|field| (rollup.module.clone(), field))
    });
    reads
        .chain(rolled)
        .filter(|(module, key)| is_formula_or_rollup(modules, module, key))
        .collect()
}

fn is_formula_or_rollup(
    modules: &BTreeMap<ModuleSlug, Module>,
    module: &ModuleSlug,
    key: &FieldKey,
) -> bool {
    let found = modules
        .get(module)
        .and_then(|module| module.field(key.as_str()));
    found.is_some_and(|(field, _)| field.kind == fields::FORMULA || field.kind == fields::ROLLUP)
}

/// The fields that the conditions of a filter name.
fn filtered(filter: &Value, fields: &mut Vec<FieldKey>) {
    match filter {
        Value::Array(parts) => parts.iter().for_each(|part| filtered(part, fields)),
        Value::Object(members) => {
            let name = members.get("field").and_then(Value::as_str);
            let first = name.and_then(|name| name.split('.').next());
            fields.extend(first.and_then(|name| name.parse().ok()));
            members.values().for_each(|part| filtered(part, fields));
        }
        _ => {}
    }
}
