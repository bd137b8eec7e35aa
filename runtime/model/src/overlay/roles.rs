//! Roles of a tenant: its own, and edits of the template's.
//! A role that the tenant edited stands in the place of the template's as a whole.

use super::Overlay;
use super::change::{OverlayRefusal, OverlayWrite, parsed};
use super::edit::attributes;
use crate::Data;
use crate::definition::{RoleDefinition, TemplateDefinition};
use crate::limits::{LABEL_MAX_CHARACTERS, MODEL_MAX_ROLES};
use crate::model::ModelSource;
use crate::names::RoleSlug;
use crate::roles::{ANY, Role};
use crate::validate::merge_patch;

impl Overlay {
    /// The template's roles with the tenant's edits, then the tenant's own.
    pub(crate) fn merge_roles(&self, template: &TemplateDefinition) -> Vec<Role> {
        let of_template = template.roles.iter().map(|role| {
            let edited = self.roles.get(&role.slug);
            Role {
                definition: edited.unwrap_or(role).clone(),
                is_own: false,
                is_edited: edited.is_some(),
            }
        });
        let is_own =
            |role: &&RoleDefinition| template.roles.iter().all(|one| one.slug != role.slug);
        let own = self.roles.values().filter(is_own).map(|role| Role {
            definition: role.clone(),
            is_own: true,
            is_edited: false,
        });
        of_template.chain(own).collect()
    }
}

pub(super) fn find(source: &ModelSource, slug: &RoleSlug) -> Result<Role, OverlayRefusal> {
    let mut roles = source.overlay.merge_roles(&source.definition).into_iter();
    roles
        .find(|role| role.definition.slug == *slug)
        .ok_or(OverlayRefusal::NotFound("role"))
}

pub(super) fn add(
    source: &mut ModelSource,
    role: RoleDefinition,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    if find(source, &role.slug).is_ok() {
        let message = format!("the role “{}” exists already", role.slug);
        return Err(OverlayRefusal::Conflict(message));
    }
    if source.overlay.merge_roles(&source.definition).len() >= MODEL_MAX_ROLES {
        let message = format!("a tenant has at most {MODEL_MAX_ROLES} roles");
        return Err(OverlayRefusal::Conflict(message));
    }
    put(source, role)
}

pub(super) fn edit(
    source: &mut ModelSource,
    slug: RoleSlug,
    patch: Data,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let before = find(source, &slug)?.definition;
    let mut wanted = attributes(&before);
    merge_patch(&mut wanted, &patch);
    let wanted: RoleDefinition = parsed(wanted)?;
    if wanted.slug != slug {
        let message = "a role keeps its name: add another role";
        return Err(OverlayRefusal::invalid("/slug", "immutable", message));
    }
    if wanted == before {
        return Ok(Vec::new());
    }
    put(source, wanted)
}

pub(super) fn check_label(label: &str) -> Result<(), OverlayRefusal> {
    if label.trim().is_empty() || label.chars().count() > LABEL_MAX_CHARACTERS {
        let message = format!("a label has 1 to {LABEL_MAX_CHARACTERS} characters");
        return Err(OverlayRefusal::invalid("/label", "length", message));
    }
    Ok(())
}

fn put(
    source: &mut ModelSource,
    role: RoleDefinition,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    check_label(&role.label)?;
    let modules = source.overlay.merge(&source.definition);
    let is_there = |name: &String| {
        let mut modules = modules.iter();
        name == ANY || modules.any(|module| module.definition.slug.as_str() == name.as_str())
    };
    let named = [
        (
            "/permissions",
            role.permissions.keys().find(|name| !is_there(name)),
        ),
        ("/records", role.records.keys().find(|name| !is_there(name))),
    ];
    for (pointer, name) in named {
        if let Some(name) = name {
            let message = format!("there is no module “{name}”");
            return Err(OverlayRefusal::invalid(pointer, "unknown_module", message));
        }
    }
    source.overlay.roles.insert(role.slug.clone(), role.clone());
    Ok(vec![OverlayWrite::Role(role)])
}

pub(super) fn remove(
    source: &mut ModelSource,
    slug: RoleSlug,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    if !find(source, &slug)?.is_own {
        let message = "it is the template's: take its permissions away instead".to_owned();
        return Err(OverlayRefusal::Conflict(message));
    }
    let has_it = source
        .members
        .values()
        .filter(|member| member.roles.contains(&slug));
    match has_it.count() {
        0 => {}
        count => {
            let message = format!("{count} members have the role: give them others first");
            return Err(OverlayRefusal::Conflict(message));
        }
    }
    source.overlay.roles.remove(&slug);
    Ok(vec![OverlayWrite::RoleGone(slug)])
}
