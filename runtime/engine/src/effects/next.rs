//! What an effect leads to: an event for the record of the run that asked, and another run of
//! the same source.

use crm_model::limits::CHAIN_MAX_DEPTH;
use crm_model::run_source::RunFlow;
use crm_model::{Cause, CausingEvent, EventId, JobId};
use crm_store::effects::{LoadedEffect, NextRun};

use super::Next;
use crate::fresh;

/// The run to start; a sentence where its source is not there any more.
pub(super) fn next_run(
    flow: &Result<RunFlow<'_>, String>,
    effect: &LoadedEffect,
    next: Next,
) -> Result<NextRun, String> {
    let flow = flow.as_ref().map_err(Clone::clone)?;
    let (place, action) = flow.program().only(effect.step.as_ref())?;
    let step = flow.step(action)?;
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
            workflow: effect.workflow.clone(),
            run: effect.job,
            plugin: step.name.clone(),
            plugin_version: step.plugin.version.to_string(),
            chain,
            event: Some(CausingEvent {
                id: effect.event,
                record_id: effect.record,
            }),
        },
        depth,
        place,
        error: (depth > CHAIN_MAX_DEPTH).then(|| {
            format!(
                "the chain is cut here: more than {CHAIN_MAX_DEPTH} workflow runs caused each other"
            )
        }),
    })
}
