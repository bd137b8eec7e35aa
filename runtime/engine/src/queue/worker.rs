//! The loop of a worker: leases fair batches as long as it has places for them, loads them tenant
//! by tenant, and lets so many attempts run side by side.

use chrono::{DateTime, Utc};
use crm_model::{JobId, TenantId};
use crm_store::StoreError;
use crm_store::jobs::{JobTurn, LoadedJob};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Host, Lease, Take, Tasks};
use crate::EngineError;
use crate::time::delta;
use crate::worker::WorkerSettings;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) settings: WorkerSettings,
    /// Jobs that it leases at once. It has twice as many in hand at most: those that run, and about
    /// as many that wait for a place.
    pub(crate) batch: u16,
}

/// Pause after the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// Works until `stop`, then lets running attempts come to their end.
pub(crate) async fn work<H: Host>(host: H, pace: Pace, stop: CancellationToken) {
    let in_hand = Arc::new(Semaphore::new(2 * usize::from(pace.batch)));
    let worker = Worker {
        pace,
        running: Arc::new(Semaphore::new(pace.settings.concurrency)),
        host: host.clone(),
    };
    let mut tasks = host.tasks();
    let mut after = None;
    while !stop.is_cancelled() {
        tasks.tidy();
        // All places of a batch at once, so that batches stay large under load.
        let places = Arc::clone(&in_hand).acquire_many_owned(u32::from(pace.batch));
        let places = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            places = places => places,
        };
        let Ok(places) = places else { break };
        match worker.lease(after).await {
            Ok(leased) if !leased.jobs.is_empty() => {
                after = leased.jobs.keys().last().copied();
                worker.start(leased, places, &mut tasks);
            }
            Ok(_) => {
                drop(places);
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = host.told() => {}
                    () = host.sleep(pace.settings.poll) => {}
                }
            }
            Err(error) => {
                drop(places);
                tracing::warn!(%error, "no jobs can be leased");
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = host.sleep(AWAY_PAUSE) => {}
                }
            }
        }
    }
    tasks.ended().await;
}

#[derive(Clone)]
struct Worker<H> {
    host: H,
    pace: Pace,
    running: Arc<Semaphore>,
}

/// A batch.
struct Leased {
    token: Uuid,
    until: DateTime<Utc>,
    jobs: BTreeMap<TenantId, Vec<JobTurn>>,
}

/// One tenant's share of a batch.
struct Share {
    token: Uuid,
    until: DateTime<Utc>,
    tenant: TenantId,
    jobs: Vec<JobTurn>,
    places: OwnedSemaphorePermit,
}

impl<H: Host> Worker<H> {
    async fn lease(&self, after: Option<TenantId>) -> Result<Leased, StoreError> {
        let (now, token) = (self.host.now(), self.host.token());
        let take = Take {
            now,
            until: now + delta(self.pace.settings.lease),
            token,
            limit: i32::from(self.pace.batch),
            after,
        };
        let mut jobs: BTreeMap<TenantId, Vec<JobTurn>> = BTreeMap::new();
        for turn in self.host.lease(take).await? {
            jobs.entry(turn.tenant).or_default().push(turn);
        }
        Ok(Leased {
            token,
            until: take.until,
            jobs,
        })
    }

    fn start(&self, leased: Leased, mut places: OwnedSemaphorePermit, tasks: &mut H::Tasks) {
        for (tenant, jobs) in leased.jobs {
            let Some(places) = places.split(jobs.len()) else {
                continue;
            };
            let share = Share {
                token: leased.token,
                until: leased.until,
                tenant,
                jobs,
                places,
            };
            let worker = self.clone();
            tasks.start(async move {
                if let Err(error) = worker.run_tenant(share).await {
                    tracing::warn!(tenant.id = %tenant, %error, "leased jobs cannot be loaded");
                }
            });
        }
    }

    async fn run_tenant(&self, mut share: Share) -> Result<(), EngineError> {
        let ids: Vec<JobId> = share.jobs.iter().map(|turn| turn.job).collect();
        let loaded = self.host.load(share.tenant, &ids).await?;
        let Some((model, loaded)) = loaded else {
            return Ok(());
        };
        let loaded = loaded.into_iter().map(|job| (job.id, job));
        let mut loaded: BTreeMap<JobId, LoadedJob> = loaded.collect();
        let turns = std::mem::take(&mut share.jobs).into_iter();
        let jobs = turns.filter_map(|turn| Some((loaded.remove(&turn.job)?, turn)));
        let mut attempts = self.host.attempts();
        let begun = self
            .begin(&model, share, jobs.collect(), &mut attempts)
            .await;
        // Whatever happened to the others.
        attempts.ended().await;
        begun
    }

    /// Begins attempts one after the other, as places to run become free.
    async fn begin(
        &self,
        model: &H::Model,
        mut share: Share,
        jobs: Vec<(LoadedJob, JobTurn)>,
        attempts: &mut H::Tasks,
    ) -> Result<(), EngineError> {
        let (host, tenant, token) = (&self.host, share.tenant, share.token);
        if let Some(spent) = host.fuel_spent(tenant).await? {
            let jobs = jobs.into_iter().map(|(job, _)| job).collect();
            return host.defer(model, (jobs, token), host.now(), spent).await;
        }
        let mut jobs = jobs.into_iter();
        while let Some((job, turn)) = jobs.next() {
            let Ok(running) = Arc::clone(&self.running).acquire_owned().await else {
                break;
            };
            let place = share.places.split(1);
            // Its turn came too late: others may have it by now, and what it did would be lost.
            if host.now() >= share.until {
                metrics::counter!("crm_runs_total", "status" => "lease_lost").increment(1);
                tracing::info!(tenant.id = %tenant, job.id = %job.id, "its turn came after its lease");
                continue;
            }
            // The attempts before it may have burnt what was left.
            if let Some(spent) = host.fuel_spent(tenant).await? {
                let rest = jobs.map(|(job, _)| job);
                let rest = std::iter::once(job).chain(rest).collect();
                return host.defer(model, (rest, token), host.now(), spent).await;
            }
            let lease = Lease {
                tenant,
                token,
                job,
                lane: turn.lane,
                priority: turn.priority,
                backoff: self.pace.settings.backoff,
            };
            let attempt = host.attempt(model.clone(), lease);
            attempts.start(async move {
                attempt.await;
                drop((running, place));
            });
        }
        Ok(())
    }
}
