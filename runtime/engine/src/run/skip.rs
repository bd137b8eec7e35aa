//! A dead run goes on behind the step that failed, as if its workflow had said `on_error:
//! continue`: under the same keys, and nothing of the step is done.

use crm_model::{Lane, Model, Priority, TenantId, UserId};
use crm_store::commit::JobState;
use crm_store::jobs::LoadedJob;
use crm_store::run_words::{DeadRun, SkippedRun};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use super::course::{Course, Turn};
use super::{Lease, NoFlow};
use crate::{Engine, EngineError};

const NO_STEP: &str = "the run did not fail at a step that it could go on behind: retry it, which \
                       begins anew where what was done was taken back, or cancel it";

impl Engine {
    /// Where a dead run goes on behind the step that it failed at.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where it stands at no such step, or its workflow is not there any
    /// more.
    pub(crate) async fn skip_ahead(
        &self,
        model: &Arc<Model>,
        (tenant, by): (TenantId, &UserId),
        (job, dead): (LoadedJob, DeadRun),
    ) -> Result<SkippedRun, EngineError> {
        let refused = |reason: String| EngineError::Conflict(reason);
        // Nobody holds it, and nothing is written under this lease.
        let lease = Lease {
            tenant,
            token: Uuid::nil(),
            job,
            lane: Lane::default(),
            priority: Priority::Normal,
            backoff: Duration::ZERO,
        };
        let job = &lease.job;
        let flow = match self.run_flow(model, &job.workflow, job.version).await {
            Ok(flow) => flow,
            Err(NoFlow::Gone(reason)) => return Err(refused(reason)),
            Err(NoFlow::Store(error)) => return Err(error.into()),
        };
        let mut course = Course::new(self, model, &flow, &lease);
        let turn = course.next().await.map_err(refused)?;
        let Turn::Act(thread, action, _) = turn else {
            return Err(refused(NO_STEP.to_owned()));
        };
        if dead.step.as_deref() != Some(action.step.as_str()) || dead.status != "failed" {
            return Err(refused(NO_STEP.to_owned()));
        }
        let error = dead.error.unwrap_or_default();
        let end = course.pass_over((thread, action), &error);
        if end.state == JobState::Dead {
            return Err(refused(end.error.unwrap_or_default()));
        }
        Ok(SkippedRun {
            run: job.id,
            died_at: dead.finished_at,
            workflow: job.workflow.clone(),
            attempt: job.attempt,
            step: action.step.clone(),
            state: end.state,
            place: end.place,
            available_at: end.available_at,
            reason: format!("skipped by {by}; it had failed: {error}"),
        })
    }
}
