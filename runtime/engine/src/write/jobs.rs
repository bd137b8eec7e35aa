//! The jobs that a change starts: the door knows the tenant's workflows, so there is no relay
//! between an event and its jobs.

use chrono::{DateTime, Utc};
use crm_model::limits::{CHAIN_MAX_DEPTH, CHAIN_MAX_RETURNS};
use crm_model::{Event, EventId, JobId, Model, ValidChange, WorkflowSlug};
use crm_store::commit::NewJob;

use super::Proposal;
use crate::fresh;

/// Why a chain of runs ends before this workflow: it is too long, or it goes in circles.
fn cut(event: &Event, workflow: &WorkflowSlug) -> Option<String> {
    if event.depth == 0 {
        return None;
    }
    let chain = event.cause.chain();
    let shown = || {
        let runs = chain.iter().map(|link| link.workflow.as_str());
        let runs: Vec<&str> = runs.chain([workflow.as_str()]).collect();
        runs.join(" → ")
    };
    if event.depth > CHAIN_MAX_DEPTH {
        return Some(format!(
            "the chain is cut here: more than {CHAIN_MAX_DEPTH} workflow runs caused each other: {}",
            shown()
        ));
    }
    let returns = chain
        .iter()
        .filter(|link| link.workflow == *workflow && link.event.record_id == event.record_id);
    (returns.count() > CHAIN_MAX_RETURNS).then(|| {
        format!(
            "the chain is cut here: it goes in circles, “{workflow}” ran on this record more than \
             {CHAIN_MAX_RETURNS} times already: {}",
            shown()
        )
    })
}

/// One job for each workflow that the change starts, each waiting for the one before it. What must
/// not start is a job too, born dead, so that people can see it.
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
    let mut jobs: Vec<NewJob> = triggered
        .filter_map(|workflow| {
            let error = match workflow.condition_holds(&event) {
                Ok(false) => return None,
                Ok(true) => cut(&event, &workflow.definition().slug),
                Err(message) => Some(message),
            };
            Some(NewJob {
                id: JobId::new(fresh::id()),
                workflow: workflow.definition().slug.clone(),
                event_id,
                module: event.module.clone(),
                record_id: event.record_id,
                error,
                waits: false,
                next: None,
            })
        })
        .collect();
    chain(&mut jobs);
    jobs
}

/// Lets each job that starts wait for the one before it.
fn chain(jobs: &mut [NewJob]) {
    let mut before: Option<&mut NewJob> = None;
    for job in jobs.iter_mut().filter(|job| job.error.is_none()) {
        let id = job.id;
        job.waits = before.is_some();
        if let Some(before) = before.replace(job) {
            before.next = Some(id);
        }
    }
}
