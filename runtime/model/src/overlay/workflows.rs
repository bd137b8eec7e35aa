//! Workflows of the tenant: they come, are published anew, and go.

use super::change::{OverlayRefusal, OverlayWrite};
use super::edit::{WorkflowEdit, WorkflowPatch};
use crate::definition::WorkflowDefinition;
use crate::limits::WORKFLOW_NOTE_MAX_CHARACTERS;
use crate::model::{ModelSource, OwnWorkflow};
use crate::names::WorkflowSlug;

/// What is live under that name.
fn live<'a>(source: &'a ModelSource, slug: &WorkflowSlug) -> Option<&'a WorkflowDefinition> {
    let own = source.workflows.iter().filter_map(|own| own.live.as_ref());
    let mut own = own.map(|(_, definition)| definition);
    let mut of_template = source.definition.workflows.iter();
    own.find(|own| own.slug == *slug)
        .or_else(|| of_template.find(|own| own.slug == *slug))
}

pub(super) fn add(
    source: &mut ModelSource,
    workflow: WorkflowDefinition,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    if live(source, &workflow.slug).is_some() {
        let message = format!("the workflow “{}” exists already", workflow.slug);
        return Err(OverlayRefusal::Conflict(message));
    }
    Ok(put(source, workflow, None))
}

pub(super) fn publish(
    source: &mut ModelSource,
    workflow: WorkflowDefinition,
    note: Option<String>,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let characters = note.as_deref().map_or(0, |note| note.chars().count());
    if characters > WORKFLOW_NOTE_MAX_CHARACTERS {
        let message = format!("at most {WORKFLOW_NOTE_MAX_CHARACTERS} characters");
        return Err(OverlayRefusal::invalid("/note", "max_length", message));
    }
    if note.as_deref().is_some_and(|note| note.contains('\0')) {
        return Err(OverlayRefusal::invalid(
            "/note",
            "characters",
            "holds a NUL character",
        ));
    }
    match live(source, &workflow.slug) {
        Some(live) if live.module != workflow.module => {
            let message = format!("a workflow stays with its module, “{}”", live.module);
            Err(OverlayRefusal::invalid("/module", "fixed", message))
        }
        Some(live) if *live == workflow => Ok(Vec::new()),
        _ => Ok(put(source, workflow, note)),
    }
}

fn put(
    source: &mut ModelSource,
    definition: WorkflowDefinition,
    note: Option<String>,
) -> Vec<OverlayWrite> {
    let slug = definition.slug.clone();
    let mut own = source.workflows.iter_mut();
    let version = match own.find(|own| own.slug == slug) {
        Some(own) => {
            own.newest += 1;
            own.live = Some((own.newest, definition.clone()));
            own.newest
        }
        None => {
            source.workflows.push(OwnWorkflow {
                slug,
                newest: 1,
                live: Some((1, definition.clone())),
            });
            1
        }
    };
    vec![OverlayWrite::Workflow {
        definition,
        version,
        note,
    }]
}

pub(super) fn remove(
    source: &mut ModelSource,
    slug: WorkflowSlug,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    let mut own = source.workflows.iter_mut();
    let own = own.find(|own| own.slug == slug && own.live.is_some());
    let Some(own) = own else {
        let mut of_template = source.definition.workflows.iter();
        return Err(match of_template.any(|there| there.slug == slug) {
            true => OverlayRefusal::Conflict(format!(
                "the workflow “{slug}” is the template's: it can be paused, not taken away"
            )),
            false => OverlayRefusal::NotFound("workflow"),
        });
    };
    own.live = None;
    Ok(vec![OverlayWrite::WorkflowGone(slug)])
}

pub(super) fn edit(
    source: &mut ModelSource,
    slug: WorkflowSlug,
    patch: WorkflowPatch,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    if live(source, &slug).is_none() {
        return Err(OverlayRefusal::NotFound("workflow"));
    }
    let edits = &mut source.overlay.workflow_edits;
    let known = edits.get(&slug).copied().unwrap_or_default();
    let edit = WorkflowEdit {
        run_as: patch.run_as.unwrap_or(known.run_as),
        order: patch.order.or(known.order),
        paused: patch.paused.unwrap_or(known.paused),
    };
    if known == edit {
        return Ok(Vec::new());
    }
    edits.insert(slug.clone(), edit);
    Ok(vec![OverlayWrite::WorkflowEdit(slug, edit)])
}
