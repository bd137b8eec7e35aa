//! What an effect leads to: an event for the record of the run that asked, and a run of the same
//! workflow.

use crm_model::limits::CHAIN_MAX_DEPTH;
use crm_model::{Cause, CausingEvent, EventId, JobId, Model};
use crm_store::effects::{LoadedEffect, NextRun};

use super::Next;
use crate::fresh;

/// The run to start; a sentence where the workflow is not there any more.
pub(super) fn next_run(
    model: &Model,
    effect: &LoadedEffect,
    next: Next,
) -> Result<NextRun, String> {
    let slug = &effect.workflow;
    let mut workflows = model.workflows().iter();
    let workflow = workflows.find(|workflow| workflow.definition().slug == *slug);
    let step = workflow.and_then(|workflow| workflow.steps().first());
    let step = step.ok_or_else(|| format!("there is no workflow “{slug}” any more"))?;
    let plugin = model.plugin(&step.action);
    let plugin = plugin.ok_or_else(|| format!("the action “{}” is not installed", step.action))?;
    let (chain, depth) = match next.new_chain {
        true => (Vec::new(), 0),
        false => (effect.cause.chain(), effect.depth + 1),
    };
    Ok(NextRun {
        event_id: EventId::new(fresh::id()),
        job_id: JobId::new(fresh::id()),
        kind: next.kind,
        payload: next.payload,
        cause: Cause::Workflow {
            workflow: slug.clone(),
            run: effect.job,
            plugin: step.action.clone(),
            plugin_version: plugin.version.to_string(),
            chain,
            event: Some(CausingEvent {
                id: effect.event,
                record_id: effect.record,
            }),
        },
        depth,
        error: (depth > CHAIN_MAX_DEPTH).then(|| {
            format!(
                "the chain is cut here: more than {CHAIN_MAX_DEPTH} workflow runs caused each other"
            )
        }),
    })
}
