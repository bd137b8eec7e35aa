//! What the end of an attempt means for its job: it is done, is tried again after a pause, goes on
//! with its next step, or is dead.

use chrono::{DateTime, Utc};
use crm_model::flow::Place;
use crm_model::limits::{JOB_MAX_ATTEMPTS, JOB_MAX_LOST_ATTEMPTS};
use crm_model::{Lane, Priority, TenantId};
use crm_store::commit::{AttemptStatus, JobState};
use crm_store::jobs::LoadedJob;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

use crate::time::{delta, pause};

/// A job under a lease.
pub(crate) struct Lease {
    pub(crate) tenant: TenantId,
    pub(crate) token: Uuid,
    pub(crate) job: LoadedJob,
    /// What limited it when it was leased.
    pub(crate) lane: Lane,
    pub(crate) priority: Priority,
    /// The first pause before trying again; doubles with each attempt.
    pub(crate) backoff: Duration,
}

impl Lease {
    /// Attempts at this step that failed, if this one does too.
    pub(crate) fn failures(&self) -> i32 {
        self.job.failures + 1
    }

    /// Why the job is not even tried: too many attempts at it came to no end.
    pub(crate) fn is_lost(&self) -> Option<String> {
        (self.job.attempt - self.job.failures > JOB_MAX_LOST_ATTEMPTS).then(|| {
            format!(
                "{JOB_MAX_LOST_ATTEMPTS} attempts did not come to an end: the worker stopped in \
                 the middle of each"
            )
        })
    }
}

/// How an attempt ended, before it is written down.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Done,
    Skipped(String),
    /// May be tried again, not before the time given.
    Again {
        reason: String,
        after: Duration,
    },
    /// Will never work.
    Never(String),
}

/// How an attempt ends.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// Of what was called; none where nothing was.
    pub(crate) status: Option<AttemptStatus>,
    pub(crate) state: JobState,
    /// When it goes on; none: at once.
    pub(crate) available_at: Option<DateTime<Utc>>,
    /// Of the run.
    pub(crate) error: Option<String>,
    /// Of what was called.
    pub(crate) call_error: Option<String>,
    pub(crate) place: Option<Place>,
    /// What it hands to the run that called it.
    pub(crate) outputs: Option<Value>,
}

impl End {
    pub(crate) fn new(state: JobState) -> Self {
        Self {
            status: None,
            state,
            available_at: None,
            error: None,
            call_error: None,
            place: None,
            outputs: None,
        }
    }

    pub(crate) fn never(reason: String) -> Self {
        Self {
            status: Some(AttemptStatus::Failed),
            error: Some(reason.clone()),
            call_error: Some(reason),
            ..Self::new(JobState::Dead)
        }
    }

    /// The attempt came to nothing, and is made again or not.
    pub(crate) fn again(lease: &Lease, reason: String, now: DateTime<Utc>) -> Self {
        let tries = (JOB_MAX_ATTEMPTS, None);
        Self::tried_again(lease, tries, &reason, Duration::ZERO, now)
            .unwrap_or_else(|| Self::never(reason))
    }

    /// The attempt came to nothing, and is made again; none where it was the last. `most` attempts
    /// may fail; the first pause is the step's own, where it has one.
    pub(crate) fn tried_again(
        lease: &Lease,
        (most, first): (i32, Option<Duration>),
        reason: &str,
        at_least: Duration,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        (lease.failures() < most).then(|| Self {
            state: JobState::Queued,
            available_at: Some(again_at(lease, first, at_least, now)),
            ..Self::never(reason.to_owned())
        })
    }

    /// Whether the next step may go at once.
    pub(crate) fn is_due_now(&self) -> bool {
        self.state == JobState::Queued && self.available_at.is_none()
    }
}

/// When an attempt is made again: after the step's own pause, where its workflow says one.
fn again_at(
    lease: &Lease,
    first: Option<Duration>,
    at_least: Duration,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let pauses = (first.unwrap_or(lease.backoff), Duration::MAX);
    let pause = pause(pauses, lease.failures(), lease.token);
    now + delta(pause.max(at_least))
}
