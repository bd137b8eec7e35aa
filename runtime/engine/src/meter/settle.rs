//! The books: what was used here goes to the database, and what all processes used comes back,
//! for many tenants in one round trip.

use crm_model::quota::QuotaName;
use crm_store::quotas::ToSettle;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::Metered;
use crate::{Engine, EngineError, fresh};

/// Tenants in one round trip: their rows are locked until it ends.
const BATCH_TENANTS: usize = 200;
/// Tenants without a limit are only written down, less often.
const UNLIMITED_PAUSES: u32 = 10;
/// A tenant of whom nothing was heard for so long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(600);

impl Engine {
    /// Keeps the books until `stop`, and closes them then.
    pub async fn meter(&self, stop: CancellationToken) {
        let meter = &self.inner.meter;
        let mut round = 0_u32;
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(meter.settings.settle) => {}
                () = stop.cancelled() => {}
            }
            round = round.wrapping_add(1);
            let all = stop.is_cancelled() || round.is_multiple_of(UNLIMITED_PAUSES);
            self.settle_due(all).await;
        }
    }

    /// Adds what is pending, of tenants with a limit or of all.
    async fn settle_due(&self, all: bool) {
        let meter = &self.inner.meter;
        let settle = meter.settings.settle;
        let due = |metered: &Metered| {
            let state = metered.state();
            let limited = [QuotaName::ApiCalls, QuotaName::Fuel]
                .iter()
                .any(|quota| state.limit(meter.defaults(), *quota).is_some());
            let pending = state.calls.has_pending() || state.fuel.has_pending();
            // Whoever was there a moment ago will be again, and should meet what others did.
            let present = state.touched.elapsed() <= settle * UNLIMITED_PAUSES;
            (all && pending) || (limited && (pending || present))
        };
        let due: Vec<Arc<Metered>> = meter
            .tenants
            .iter()
            .filter(|entry| due(entry.value()))
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        for batch in due.chunks(BATCH_TENANTS) {
            if let Err(error) = self.settle(batch).await {
                tracing::warn!(%error, "what tenants used could not be added; it will be");
                return;
            }
        }
        if all {
            meter.tenants.retain(|_, metered| {
                let state = metered.state();
                let pending = state.calls.has_pending() || state.fuel.has_pending();
                pending || state.touched.elapsed() < IDLE_MAX || Arc::strong_count(metered) > 1
            });
        }
    }

    /// Adds what these tenants used, and learns how they stand.
    pub(super) async fn settle(&self, tenants: &[Arc<Metered>]) -> Result<(), EngineError> {
        let mut tenants: Vec<&Arc<Metered>> = tenants.iter().collect();
        tenants.sort_by_key(|metered| metered.tenant);
        let at = fresh::now();
        let mut rows = Vec::with_capacity(4 * tenants.len());
        for metered in &tenants {
            let mut state = metered.state();
            for quota in QuotaName::ALL {
                let row = |window, added| ToSettle {
                    tenant: metered.tenant,
                    quota,
                    window,
                    added,
                };
                match state.flow(quota) {
                    None => rows.push(row(None, 0)),
                    Some(flow) => {
                        let taken = flow.take(at).into_iter();
                        rows.extend(taken.map(|(window, added)| row(Some(window), added)));
                    }
                }
            }
        }
        let taken = Taken {
            tenants: tenants
                .iter()
                .map(|metered| (metered.tenant, Arc::clone(metered)))
                .collect(),
            rows,
            is_settled: false,
        };
        taken.settle(self, at).await
    }
}

/// What is on its way to the database. Whoever drops it in the middle gives it back.
struct Taken {
    tenants: HashMap<crm_model::TenantId, Arc<Metered>>,
    rows: Vec<ToSettle>,
    is_settled: bool,
}

impl Taken {
    async fn settle(
        mut self,
        engine: &Engine,
        at: chrono::DateTime<chrono::Utc>,
    ) -> Result<(), EngineError> {
        let settled = crm_store::quotas::usage_settle(engine.store(), at, &self.rows).await?;
        self.is_settled = true;
        for (row, settled) in self.rows.iter().zip(settled) {
            let Some(metered) = self.tenants.get(&row.tenant) else {
                continue;
            };
            let mut state = metered.state();
            if let (Some(flow), Some(window)) = (state.flow(row.quota), row.window) {
                flow.settled(window, row.added, settled.used);
            }
            match settled.own_limit {
                Some(limit) => drop(state.own.insert(row.quota, limit)),
                None => drop(state.own.remove(&row.quota)),
            }
            state.known = Some(Instant::now());
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        for row in &self.rows {
            let Some(metered) = self.tenants.get(&row.tenant) else {
                continue;
            };
            let mut state = metered.state();
            if let (Some(flow), Some(window)) = (state.flow(row.quota), row.window) {
                flow.failed(window, row.added);
            }
        }
    }
}
