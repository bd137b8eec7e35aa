//! What was stopped is on probation: for some seconds, that tenant's calls of that component have a
//! thirtieth of one processor together, in bursts.
//!
//! A priority is not enough. A call that computes all the time keeps one processor busy, however low
//! it stands, and whoever answers requests has nowhere to go when something else holds up the other
//! ones; on two processors that is where the slowest requests come from. So what has computed until
//! its fuel or its time was over, and is called again, is not there most of the time.

use crm_model::TenantId;
use moka::sync::Cache;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use wasmtime::Store;

use crate::class::GuestLimits;
use crate::clock::{Pace, Running};
use crate::digest::Digest;
use crate::failure::RunFailure;
use crate::plugin::Plugin;
use crate::store::{GuestState, thread_time};

/// How long it lasts after a call was stopped. Shorter than a breaker's shortest pause
/// ([`BREAKER_PAUSE_SECONDS`](crm_model::limits::BREAKER_PAUSE_SECONDS)): the call that tries whether
/// a component works again has all that it may.
pub(crate) const PROBATION: Duration = Duration::from_secs(10);

/// More are not remembered.
const STOPPED_MAX: u64 = 10_000;

/// What is computed at a time, in units of fuel: some 70 µs. Calls that take no more do not notice
/// that they are on probation.
const BURST_FUEL_UNITS: u64 = 100_000;

/// What computes for longer at a time does things that cost little fuel and much time, as copying its
/// memory; its clock ends its bursts.
const BURST_MAX: Duration = Duration::from_millis(1);

/// How many times as long as a burst its rest takes. One call that is alone can still use up the fuel
/// that it may in the time that it may.
const REST_TIMES: u32 = 29;

/// How long all that are on probation may rest one after the other: each is stopped in time, however
/// many they are.
const ROUND_MAX: Duration = Duration::from_millis(20);

/// Who was stopped lately.
pub(crate) struct Probation {
    stopped: Cache<(TenantId, Digest), ()>,
    bursts: Bursts,
}

/// Counts the calls that compute in bursts.
#[derive(Clone, Default)]
pub(crate) struct Bursts {
    calls: Arc<AtomicUsize>,
}

/// A call that computes in bursts.
pub(crate) struct Burst {
    calls: Arc<AtomicUsize>,
    running: Option<Running>,
    deadline: Instant,
    call_max: Duration,
}

impl Probation {
    pub(crate) fn new() -> Self {
        Self {
            stopped: Cache::builder()
                .max_capacity(STOPPED_MAX)
                .time_to_live(PROBATION)
                .build(),
            bursts: Bursts::default(),
        }
    }

    /// How a tenant's call of a component computes, where it is on probation.
    pub(crate) fn bursts(&self, tenant: Option<TenantId>, plugin: &Plugin) -> Option<Bursts> {
        let is_stopped = |tenant| self.stopped.contains_key(&(tenant, plugin.digest()));
        tenant.is_some_and(is_stopped).then(|| self.bursts.clone())
    }

    /// A call was stopped that computed for long.
    pub(crate) fn begin(&self, tenant: TenantId, plugin: &Plugin) {
        let manifest = plugin.manifest();
        tracing::debug!(tenant.id = %tenant, plugin.name = %manifest.name, "on probation");
        self.stopped.insert((tenant, plugin.digest()), ());
    }
}

impl Bursts {
    /// To be called before the guest begins: the count that ends a burst is kept in registers while it
    /// runs.
    pub(crate) fn begin(
        &self,
        store: &mut Store<GuestState>,
        limits: &GuestLimits,
    ) -> Result<Burst, RunFailure> {
        let interval = store.fuel_async_yield_interval(Some(BURST_FUEL_UNITS));
        interval.map_err(RunFailure::host)?;
        let state = store.data_mut();
        let mut running = state.take_running();
        if let Some(running) = &mut running {
            running.set(Pace::OnProbation);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Burst {
            calls: Arc::clone(&self.calls),
            running,
            deadline: state.deadline(),
            call_max: limits.call_max,
        })
    }
}

impl Burst {
    /// Runs a call on a thread that is there for such calls alone: their rests are the thread's.
    pub(crate) async fn run<T>(
        mut self,
        call: impl Future<Output = Result<T, RunFailure>>,
    ) -> Result<T, RunFailure> {
        let mut call = pin!(call);
        poll_fn(|context| {
            let computed_before = thread_time();
            let polled = call.as_mut().poll(context);
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended.map_err(RunFailure::on_probation));
            }
            let now = Instant::now();
            let left = self.deadline.saturating_duration_since(now);
            if left.is_zero() {
                let failure = RunFailure::TimedOut {
                    limit: self.call_max,
                    took: self.call_max + now.saturating_duration_since(self.deadline),
                    on_probation: true,
                };
                return Poll::Ready(Err(failure));
            }
            let computed = thread_time().saturating_sub(computed_before);
            if let (Some(running), true) = (&mut self.running, computed > BURST_MAX) {
                running.set(Pace::Long);
            }
            let calls = self.calls.load(Ordering::Relaxed);
            std::thread::sleep(rest(computed, calls).min(left));
            Poll::Pending
        })
        .await
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

fn rest(computed: Duration, calls: usize) -> Duration {
    let calls = u32::try_from(calls.max(1)).unwrap_or(u32::MAX);
    computed.saturating_mul(REST_TIMES).min(ROUND_MAX / calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crm_model::limits::BREAKER_PAUSE_SECONDS;

    #[test]
    fn a_rest_is_a_multiple_of_what_was_computed_and_bounded_by_how_many_rest() {
        let burst = Duration::from_micros(70);
        assert_eq!(rest(burst, 1), burst * REST_TIMES);
        assert_eq!(rest(burst, 8), burst * REST_TIMES);
        assert_eq!(rest(burst, 60), ROUND_MAX / 60);
        assert_eq!(rest(Duration::from_secs(3), 1), ROUND_MAX);
    }

    #[test]
    fn a_breaker_tries_again_after_probation() {
        assert!(PROBATION < Duration::from_secs(BREAKER_PAUSE_SECONDS.unsigned_abs()));
    }
}
