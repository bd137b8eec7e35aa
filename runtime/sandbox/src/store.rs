//! One store per call: the guest's account, its deadline and its log. Made for the call, gone
//! after it; nothing of one guest is ever seen by the next.

use crm_model::effect::Attachment;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmtime::{Store, UpdateDeadline};

use crate::class::GuestLimits;
use crate::clock::{Pace, Running};
use crate::failure::RunFailure;
use crate::host::Gate;
use crate::host::journal::Exchange;
use crate::host::log::RunLog;
use crate::host::wasi::Wasi;
use crate::limiter::Limiter;
use crate::plugin::Plugin;
use crate::report::LogLine;

/// What the host knows of a running guest.
pub(crate) struct GuestState {
    pub(crate) limiter: Limiter,
    pub(crate) log: RunLog,
    pub(crate) gate: Gate,
    /// What the tenant configured for the plugin, as JSON text.
    pub(crate) settings: Arc<String>,
    /// Of components that import it.
    wasi: Option<Box<Wasi>>,
    started: Instant,
    deadline: Instant,
    /// Set when it has computed for longer than [`LONG`].
    is_long: Arc<AtomicBool>,
    /// None while nobody calls it, and on probation.
    running: Option<Running>,
    /// How long its thread had computed at the first tick.
    first_tick: Option<Duration>,
}

impl GuestState {
    /// When the call has to be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Gives a guest that imports WASI one: it is `now` there, since 1970.
    pub(crate) fn set_wasi(&mut self, now: Duration, seed: u64) {
        let print_max_bytes = self.log.remaining_bytes();
        self.wasi = Some(Box::new(Wasi::new(now, seed, print_max_bytes)));
    }

    /// Where nobody said what time it is, it is 1970.
    pub(crate) fn wasi(&mut self) -> &mut Wasi {
        let print_max_bytes = self.log.remaining_bytes();
        self.wasi
            .get_or_insert_with(|| Box::new(Wasi::new(Duration::ZERO, 0, print_max_bytes)))
    }

    /// Puts what the guest printed since the last time into its log.
    pub(crate) fn take_printed(&mut self) {
        if let Some(text) = self.wasi.as_ref().and_then(|wasi| wasi.take_printed()) {
            self.log.print(&text);
        }
    }

    /// For whoever keeps the account of how it runs in the store's place.
    pub(crate) fn take_running(&mut self) -> Option<Running> {
        self.running.take()
    }

    /// Nobody calls it from here on, until [`store_restart`].
    pub(crate) fn rest(&mut self) {
        self.running = None;
    }

    /// How long the call has taken.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What a call took.
pub(crate) struct Usage {
    pub(crate) fuel: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) duration: Duration,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) log_truncated: bool,
    pub(crate) journal: Vec<Exchange>,
    /// Files that go with mails, by the mail's place among the effects.
    pub(crate) attached: Vec<(u32, Attachment)>,
}

/// What a call may compute after its first tick before it is long.
const LONG: Duration = Duration::from_millis(2);

/// What a call computes at most until its fuel is counted, in units of it: some 4 ms. Compiled code
/// keeps the count in registers, and what the clock stops takes it with it.
const COUNTED_EACH_FUEL_UNITS: u64 = 5_000_000;

/// How long the calling thread has computed.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A store with every limit set; its time runs from here. `is_long` is set when it has computed
/// for longer than [`LONG`].
pub(crate) fn store_new(
    plugin: &Plugin,
    limits: &GuestLimits,
    gate: Gate,
    settings: Arc<String>,
    is_long: Arc<AtomicBool>,
) -> Result<Store<GuestState>, RunFailure> {
    let started = Instant::now();
    let state = GuestState {
        limiter: Limiter::new(limits),
        log: RunLog::new(limits.log_max_bytes),
        gate,
        settings,
        wasi: None,
        started,
        deadline: started + limits.call_max,
        is_long,
        running: Some(plugin.clock().running()),
        first_tick: None,
    };
    let mut store = Store::try_new(plugin.engine(), state).map_err(RunFailure::host)?;
    store.limiter(|state| &mut state.limiter);
    store
        .set_fuel(limits.fuel_max_units)
        .and_then(|()| store.fuel_async_yield_interval(Some(COUNTED_EACH_FUEL_UNITS)))
        .map_err(RunFailure::host)?;
    store.set_hostcall_fuel(limits.crossing_max_bytes());
    // At each tick: stopped when its time is over, else to the end of the queue once it is long.
    // Tokio's own yield, because it lets everything that is ready go first.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        let state = store.data_mut();
        if Instant::now() >= state.deadline {
            return Ok(UpdateDeadline::Interrupt);
        }
        if !state.is_long.load(Ordering::Relaxed) {
            // Not by the clock: on a busy machine most of a tick is others'.
            let computed = thread_time();
            let first_tick = *state.first_tick.get_or_insert(computed);
            let is_long = computed.saturating_sub(first_tick) >= LONG;
            state.is_long.store(is_long, Ordering::Relaxed);
            match &mut state.running {
                Some(_) if !is_long => return Ok(UpdateDeadline::Continue(1)),
                Some(running) => running.set(Pace::Long),
                // On probation it yields at each.
                None => {}
            }
        }
        let yielding = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(1, yielding))
    });
    Ok(store)
}

/// Lets the time of an instance that was ready run from here, as if it were made now.
pub(crate) fn store_restart(
    store: &mut Store<GuestState>,
    plugin: &Plugin,
    limits: &GuestLimits,
    is_long: Arc<AtomicBool>,
) {
    let state = store.data_mut();
    state.started = Instant::now();
    state.deadline = state.started + limits.call_max;
    state.is_long = is_long;
    state.running = Some(plugin.clock().running());
    state.first_tick = None;
    store.set_epoch_deadline(1);
}

/// The account of a call that has ended, taken out of its store.
pub(crate) fn store_account(store: &mut Store<GuestState>, limits: &GuestLimits) -> Usage {
    let fuel = limits
        .fuel_max_units
        .saturating_sub(store.get_fuel().unwrap_or(0));
    let state = store.data_mut();
    state.rest();
    state.take_printed();
    let (logs, log_truncated) = state.log.take();
    let (journal, attached) = state.gate.take();
    Usage {
        fuel,
        memory_bytes: state.limiter.memory_peak_bytes(),
        duration: state.started.elapsed(),
        logs,
        log_truncated,
        journal,
        attached,
    }
}
