//! Mistakes that a module's definition can hold by itself. What concerns its expressions stands in
//! [`crate::rules`], what concerns other modules in [`crate::relations`].

use std::collections::BTreeSet;

use crate::activity;
use crate::choices;
use crate::definition::{FieldDefinition, ModuleDefinition, UniqueDefinition};
use crate::derived;
use crate::fields::{self, FieldType};
use crate::form::Form;
use crate::limits;
use crate::model::ModelError;
use crate::module::Module;
use crate::names::{FieldKey, ModuleSlug};
use crate::rules::is_computed;
use crate::schema;

/// Finds the first mistake between a module's fields.
///
/// # Errors
/// The mistake, with its place below `place`.
pub(crate) fn check(module: &Module, place: &str) -> Result<(), ModelError> {
    check_labels(module.definition()).map_err(|message| ModelError::new(place, message))?;
    activity::check_types(&module.definition().activity_types)
        .map_err(|message| ModelError::new(place, message))?;
    check_title(module, place)?;
    check_choices(module, place)?;
    check_unique(module, place)?;
    check_defaults(module, place)
}

/// Finds the first mistake of one field; gives its type.
///
/// # Errors
/// The mistake, as a sentence.
pub(crate) fn check_field(
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
    fields::check_definition(kind, field)?;
    Ok(kind)
}

fn check_labels(module: &ModuleDefinition) -> Result<(), String> {
    let most = limits::LABEL_MAX_CHARACTERS;
    let plural = module.label_plural.as_ref();
    for (name, label) in [("label", Some(&module.label)), ("label_plural", plural)] {
        let fits = |label: &String| !label.trim().is_empty() && label.chars().count() <= most;
        if !label.is_none_or(fits) {
            return Err(format!("{name} has 1 to {most} characters"));
        }
    }
    let texts = [
        (
            "description",
            &module.description,
            limits::DESCRIPTION_MAX_CHARACTERS,
        ),
        ("icon", &module.icon, limits::NAME_MAX_CHARACTERS),
    ];
    for (name, text, most) in texts {
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > most)
        {
            return Err(format!("{name} has at most {most} characters"));
        }
    }
    Ok(())
}

fn check_title(module: &Module, place: &str) -> Result<(), ModelError> {
    match &module.definition().title_field {
        Some(title) if module.field(title.as_str()).is_none() => Err(ModelError::new(
            place,
            format!("title_field “{title}” is no field of it"),
        )),
        _ => Ok(()),
    }
}

fn check_choices(module: &Module, place: &str) -> Result<(), ModelError> {
    for field in &module.definition().fields {
        choices::check_definition(field, module)
            .map_err(|message| ModelError::new(format!("{place}/fields/{}", field.key), message))?;
    }
    Ok(())
}

fn check_unique(module: &Module, place: &str) -> Result<(), ModelError> {
    let definitions = &module.definition().unique;
    if definitions.len() > limits::MODULE_MAX_UNIQUE {
        let most = limits::MODULE_MAX_UNIQUE;
        return Err(ModelError::new(
            format!("{place}/unique"),
            format!("a module has at most {most} of them"),
        ));
    }
    for (index, unique) in definitions.iter().enumerate() {
        check_unique_fields(module, unique)
            .map_err(|message| ModelError::new(format!("{place}/unique/{index}"), message))?;
    }
    let alone = module
        .definition()
        .fields
        .iter()
        .filter(|field| field.unique);
    for field in alone {
        check_comparable(module, &field.key).map_err(|message| {
            ModelError::new(format!("{place}/fields/{}/unique", field.key), message)
        })?;
    }
    Ok(())
}

fn check_unique_fields(module: &Module, unique: &UniqueDefinition) -> Result<(), String> {
    let count = unique.fields.len();
    if count == 0 || count > limits::UNIQUE_MAX_FIELDS {
        return Err(format!("names 1 to {} fields", limits::UNIQUE_MAX_FIELDS));
    }
    let mut seen = BTreeSet::new();
    for key in &unique.fields {
        if !seen.insert(key) {
            return Err(format!("“{key}” stands there twice"));
        }
        check_comparable(module, key)?;
    }
    Ok(())
}

/// Lists and values without an order are compared with nothing, and computed values change
/// without anybody who could be told.
fn check_comparable(module: &Module, key: &FieldKey) -> Result<(), String> {
    let slug = &module.definition().slug;
    let Some((field, kind)) = module.field(key.as_str()) else {
        return Err(format!("“{slug}” has no field “{key}”"));
    };
    let form = derived::main_part(kind.parts(field)).form;
    let computed = [fields::FORMULA, fields::ROLLUP].contains(&field.kind.as_str());
    if matches!(form, Form::Opaque | Form::List) || computed || field.inverse_of.is_some() {
        return Err(format!("values of “{key}” cannot be unique"));
    }
    Ok(())
}

fn check_defaults(module: &Module, place: &str) -> Result<(), ModelError> {
    for (field, kind) in module.fields() {
        let Some(default) = &field.default else {
            continue;
        };
        let refused = |message: String| {
            let place = format!("{place}/fields/{}/default", field.key);
            Err(ModelError::new(place, message))
        };
        if is_computed(field, kind) {
            return refused("the field is computed and needs no default".to_owned());
        }
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
