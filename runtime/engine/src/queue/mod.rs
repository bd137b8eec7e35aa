//! The queue as a worker sees it: what to lease when, how many jobs to have in hand, which of them
//! to begin, and what the end of an attempt means for its job. Reads no clock, makes nothing up and
//! names no database: time, randomness, the store and whoever runs attempts come in as a [`Host`],
//! so that the same code runs in production (`crate::worker`, `crate::run`) and, thousands of times
//! over, in a simulation that does to it what machines do (`sim`).

mod attempt;
mod end;
#[cfg(test)]
mod sim;
mod worker;

pub(crate) use attempt::{Ahead, Run, attempt};
pub(crate) use end::{End, Lease, Verdict};
pub(crate) use worker::{Pace, work};

use chrono::{DateTime, Utc};
use crm_model::quota::QuotaSpent;
use crm_model::{JobId, TenantId};
use crm_store::StoreError;
use crm_store::jobs::{JobTurn, LoadedJob};
use std::time::Duration;
use uuid::Uuid;

use crate::EngineError;

/// Time, as the machine that the worker runs on shows it: others may show another.
pub(crate) trait Clock {
    fn now(&self) -> DateTime<Utc>;

    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// The source of randomness.
pub(crate) trait Random {
    /// The token of a lease: no other lease ever has the same.
    fn token(&self) -> Uuid;
}

/// Which jobs a worker takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take {
    pub(crate) now: DateTime<Utc>,
    /// When the lease ends.
    pub(crate) until: DateTime<Utc>,
    pub(crate) token: Uuid,
    pub(crate) limit: i32,
    /// The tenant after which the round goes on.
    pub(crate) after: Option<TenantId>,
}

/// A tenant's leased jobs, and what they are worked with.
pub(crate) type Loaded<M> = Option<(M, Vec<LoadedJob>)>;

/// The part of the database that a worker asks.
pub(crate) trait JobStore {
    /// What a tenant's attempts are made with.
    type Model: Clone + Send + Sync + 'static;

    /// Takes due jobs, the same share from every tenant that has some; in the order in which each
    /// tenant's are to begin.
    ///
    /// # Errors
    /// [`StoreError`]; then jobs may have been taken, and are due again when the lease ends.
    fn lease(&self, take: Take) -> impl Future<Output = Result<Vec<JobTurn>, StoreError>> + Send;

    /// What leased jobs of one tenant need, in any order; none where the tenant has no model.
    ///
    /// # Errors
    /// Those of the store.
    fn load(
        &self,
        tenant: TenantId,
        jobs: &[JobId],
    ) -> impl Future<Output = Result<Loaded<Self::Model>, EngineError>> + Send;

    /// Whether the tenant may run nothing at the moment.
    ///
    /// # Errors
    /// Those of the store.
    fn fuel_spent(
        &self,
        tenant: TenantId,
    ) -> impl Future<Output = Result<Option<QuotaSpent>, EngineError>> + Send;

    /// Gives jobs back untouched; all of the tenant's wait until then.
    ///
    /// # Errors
    /// Those of the store; then they are due again when the lease ends.
    fn defer(
        &self,
        model: &Self::Model,
        jobs: (Vec<LoadedJob>, Uuid),
        now: DateTime<Utc>,
        spent: QuotaSpent,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
}

/// What runs side by side, and ends with whoever started it.
pub(crate) trait Tasks: Send {
    fn start(&mut self, task: impl Future<Output = ()> + Send + 'static);

    /// Forgets those that have ended.
    fn tidy(&mut self);

    /// When all have ended.
    fn ended(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a worker works with.
pub(crate) trait Host: Clock + Random + JobStore + Clone + Send + Sync + 'static {
    type Tasks: Tasks;

    /// For what the worker does itself.
    fn tasks(&self) -> Self::Tasks;

    /// For attempts.
    fn attempts(&self) -> Self::Tasks;

    /// When this process has made a job due since the last time.
    fn told(&self) -> impl Future<Output = ()> + Send;

    /// One attempt, to its end.
    fn attempt(
        &self,
        model: Self::Model,
        lease: Lease,
    ) -> impl Future<Output = ()> + Send + 'static;
}
