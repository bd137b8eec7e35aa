//! The jobs that a change starts: the door knows the tenant's workflows and its template's hooks,
//! so there is no relay between an event and its jobs.

use chrono::{DateTime, Utc};
use crm_model::limits::{CHAIN_MAX_DEPTH, CHAIN_MAX_RETURNS};
use crm_model::workflow::Workflow;
use crm_model::{Event, EventId, JobId, Lane, Model, RunSource, ValidChange};
use crm_store::commit::NewJob;

use super::Proposal;
use crate::fresh;

/// Why a chain of runs ends before this one: it is too long, or it goes in circles.
pub(crate) fn cut(event: &Event, source: &RunSource) -> Option<String> {
    if event.depth == 0 {
        return None;
    }
    let chain = event.cause.chain();
    let shown = || {
        let runs = chain.iter().map(|link| link.workflow.to_string());
        let runs: Vec<String> = runs.chain([source.to_string()]).collect();
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
        .filter(|link| link.workflow == *source && link.event.record_id == event.record_id);
    (returns.count() > CHAIN_MAX_RETURNS).then(|| {
        format!(
            "the chain is cut here: it goes in circles, “{source}” ran on this record more than \
             {CHAIN_MAX_RETURNS} times already: {}",
            shown()
        )
    })
}

/// One job for each workflow that the change starts, and at the end one where the template's
/// `after-event` is told of it, each waiting for the one before it. What must not start is a job
/// too, born dead, so that people can see it. Beside them one for each webhook that is told of the
/// change by itself, which waits for nobody.
pub(super) fn jobs_of(
    model: &Model,
    proposal: &Proposal<'_>,
    at: DateTime<Utc>,
    event_id: EventId,
    change: &ValidChange,
) -> Vec<NewJob> {
    let mut workflows = model.workflows().iter();
    let is_concerned = workflows.any(|workflow| workflow.definition().module == *change.module());
    let hook = model.after_event(change.module(), change.kind());
    if !proposal.workflows {
        return Vec::new();
    }
    let told = model.subscriptions().iter();
    let told = told
        .filter(|told| told.is_told(change.module(), change.kind(), change.changed()))
        .map(|told| NewJob {
            id: JobId::new(fresh::id()),
            workflow: RunSource::Webhook(told.webhook),
            version: None,
            priority: proposal.priority,
            lane: Lane::default(),
            in_line: true,
            event_id,
            module: change.module().clone(),
            record_id: change.record_id(),
            error: None,
            waits: false,
            next: None,
        });
    if hook.is_none() && !is_concerned {
        return told.collect();
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
    let job = |source: RunSource, workflow: Option<&Workflow>, broken: Option<String>| NewJob {
        id: JobId::new(fresh::id()),
        error: broken.or_else(|| cut(&event, &source)),
        priority: workflow.map_or(proposal.priority, |it| it.priority(proposal.priority)),
        lane: model.lane(&source, workflow.and_then(Workflow::begins_with)),
        in_line: workflow.is_some_and(|it| it.definition().in_order),
        version: workflow.map(Workflow::version),
        workflow: source,
        event_id,
        module: event.module.clone(),
        record_id: event.record_id,
        waits: false,
        next: None,
    };
    let triggered = model
        .workflows()
        .iter()
        .filter(|workflow| workflow.is_triggered_by(&event));
    let runs = triggered.filter_map(|workflow| {
        let broken = match workflow.condition_holds(&event) {
            Ok(false) => return None,
            Ok(true) => None,
            Err(message) => Some(message),
        };
        let source = workflow.definition().slug.clone().into();
        Some(job(source, Some(&**workflow), broken))
    });
    let hooks = hook.into_iter().map(|source| job(source, None, None));
    let mut jobs: Vec<NewJob> = runs.chain(hooks).collect();
    chain(&mut jobs);
    jobs.extend(told);
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
