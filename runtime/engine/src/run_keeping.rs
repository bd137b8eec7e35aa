//! What a host does for the runs of all tenants: it looks whether some are stuck, makes the months
//! of their log, and takes away what is older than it is kept. Every instance may do all of it at
//! once; the database sees to it that two are not at the same thing.

use chrono::TimeDelta;
use crm_model::Violations;
use crm_model::limits::{
    RUN_LOG_MONTHS_AHEAD, RUN_TRIM_LOOK_SECONDS, RUN_TRIM_ROWS, STUCK_AFTER_SECONDS,
    STUCK_LOOK_SECONDS, STUCK_MAX_COUNTED,
};
use crm_store::run_keeping::{self, QueueHealth};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError, fresh};

/// Tenants that are asked for at once.
const TENANTS_AT_ONCE: i32 = 500;
/// Between two batches of what goes, so that others have the database too.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Tells on `/metrics`, every so often until `stop`, how many runs of all tenants are stuck and
    /// for how long the oldest job is due.
    pub async fn watch_queue(&self, stop: CancellationToken) {
        loop {
            match self.queue_health().await {
                Ok(health) => {
                    let waits = health.oldest_due.map(|due| fresh::now() - due);
                    let waits = waits.map_or(0, |waits| waits.num_milliseconds().max(0));
                    metrics::gauge!("crm_runs_stuck").set(health.stuck as f64);
                    metrics::gauge!("crm_jobs_oldest_due_seconds").set(waits as f64 / 1_000.0);
                    if health.stuck > 0 {
                        tracing::warn!(runs = health.stuck, "workflow runs are stuck");
                    }
                }
                Err(error) => tracing::warn!(%error, "the queue cannot be looked at"),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(STUCK_LOOK_SECONDS)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// How the queue of the whole installation stands.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn queue_health(&self) -> Result<QueueHealth, EngineError> {
        let now = fresh::now();
        let late = now - TimeDelta::seconds(i64::from(STUCK_AFTER_SECONDS));
        let (times, running) = ((now, late), self.running_default());
        let health = run_keeping::queue_health(self.store(), times, STUCK_MAX_COUNTED, running);
        Ok(health.await?)
    }

    /// Makes months of the run log ahead and takes away what is older than it is kept, every so
    /// often until `stop`.
    pub async fn keep_run_logs(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.run_logs_keep(&stop).await {
                tracing::warn!(%error, "old runs are not taken away; that is tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(RUN_TRIM_LOOK_SECONDS)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// A tenant keeps its runs no longer than the operator does.
    pub(crate) fn check_run_log_days(&self, days: Option<u32>) -> Result<(), EngineError> {
        let most = self.run_log_days();
        if days.is_none_or(|days| days <= most) {
            return Ok(());
        }
        let message = format!("runs are kept for {most} days here at most");
        let violations = Violations::one("/run_log_days", "range", message);
        Err(EngineError::invalid(violations))
    }

    /// Does so once: months first, so that no run waits for one.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn run_logs_keep(&self, stop: &CancellationToken) -> Result<(), EngineError> {
        let store = self.store();
        let days = i32::try_from(self.run_log_days()).unwrap_or(i32::MAX);
        let missing = run_keeping::run_logs_ahead(store, RUN_LOG_MONTHS_AHEAD).await?;
        if let Some(missing @ 1..) = missing {
            tracing::warn!(
                missing,
                "months of the run log are not there: rows lie elsewhere"
            );
        }
        if let Some(dropped @ 1..) = run_keeping::run_logs_drop(store, days).await? {
            tracing::info!(dropped, "months of the run log were dropped");
        }
        let mut after = None;
        loop {
            let tenants = run_keeping::tenants_with_runs(store, after, TENANTS_AT_ONCE).await?;
            let Some(last) = tenants.last() else {
                return Ok(());
            };
            after = Some(*last);
            for tenant in tenants {
                while !stop.is_cancelled()
                    && run_keeping::runs_trim(store, tenant, days, RUN_TRIM_ROWS).await?
                        >= RUN_TRIM_ROWS
                {
                    tokio::time::sleep(BATCH_PAUSE).await;
                }
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }
}
