//! The jobs that a change starts: the door knows the tenant's workflows, so there is no relay
//! between an event and its jobs.

use chrono::{DateTime, Utc};
use crm_model::limits::CHAIN_MAX_DEPTH;
use crm_model::{Event, EventId, JobId, Model, ValidChange};
use crm_store::commit::NewJob;

use super::Proposal;
use crate::fresh;

/// One job for each workflow that the change starts. What must not start is a job too, born
/// dead, so that people can see it.
pub(super) fn jobs_of(
    model: &Model,
    proposal: &Proposal<'_>,
    at: DateTime<Utc>,
    event_id: EventId,
    change: &ValidChange,
) -> Vec<NewJob> {
    let concerned = model
        .workflows()
        .iter()
        .any(|workflow| workflow.definition().module == *change.module());
    if !concerned || !proposal.workflows {
        return Vec::new();
    }
    let event = Event {
        id: event_id,
        kind: change.kind(),
        module: change.module().clone(),
        record_id: change.record_id(),
        record_version: change.version(),
        before: change.before().cloned(),
        after: change.after().cloned(),
        changed_fields: change.changed().to_vec(),
        payload: None,
        actor: proposal.authority.actor().clone(),
        cause: proposal.cause.clone(),
        depth: proposal.depth,
        occurred_at: at,
    };
    let triggered = model
        .workflows()
        .iter()
        .filter(|workflow| workflow.is_triggered_by(&event));
    triggered
        .filter_map(|workflow| {
            let error = match workflow.condition_holds(&event) {
                Ok(false) => return None,
                Ok(true) if event.depth > CHAIN_MAX_DEPTH => Some(format!(
                    "the chain is cut here: more than {CHAIN_MAX_DEPTH} workflow runs caused \
                     each other"
                )),
                Ok(true) => None,
                Err(message) => Some(message),
            };
            Some(NewJob {
                id: JobId::new(fresh::id()),
                workflow: workflow.definition().slug.clone(),
                event_id,
                module: event.module.clone(),
                record_id: event.record_id,
                error,
            })
        })
        .collect()
}
