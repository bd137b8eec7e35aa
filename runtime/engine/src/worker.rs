//! The worker: leases jobs in fair batches, loads them tenant by tenant, and lets attempts run
//! side by side. Any number of workers, in any number of processes, may run at once.

use crm_model::limits::{LEASE_DEFAULT_SECONDS, LEASE_MAX_JOBS};
use crm_model::quota::QuotaSpent;
use crm_model::{JobId, Model, TenantId};
use crm_store::jobs::LoadedJob;
use crm_store::{StoreError, TenantTx};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::run::{Lease, span};
use crate::time::delta;
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

/// Pause after the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Works until `stop`, then lets running attempts come to their end.
    pub async fn work(&self, settings: WorkerSettings, stop: CancellationToken) {
        // Jobs in hand: those that run and about as many that wait for a place.
        let batch = usize::try_from(LEASE_MAX_JOBS).unwrap_or(1);
        let in_hand = Arc::new(Semaphore::new(2 * batch));
        let running = Arc::new(Semaphore::new(settings.concurrency));
        let mut tasks = JoinSet::new();
        let mut after = None;
        while !stop.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            // All places of a batch at once, so that batches stay large under load.
            let places = tokio::select! {
                places = Arc::clone(&in_hand).acquire_many_owned(batch as u32) => places,
                () = stop.cancelled() => break,
            };
            let Ok(places) = places else { break };
            match self.lease(settings, after).await {
                Ok((token, jobs)) if !jobs.is_empty() => {
                    after = jobs.keys().last().copied();
                    self.start(settings, token, jobs, places, &running, &mut tasks);
                }
                Ok(_) => {
                    drop(places);
                    tokio::select! {
                        () = self.inner.jobs_waiting.notified() => {}
                        () = tokio::time::sleep(settings.poll) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Err(error) => {
                    drop(places);
                    tracing::warn!(%error, "no jobs can be leased");
                    tokio::select! {
                        () = tokio::time::sleep(AWAY_PAUSE) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn lease(
        &self,
        settings: WorkerSettings,
        after: Option<TenantId>,
    ) -> Result<(Uuid, BTreeMap<TenantId, Vec<JobId>>), StoreError> {
        let (now, token) = (fresh::now(), fresh::token());
        let until = now + delta(settings.lease);
        let leased =
            crm_store::jobs::jobs_lease(self.store(), now, until, token, LEASE_MAX_JOBS, after)
                .await?;
        let mut jobs: BTreeMap<TenantId, Vec<JobId>> = BTreeMap::new();
        for (tenant, job) in leased {
            jobs.entry(tenant).or_default().push(job);
        }
        Ok((token, jobs))
    }

    fn start(
        &self,
        settings: WorkerSettings,
        token: Uuid,
        jobs: BTreeMap<TenantId, Vec<JobId>>,
        mut places: OwnedSemaphorePermit,
        running: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
    ) {
        for (tenant, jobs) in jobs {
            let Some(places) = places.split(jobs.len()) else {
                continue;
            };
            let (engine, running) = (self.clone(), Arc::clone(running));
            tasks.spawn(async move {
                let work = engine.run_tenant(settings, token, tenant, &jobs, places, &running);
                if let Err(error) = work.await {
                    tracing::warn!(tenant.id = %tenant, %error, "leased jobs cannot be loaded");
                }
            });
        }
    }

    async fn run_tenant(
        &self,
        settings: WorkerSettings,
        token: Uuid,
        tenant: TenantId,
        jobs: &[JobId],
        mut places: OwnedSemaphorePermit,
        running: &Arc<Semaphore>,
    ) -> Result<(), EngineError> {
        let (version, loaded) = crm_store::jobs::jobs_load(self.store(), tenant, jobs).await?;
        let Some(model) = self.model_at(tenant, version).await? else {
            return Ok(());
        };
        if let Some(spent) = self.fuel_spent(tenant).await? {
            return self.defer(&model, token, loaded, spent).await;
        }
        let mut attempts = JoinSet::new();
        let mut loaded = loaded.into_iter();
        while let Some(job) = loaded.next() {
            let Ok(turn) = Arc::clone(running).acquire_owned().await else {
                break;
            };
            // The attempts before it may have burnt what was left.
            if let Some(spent) = self.fuel_spent(tenant).await? {
                let rest = std::iter::once(job).chain(loaded).collect();
                self.defer(&model, token, rest, spent).await?;
                break;
            }
            let place = places.split(1);
            let lease = Lease {
                tenant,
                token,
                job,
                backoff: settings.backoff,
            };
            let (engine, model) = (self.clone(), Arc::clone(&model));
            // On the guests' runtime as a whole: changing over for the guest's call alone would
            // cost more than the call.
            let guests = self.sandbox().handle();
            let span = span(&lease);
            let attempt = async move {
                engine.attempt(&model, lease).await;
                drop((turn, place));
            };
            attempts.spawn_on(attempt.instrument(span), guests);
        }
        while attempts.join_next().await.is_some() {}
        Ok(())
    }

    /// Gives jobs back untouched; all of the tenant's wait for the next window of its fuel.
    async fn defer(
        &self,
        model: &Model,
        token: Uuid,
        jobs: Vec<LoadedJob>,
        spent: QuotaSpent,
    ) -> Result<(), EngineError> {
        let tenant = model.tenant_id();
        for flow in jobs.iter().flat_map(|job| model.run_flow(&job.workflow)) {
            if let Some(step) = flow.first() {
                self.series.deferred(tenant, step.name, "fuel");
            }
        }
        let jobs: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let now = fresh::now();
        let until = spent.resets_at.unwrap_or(now);
        tracing::info!(tenant.id = %tenant, %spent, "workflow runs wait");
        metrics::counter!("crm_runs_total", "status" => "deferred").increment(jobs.len() as u64);
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        crm_store::quotas::jobs_defer(&mut tx, &jobs, token, now, until).await?;
        Ok(tx.commit().await?)
    }
}
