//! Adding, changing and removing modules. The template's may be relabelled and hidden; the
//! tenant's own may be changed in all but their name.

use serde_json::Value;
use std::collections::BTreeSet;

use super::MergedModule;
use super::change::{OverlayRefusal, OverlayWrite, parsed};
use super::edit::{ModuleEdit, attributes};
use super::fields::put_back;
use crate::Data;
use crate::definition::ModuleDefinition;
use crate::model::ModelSource;
use crate::names::{FieldKey, ModuleSlug};
use crate::validate::merge_patch;

const FIELD_ORDER: &str = "field_order";

pub(super) fn add(
    source: &mut ModelSource,
    mut module: ModuleDefinition,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let slug = module.slug.clone();
    if source.overlay.merged(&source.definition, &slug).is_some() {
        let message = format!("the module “{slug}” exists already");
        return Err(OverlayRefusal::Conflict(message));
    }
    let mut keys = BTreeSet::new();
    for (index, field) in module.fields.iter().enumerate() {
        if !keys.insert(&field.key) {
            return Err(OverlayRefusal::invalid(
                &format!("/fields/{index}/key"),
                "duplicate",
                format!("the field “{}” stands there twice", field.key),
            ));
        }
    }
    let fields = std::mem::take(&mut module.fields);
    source.overlay.modules.push(module.clone());
    let mut writes = vec![OverlayWrite::Module(module)];
    for field in fields {
        source.overlay.fields.push((slug.clone(), field.clone()));
        writes.push(OverlayWrite::Field(slug.clone(), Box::new(field)));
    }
    Ok(writes)
}

pub(super) fn edit(
    source: &mut ModelSource,
    slug: ModuleSlug,
    mut patch: Data,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let module = source.overlay.merged(&source.definition, &slug);
    let module = module.ok_or(OverlayRefusal::NotFound("module"))?;
    check_patch(&patch, &slug)?;
    let order = order_taken(&mut patch, &module.definition)?;
    check_title(&patch, &module.definition)?;
    let mut writes = Vec::new();
    if !patch.is_empty() {
        writes.push(match module.is_own {
            true => own_edit(source, &slug, &patch)?,
            false => template_edit(source, &module, &patch)?,
        });
    }
    if let Some(order) = order {
        let edit = source.overlay.module_edits.entry(slug.clone()).or_default();
        edit.field_order = order;
        writes.push(OverlayWrite::ModuleEdit(slug, edit.clone()));
    }
    Ok(writes)
}

pub(super) fn remove(
    source: &mut ModelSource,
    slug: ModuleSlug,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    if source.overlay.merged(&source.definition, &slug).is_none() {
        return Err(OverlayRefusal::NotFound("module"));
    }
    if source.overlay.own_module(&slug).is_none() {
        let message = format!(
            "the module “{slug}” is the template's and cannot be deleted: hide it instead, with \
             {{\"hidden\": true}}"
        );
        return Err(OverlayRefusal::Conflict(message));
    }
    let overlay = &mut source.overlay;
    overlay.modules.retain(|module| module.slug != slug);
    overlay.fields.retain(|(module, _)| *module != slug);
    overlay.module_edits.remove(&slug);
    Ok(vec![OverlayWrite::ModuleGone(slug)])
}

fn check_patch(patch: &Data, slug: &ModuleSlug) -> Result<(), OverlayRefusal> {
    if patch.contains_key("fields") {
        let message = format!("fields are changed one by one, at /modules/{slug}/fields/{{field}}");
        return Err(OverlayRefusal::invalid("/fields", "immutable", message));
    }
    let renames = patch
        .get("slug")
        .is_some_and(|given| given.as_str() != Some(slug.as_str()));
    if renames {
        let message = "a module's name does not change: change its label";
        return Err(OverlayRefusal::invalid("/slug", "immutable", message));
    }
    Ok(())
}

/// The order that a patch asks for: keys of the module, each once. Null is the usual order.
fn order_taken(
    patch: &mut Data,
    module: &ModuleDefinition,
) -> Result<Option<Vec<FieldKey>>, OverlayRefusal> {
    let order: Vec<FieldKey> = match patch.remove(FIELD_ORDER) {
        None => return Ok(None),
        Some(Value::Null) => Vec::new(),
        Some(order) => serde_json::from_value(order)
            .map_err(|error| OverlayRefusal::invalid("/field_order", "shape", error.to_string()))?,
    };
    let mut seen = BTreeSet::new();
    for (index, key) in order.iter().enumerate() {
        let pointer = format!("/field_order/{index}");
        if !module.fields.iter().any(|field| field.key == *key) {
            let message = format!("“{}” has no field “{key}”", module.slug);
            return Err(OverlayRefusal::invalid(&pointer, "unknown_field", message));
        }
        if !seen.insert(key) {
            let message = format!("“{key}” stands there twice");
            return Err(OverlayRefusal::invalid(&pointer, "duplicate", message));
        }
    }
    Ok(Some(order))
}

/// Records are named by a field that people see.
fn check_title(patch: &Data, module: &ModuleDefinition) -> Result<(), OverlayRefusal> {
    let Some(title) = patch.get("title_field").and_then(Value::as_str) else {
        return Ok(());
    };
    let mut fields = module.fields.iter();
    match fields.find(|field| field.key.as_str() == title) {
        Some(field) if !field.retired => Ok(()),
        Some(_) => Err(OverlayRefusal::invalid(
            "/title_field",
            "retired",
            format!("the field “{title}” is retired: restore it first, or choose another"),
        )),
        None => Err(OverlayRefusal::invalid(
            "/title_field",
            "unknown_field",
            format!("“{}” has no field “{title}”", module.slug),
        )),
    }
}

fn own_edit(
    source: &mut ModelSource,
    slug: &ModuleSlug,
    patch: &Data,
) -> Result<OverlayWrite, OverlayRefusal> {
    let mut modules = source.overlay.modules.iter_mut();
    let own = modules.find(|module| module.slug == *slug);
    let own = own.ok_or(OverlayRefusal::NotFound("module"))?;
    let mut wanted = attributes(own);
    merge_patch(&mut wanted, patch);
    *own = parsed(wanted)?;
    Ok(OverlayWrite::Module(own.clone()))
}

fn template_edit(
    source: &mut ModelSource,
    module: &MergedModule,
    patch: &Data,
) -> Result<OverlayWrite, OverlayRefusal> {
    let slug = &module.definition.slug;
    let mut modules = source.definition.modules.iter();
    let template = modules.find(|module| module.slug == *slug);
    let template = template.ok_or(OverlayRefusal::NotFound("module"))?;
    let mut wanted = attributes(&module.definition);
    put_back(&mut wanted, &attributes(template), patch);
    let mut edit = ModuleEdit::between(template, &parsed(wanted)?)?;
    let edits = &mut source.overlay.module_edits;
    if let Some(before) = edits.get(slug) {
        edit.field_order.clone_from(&before.field_order);
    }
    edits.insert(slug.clone(), edit.clone());
    Ok(OverlayWrite::ModuleEdit(slug.clone(), edit))
}
