//! What was stopped is on probation: for some seconds, that tenant's calls of that component compute
//! in bursts, and all that do have a thirtieth of one processor together, or a hundredth where they are
//! stopped then too.
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
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{sleep_until, timeout_at};
use wasmtime::Store;

use crate::class::GuestLimits;
use crate::clock::{Pace, Running};
use crate::digest::Digest;
use crate::failure::RunFailure;
use crate::store::{GuestState, thread_time};

/// How long it lasts after a call was stopped. Shorter than a breaker's shortest pause
/// ([`BREAKER_PAUSE_SECONDS`](crm_model::limits::BREAKER_PAUSE_SECONDS)): the call that tries whether
/// a component works again has all that it may.
pub(crate) const PROBATION: Duration = Duration::from_secs(10);

/// More are not remembered.
const STOPPED_MAX: u64 = 10_000;

/// What is computed at a time, in units of fuel: some 70 µs. Calls that take no more wait for one turn.
const BURST_FUEL_UNITS: u64 = 100_000;

/// What computes for longer at a time does things that cost little fuel and much time, as copying its
/// memory; its clock ends its bursts.
const BURST_MAX: Duration = Duration::from_millis(1);

/// How many times as long as a burst nobody computes after it. One call that is alone can still use up
/// the fuel that it may in the time that it may.
const REST_TIMES: u32 = 29;

/// The same for what was stopped on probation too.
const REST_TIMES_AGAIN: u32 = 99;

/// The longest time that nobody computes.
const REST_MAX: Duration = Duration::from_millis(300);

/// What a rest that was too long is made up for by the next: the runtime's timer knows milliseconds.
const LATE_MAX: Duration = Duration::from_millis(2);

/// A yield that takes longer met somebody who computes all the time.
const YIELD_MAX: Duration = Duration::from_millis(1);

/// For how long there are no yields then. Linux takes a whole slice from who yields, so on a processor
/// that is always busy each costs a tenth of a second.
const NO_YIELDS: Duration = Duration::from_secs(1);

/// Who was stopped lately.
pub(crate) struct Probation {
    /// And how many times as long as their bursts their rests are.
    stopped: Cache<(TenantId, Digest), u32>,
    next: Arc<Mutex<Next>>,
}

/// Whose turn it is to compute a burst: one at a time, first come, first served.
#[derive(Clone)]
pub(crate) struct Bursts {
    next: Arc<Mutex<Next>>,
    rest_times: u32,
}

/// The next burst, whosever it is.
struct Next {
    /// When it may begin.
    at: Instant,
    /// From when on it yields.
    yields_from: Instant,
}

/// A call that computes in bursts.
pub(crate) struct Burst {
    bursts: Bursts,
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
            next: Arc::new(Mutex::new(Next {
                at: Instant::now(),
                yields_from: Instant::now(),
            })),
        }
    }

    /// How a tenant's call of a component computes, where it is on probation.
    pub(crate) fn bursts(&self, tenant: Option<TenantId>, digest: Digest) -> Option<Bursts> {
        let rest_times = self.stopped.get(&(tenant?, digest))?;
        Some(Bursts {
            next: Arc::clone(&self.next),
            rest_times,
        })
    }

    /// A tenant's call of a component was stopped, by its fuel or its time. Unless it was long it is
    /// none of its doing that it took so long, but on probation, where it is not let.
    pub(crate) fn stopped(
        &self,
        tenant: TenantId,
        digest: Digest,
        was_long: bool,
        bursts: Option<&Bursts>,
    ) {
        let rest_times = match (bursts, was_long) {
            (Some(_), _) => REST_TIMES_AGAIN,
            (None, true) => REST_TIMES,
            (None, false) => return,
        };
        tracing::debug!(tenant.id = %tenant, component.digest = %digest, "on probation");
        self.stopped.insert((tenant, digest), rest_times);
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
        Ok(Burst {
            bursts: self.clone(),
            running,
            deadline: state.deadline(),
            call_max: limits.call_max,
        })
    }
}

impl Burst {
    /// Runs a call, a burst in each of its turns.
    pub(crate) async fn run<T>(
        mut self,
        call: impl Future<Output = Result<T, RunFailure>>,
    ) -> Result<T, RunFailure> {
        let mut call = pin!(call);
        loop {
            let deadline = self.deadline.into();
            let Ok(mut next) = timeout_at(deadline, self.bursts.turn()).await else {
                return Err(self.timed_out());
            };
            next.let_others_go_first();
            let began = Instant::now();
            let computed_before = thread_time();
            let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            let computed = thread_time().saturating_sub(computed_before);
            next.at = next_turn(next.at, began, computed, self.bursts.rest_times);
            drop(next);
            if let Poll::Ready(ended) = polled {
                return ended.map_err(RunFailure::on_probation);
            }
            if let (Some(running), true) = (&mut self.running, computed > BURST_MAX) {
                running.set(Pace::Long);
            }
            until_woken().await;
        }
    }

    fn timed_out(&self) -> RunFailure {
        RunFailure::TimedOut {
            limit: self.call_max,
            took: self.call_max + self.deadline.elapsed(),
            on_probation: true,
        }
    }
}

impl Bursts {
    /// Waits for its turn, which is over when what comes is dropped.
    async fn turn(&self) -> MutexGuard<'_, Next> {
        let next = self.next.lock().await;
        sleep_until(next.at.into()).await;
        next
    }
}

impl Next {
    /// Who is ready too has often had more than its share, and Linux would have it wait for all of the
    /// burst, however low this thread's priority is.
    fn let_others_go_first(&mut self) {
        let began = Instant::now();
        if began < self.yields_from {
            return;
        }
        std::thread::yield_now();
        if began.elapsed() > YIELD_MAX {
            self.yields_from = Instant::now() + NO_YIELDS;
        }
    }
}

/// When the turn after one begins that was due at `due`, and computed so much from `began` on.
fn next_turn(due: Instant, began: Instant, computed: Duration, rest_times: u32) -> Instant {
    let late_at_most = began
        .checked_sub(LATE_MAX)
        .map_or(due, |early| due.max(early));
    late_at_most + computed + computed.saturating_mul(rest_times).min(REST_MAX)
}

/// Until what was polled last wants to be polled again.
async fn until_woken() {
    let mut is_woken = false;
    poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crm_model::limits::BREAKER_PAUSE_SECONDS;

    #[test]
    fn nobody_computes_for_a_multiple_of_what_was_computed() {
        let (burst, late) = (Duration::from_micros(70), Duration::from_micros(900));
        let (due, period) = (Instant::now(), burst * 30);
        assert_eq!(next_turn(due, due, burst, 29), due + period);
        assert_eq!(next_turn(due, due + late, burst, 29), due + period);
        // Who was not there in their turn does not get it later.
        let began = due + Duration::from_secs(1);
        let next = next_turn(due, began, burst, 29);
        assert_eq!(next, began - LATE_MAX + period);
        let long = Duration::from_secs(1);
        assert_eq!(next_turn(due, due, long, 29), due + long + REST_MAX);
    }

    #[test]
    fn what_is_stopped_on_probation_rests_longer() {
        let probation = Probation::new();
        let tenant = "018f4e6a-7c1e-7000-8000-0000000000aa".parse().unwrap();
        let digest = Digest::of(b"");
        let bursts = || probation.bursts(Some(tenant), digest);
        let rest_times = || bursts().map(|bursts| bursts.rest_times);
        probation.stopped(tenant, digest, false, bursts().as_ref());
        assert_eq!(rest_times(), None);
        probation.stopped(tenant, digest, true, bursts().as_ref());
        assert_eq!(rest_times(), Some(REST_TIMES));
        probation.stopped(tenant, digest, false, bursts().as_ref());
        assert_eq!(rest_times(), Some(REST_TIMES_AGAIN));
        assert!(probation.bursts(None, digest).is_none());
    }

    #[test]
    fn a_breaker_tries_again_after_probation() {
        assert!(PROBATION < Duration::from_secs(BREAKER_PAUSE_SECONDS.unsigned_abs()));
    }
}
