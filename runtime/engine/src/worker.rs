//! The worker of a process: the queue ([`crate::queue`]) over the real clock, the real randomness
//! and the database. Any number of workers, in any number of processes, may run at once.

use chrono::{DateTime, Utc};
use crm_model::limits::{LEASE_DEFAULT_SECONDS, LEASE_MAX_JOBS};
use crm_model::quota::QuotaSpent;
use crm_model::{JobId, Model, TenantId};
use crm_store::jobs::{JobTurn, LoadedJob};
use crm_store::{StoreError, TenantTx};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::queue::{self, Clock, Host, JobStore, Lease, Pace, Random, Take, Tasks};
use crate::run::span;
use crate::{Engine, EngineError, fresh};

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Attempts that run side by side.
    pub concurrency: usize,
    /// How long a job is this worker's; another takes it up after that.
    pub lease: Duration,
    /// How often to look for jobs that others made.
    pub poll: Duration,
    /// The first pause before a failed job is tried again.
    pub backoff: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 16,
            lease: Duration::from_secs(LEASE_DEFAULT_SECONDS),
            poll: Duration::from_millis(100),
            backoff: Duration::from_secs(1),
        }
    }
}

impl Engine {
    /// Works until `stop`, then lets running attempts come to their end.
    pub async fn work(&self, settings: WorkerSettings, stop: CancellationToken) {
        let pace = Pace {
            settings,
            batch: u16::try_from(LEASE_MAX_JOBS).unwrap_or(1),
        };
        queue::work(self.clone(), pace, stop).await;
    }
}

impl Clock for Engine {
    fn now(&self) -> DateTime<Utc> {
        fresh::now()
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

impl Random for Engine {
    fn token(&self) -> Uuid {
        fresh::token()
    }
}

impl JobStore for Engine {
    type Model = Arc<Model>;

    async fn lease(&self, take: Take) -> Result<Vec<JobTurn>, StoreError> {
        let (times, running) = ((take.now, take.until), self.running_default());
        let Take {
            token,
            limit,
            after,
            ..
        } = take;
        crm_store::jobs::jobs_lease(self.store(), times, token, limit, after, running).await
    }

    async fn load(
        &self,
        tenant: TenantId,
        jobs: &[JobId],
    ) -> Result<Option<(Arc<Model>, Vec<LoadedJob>)>, EngineError> {
        let (version, loaded) = crm_store::jobs::jobs_load(self.store(), tenant, jobs).await?;
        let model = self.model_at(tenant, version).await?;
        Ok(model.map(|model| (model, loaded)))
    }

    async fn fuel_spent(&self, tenant: TenantId) -> Result<Option<QuotaSpent>, EngineError> {
        self.fuel_spent(tenant).await
    }

    async fn defer(
        &self,
        model: &Arc<Model>,
        (jobs, token): (Vec<LoadedJob>, Uuid),
        now: DateTime<Utc>,
        spent: QuotaSpent,
    ) -> Result<(), EngineError> {
        let tenant = model.tenant_id();
        for flow in jobs.iter().flat_map(|job| model.run_flow(&job.workflow)) {
            if let Some(step) = flow.first() {
                self.series.deferred(tenant, step.name, "fuel");
            }
        }
        let jobs: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let until = spent.resets_at.unwrap_or(now);
        tracing::info!(tenant.id = %tenant, %spent, "workflow runs wait");
        metrics::counter!("crm_runs_total", "status" => "deferred").increment(jobs.len() as u64);
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        crm_store::quotas::jobs_defer(&mut tx, &jobs, token, now, until).await?;
        Ok(tx.commit().await?)
    }
}

impl Host for Engine {
    type Tasks = TaskSet;

    fn tasks(&self) -> TaskSet {
        TaskSet {
            set: JoinSet::new(),
            runtime: None,
        }
    }

    /// On the guests' runtime as a whole: changing over for the guest's call alone would cost more
    /// than the call.
    fn attempts(&self) -> TaskSet {
        TaskSet {
            set: JoinSet::new(),
            runtime: Some(self.sandbox().handle().clone()),
        }
    }

    async fn told(&self) {
        self.inner.jobs_waiting.notified().await;
    }

    fn attempt(
        &self,
        model: Arc<Model>,
        lease: Lease,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (engine, span) = (self.clone(), span(&lease));
        async move { engine.attempt(&model, lease).await }.instrument(span)
    }
}

/// Tasks of tokio's, on this runtime or another one.
pub(crate) struct TaskSet {
    set: JoinSet<()>,
    runtime: Option<Handle>,
}

impl Tasks for TaskSet {
    fn start(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.runtime {
            None => self.set.spawn(task),
            Some(runtime) => self.set.spawn_on(task, runtime),
        };
    }

    fn tidy(&mut self) {
        while self.set.try_join_next().is_some() {}
    }

    async fn ended(&mut self) {
        while self.set.join_next().await.is_some() {}
    }
}
