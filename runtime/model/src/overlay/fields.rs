//! Adding, changing and removing fields. The tenant's own may be changed in all but their key and
//! type; the template's may be relabelled, hidden and looked up, never broken.

use serde_json::{Map, Value};

use super::MergedModule;
use super::change::{OverlayRefusal, OverlayWrite, parsed};
use super::edit::{FieldEdit, attributes};
use crate::Data;
use crate::definition::{FieldDefinition, ModuleDefinition};
use crate::model::ModelSource;
use crate::names::{FieldKey, ModuleSlug};
use crate::validate::merge_patch;
use crate::violation::{Violations, pointer_segment};

/// Attributes that decide how values are stored: values of before would mean nothing after.
const IMMUTABLE: [&str; 5] = ["key", "type", "module", "many", "inverse_of"];
const POSITION: &str = "position";

/// A new field and its place, out of what a client sends: a definition with `position`.
///
/// # Errors
/// What is not the form of a definition.
pub fn field_input(
    mut attributes: Data,
) -> Result<(FieldDefinition, Option<usize>), OverlayRefusal> {
    let position = position_taken(&mut attributes)?;
    Ok((parsed(attributes)?, position))
}

pub(super) fn add(
    source: &mut ModelSource,
    slug: ModuleSlug,
    field: FieldDefinition,
    position: Option<usize>,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let module = merged(source, &slug)?;
    if find(&module.definition, &field.key).is_some() {
        let message = format!("the field “{}” exists already", field.key);
        return Err(OverlayRefusal::Conflict(message));
    }
    let key = field.key.clone();
    source.overlay.fields.push((slug.clone(), field.clone()));
    let mut writes = vec![OverlayWrite::Field(slug.clone(), Box::new(field))];
    if let Some(position) = position {
        writes.push(moved(source, &slug, &key, position)?);
    }
    Ok(writes)
}

pub(super) fn edit(
    source: &mut ModelSource,
    slug: ModuleSlug,
    key: FieldKey,
    mut patch: Data,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let module = merged(source, &slug)?;
    let field = find(&module.definition, &key).ok_or(OverlayRefusal::NotFound("field"))?;
    let position = position_taken(&mut patch)?;
    let retires = patch.get("retired") == Some(&Value::Bool(true)) && !field.retired;
    let mut writes = Vec::new();
    if !patch.is_empty() {
        writes.push(match source.overlay.own_field(&slug, &key) {
            Some(own) => {
                let wanted = own_patched(own, &patch)?;
                OverlayWrite::Field(slug.clone(), Box::new(wanted))
            }
            None => {
                let template = template_field(source, &slug, &key)?;
                let wanted = template_patched(template, field, &patch)?;
                let edit = FieldEdit::between(template, &wanted)?;
                OverlayWrite::FieldEdit(slug.clone(), key.clone(), edit)
            }
        });
    }
    if retires {
        check_retiring(&module, field)?;
    }
    for write in &writes {
        note(source, write);
    }
    if let Some(position) = position {
        writes.push(moved(source, &slug, &key, position)?);
    }
    Ok(writes)
}

pub(super) fn remove(
    source: &mut ModelSource,
    slug: ModuleSlug,
    key: FieldKey,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let module = merged(source, &slug)?;
    if find(&module.definition, &key).is_none() {
        return Err(OverlayRefusal::NotFound("field"));
    }
    if source.overlay.own_field(&slug, &key).is_none() {
        let message = format!(
            "the field “{key}” is the template's and cannot be deleted: hide it instead, with \
             {{\"retired\": true}}"
        );
        return Err(OverlayRefusal::Conflict(message));
    }
    if module.definition.title_field.as_ref() == Some(&key) {
        let message = format!(
            "the field “{key}” names the records of “{slug}”: choose another title_field first"
        );
        return Err(OverlayRefusal::Conflict(message));
    }
    let fields = &mut source.overlay.fields;
    fields.retain(|(module, field)| *module != slug || field.key != key);
    let mut writes = vec![OverlayWrite::FieldGone(slug.clone(), key.clone())];
    if let Some(edit) = source.overlay.module_edits.get_mut(&slug)
        && edit.field_order.contains(&key)
    {
        edit.field_order.retain(|ordered| *ordered != key);
        writes.push(OverlayWrite::ModuleEdit(slug, edit.clone()));
    }
    Ok(writes)
}

fn merged(source: &ModelSource, slug: &ModuleSlug) -> Result<MergedModule, OverlayRefusal> {
    let module = source.overlay.merged(&source.definition, slug);
    module.ok_or(OverlayRefusal::NotFound("module"))
}

fn find<'a>(module: &'a ModuleDefinition, key: &FieldKey) -> Option<&'a FieldDefinition> {
    module.fields.iter().find(|field| field.key == *key)
}

fn template_field<'a>(
    source: &'a ModelSource,
    slug: &ModuleSlug,
    key: &FieldKey,
) -> Result<&'a FieldDefinition, OverlayRefusal> {
    let mut modules = source.definition.modules.iter();
    let module = modules.find(|module| module.slug == *slug);
    module
        .and_then(|module| find(module, key))
        .ok_or(OverlayRefusal::NotFound("field"))
}

fn position_taken(patch: &mut Data) -> Result<Option<usize>, OverlayRefusal> {
    let Some(position) = patch.remove(POSITION) else {
        return Ok(None);
    };
    let place = position.as_u64().and_then(|place| place.try_into().ok());
    match place {
        Some(place) => Ok(Some(place)),
        None => Err(OverlayRefusal::invalid(
            "/position",
            "type",
            "position is the field's place among the module's fields, a whole number from 0",
        )),
    }
}

fn own_patched(own: &FieldDefinition, patch: &Data) -> Result<FieldDefinition, OverlayRefusal> {
    let before = attributes(own);
    let mut after = before.clone();
    merge_patch(&mut after, patch);
    let mut violations = Violations::default();
    for name in IMMUTABLE {
        if before.get(name) != after.get(name) {
            let message = "does not change, because stored values depend on it: add another field";
            violations.add(format!("/{}", pointer_segment(name)), "immutable", message);
        }
    }
    violations.into_result()?;
    parsed(after)
}

/// The field as it is, with the patch over it; null puts the template's own back.
fn template_patched(
    template: &FieldDefinition,
    effective: &FieldDefinition,
    patch: &Data,
) -> Result<FieldDefinition, OverlayRefusal> {
    let mut wanted = attributes(effective);
    put_back(&mut wanted, &attributes(template), patch);
    parsed(wanted)
}

/// Lays a patch over `wanted`; what it sets to null becomes the template's own again.
pub(super) fn put_back(wanted: &mut Data, template: &Map<String, Value>, patch: &Data) {
    for (name, change) in patch {
        match (change, template.get(name)) {
            (Value::Null, Some(own)) => drop(wanted.insert(name.clone(), own.clone())),
            (Value::Null, None) => drop(wanted.remove(name)),
            (change, _) => {
                let change = Map::from_iter([(name.clone(), change.clone())]);
                merge_patch(wanted, &change);
            }
        }
    }
    // Booleans that are false are left out of definitions: false means the template's own.
    for name in [
        "retired",
        "indexed",
        "searchable",
        "personal_data",
        "hidden",
    ] {
        if wanted.get(name) == Some(&Value::Bool(false)) {
            wanted.remove(name);
        }
    }
}

/// What others rely on cannot be hidden.
fn check_retiring(module: &MergedModule, field: &FieldDefinition) -> Result<(), OverlayRefusal> {
    let refused = |message: String| OverlayRefusal::invalid("/retired", "in_use", message);
    let (key, definition) = (&field.key, &module.definition);
    if definition.title_field.as_ref() == Some(key) {
        return Err(refused(format!(
            "the field names the records of “{}”: choose another title_field first",
            definition.slug
        )));
    }
    if field.required && !module.own_fields.contains(key) {
        return Err(refused(
            "the template requires this field: it can be relabelled and moved, not hidden"
                .to_owned(),
        ));
    }
    let mut others = definition.fields.iter().filter(|other| !other.retired);
    match others.find(|other| other.depends_on.as_ref() == Some(key)) {
        Some(other) => Err(refused(format!(
            "the options of “{}” depend on it: retire that field first",
            other.key
        ))),
        None => Ok(()),
    }
}

/// Puts what is to be written into the source.
fn note(source: &mut ModelSource, write: &OverlayWrite) {
    match write {
        OverlayWrite::Field(slug, field) => {
            for (module, there) in &mut source.overlay.fields {
                if module == slug && there.key == field.key {
                    *there = field.as_ref().clone();
                }
            }
        }
        OverlayWrite::FieldEdit(slug, key, edit) => {
            let place = (slug.clone(), key.clone());
            source.overlay.field_edits.insert(place, edit.clone());
        }
        _ => {}
    }
}

/// Moves a field to a place among the module's fields; beyond the end means last.
fn moved(
    source: &mut ModelSource,
    slug: &ModuleSlug,
    key: &FieldKey,
    position: usize,
) -> Result<OverlayWrite, OverlayRefusal> {
    let module = merged(source, slug)?;
    let keys = module.definition.fields.into_iter().map(|field| field.key);
    let mut order: Vec<FieldKey> = keys.filter(|other| other != key).collect();
    order.insert(position.min(order.len()), key.clone());
    let edit = source.overlay.module_edits.entry(slug.clone()).or_default();
    edit.field_order = order;
    Ok(OverlayWrite::ModuleEdit(slug.clone(), edit.clone()))
}
