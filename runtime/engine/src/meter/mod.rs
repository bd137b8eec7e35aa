//! What tenants use up, and whether they may use more. Every question is answered in this
//! process; the database is asked in the background, for many tenants at once, so no request gets
//! a round trip more and no two writers wait for one counter. What that costs is exactness: what
//! several processes do between two looks at the database is over the limit at most, and what one
//! had not yet added is lost when it crashes.

mod flow;
mod settle;
mod stock;

use chrono::{DateTime, Utc};
use crm_model::TenantId;
use crm_model::quota::{QuotaDefaults, QuotaName, QuotaSpent, QuotaUsage};
use crm_store::plugins::ComponentBytes;
use dashmap::DashMap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Engine, EngineError, fresh};
use flow::Flow;
use stock::Stock;

/// What is known of a tenant counts for so long without another look at the database.
const KNOWN_MAX: Duration = Duration::from_secs(60);
/// A quota that has no window may have room whenever something ends or is deleted.
const RETRY_RECORDS_SECONDS: u64 = 60;
const RETRY_JOBS_SECONDS: u64 = 5;
/// Counts that a question waits for; the last one decides.
const COUNTS_MAX: usize = 3;

/// How tenants are metered.
#[derive(Clone, Copy, Debug)]
pub struct QuotaSettings {
    pub defaults: QuotaDefaults,
    /// How often what was used is added to the database, and what others used is learnt.
    pub settle: Duration,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            defaults: QuotaDefaults::default(),
            settle: Duration::from_secs(1),
        }
    }
}

/// All tenants that this process has to do with.
pub(crate) struct Meter {
    settings: QuotaSettings,
    tenants: DashMap<TenantId, Arc<Metered>>,
}

/// One of them.
pub(crate) struct Metered {
    tenant: TenantId,
    state: Mutex<State>,
    /// Held by whoever asks the database, so that the others wait for the answer.
    loading: tokio::sync::Mutex<()>,
    counting: tokio::sync::Mutex<()>,
}

struct State {
    /// When the database was asked last.
    known: Option<Instant>,
    /// When somebody of the tenant did something last.
    touched: Instant,
    /// What was set for the tenant; none inside: no limit.
    own: BTreeMap<QuotaName, Option<u64>>,
    calls: Flow,
    fuel: Flow,
    records: Stock,
    jobs: Stock,
}

impl State {
    fn flow(&mut self, quota: QuotaName) -> Option<&mut Flow> {
        match quota {
            QuotaName::ApiCalls => Some(&mut self.calls),
            QuotaName::Fuel => Some(&mut self.fuel),
            QuotaName::Records
            | QuotaName::Jobs
            | QuotaName::Running
            | QuotaName::ComponentBytes
            | QuotaName::InterpreterBytes => None,
        }
    }

    fn stock(&mut self, quota: QuotaName) -> Option<&mut Stock> {
        match quota {
            QuotaName::Records => Some(&mut self.records),
            QuotaName::Jobs => Some(&mut self.jobs),
            QuotaName::ApiCalls
            | QuotaName::Fuel
            | QuotaName::Running
            | QuotaName::ComponentBytes
            | QuotaName::InterpreterBytes => None,
        }
    }

    fn limit(&self, defaults: &QuotaDefaults, quota: QuotaName) -> Option<u64> {
        let own = self.own.get(&quota);
        own.copied().unwrap_or_else(|| defaults.amount(quota))
    }
}

impl Metered {
    fn new(tenant: TenantId, settings: &QuotaSettings) -> Self {
        let defaults = &settings.defaults;
        let state = State {
            known: None,
            touched: Instant::now(),
            own: BTreeMap::new(),
            calls: Flow::new(defaults.api_window_seconds),
            fuel: Flow::new(defaults.fuel_window_seconds),
            records: Stock::new(settings.settle),
            jobs: Stock::new(settings.settle),
        };
        Self {
            tenant,
            state: Mutex::new(state),
            loading: tokio::sync::Mutex::default(),
            counting: tokio::sync::Mutex::default(),
        }
    }

    /// Counts are whole after each change, so those of a thread that panicked are good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self) -> bool {
        let known = self.state().known;
        known.is_some_and(|known| known.elapsed() < KNOWN_MAX)
    }

    /// Whether what is known of a quota may be shown without another count.
    fn is_good_to_show(&self, quota: QuotaName) -> bool {
        let mut state = self.state();
        let stock = state.stock(quota);
        stock.is_none_or(|stock| stock.is_good_to_show())
    }

    /// How much room there is for so many more. Whoever gets [`Look::OldRoom`] has to count.
    fn look(&self, defaults: &QuotaDefaults, quota: QuotaName, wanted: i64) -> Look {
        let mut state = self.state();
        let Some(limit) = state.limit(defaults, quota) else {
            return Look::Unlimited;
        };
        let Some(stock) = state.stock(quota) else {
            return Look::Unlimited;
        };
        if !stock.is_known() {
            return Look::Uncertain(None);
        }
        let room = Room {
            left: stock.free(limit),
            spent: stock_spent(quota, limit, stock),
        };
        let is_enough = room.left >= wanted;
        if !is_enough && !stock.is_certain() {
            return Look::Uncertain(Some(room));
        }
        match stock.is_old() && !std::mem::replace(&mut stock.is_counting, true) {
            true => Look::OldRoom(room),
            false => Look::Room(room),
        }
    }

    /// That a quota of a window is spent, if it is.
    fn flow_spent(
        &self,
        defaults: &QuotaDefaults,
        quota: QuotaName,
        now: DateTime<Utc>,
    ) -> Option<QuotaSpent> {
        let mut state = self.state();
        let limit = state.limit(defaults, quota)?;
        let flow = state.flow(quota)?;
        let (used, resets_at) = (flow.used(now), flow.resets_at(now));
        (used >= limit).then(|| QuotaSpent {
            quota,
            limit,
            used,
            window_seconds: defaults.window_seconds(quota),
            resets_at: Some(resets_at),
            retry_after_seconds: seconds_until(now, resets_at),
        })
    }

    fn usage(&self, defaults: &QuotaDefaults, quota: QuotaName, now: DateTime<Utc>) -> QuotaUsage {
        let mut state = self.state();
        let used = match state.flow(quota) {
            Some(flow) => (flow.used(now), Some(flow.resets_at(now))),
            None => {
                let used = state.stock(quota).and_then(|stock| stock.used());
                (used.map_or(0, |used| used.max(0).unsigned_abs()), None)
            }
        };
        QuotaUsage {
            quota,
            limit: state.limit(defaults, quota),
            overridden: state.own.contains_key(&quota),
            used: used.0,
            window_seconds: defaults.window_seconds(quota),
            resets_at: used.1,
        }
    }
}

/// How much room there is, as far as this process can tell.
enum Look {
    Unlimited,
    Room(Room),
    /// It is enough, but the count is old: take it again, without waiting for it.
    OldRoom(Room),
    /// It is not enough, and may be wrong; none where nothing was counted yet.
    Uncertain(Option<Room>),
}

/// Whole seconds, and one at least: whoever waits so long finds the next window.
fn seconds_until(now: DateTime<Utc>, then: DateTime<Utc>) -> u64 {
    let milliseconds = (then - now).num_milliseconds().max(0).unsigned_abs();
    milliseconds.div_ceil(1000).max(1)
}

/// Room for more of something, and what to tell whoever finds none. Unlimited where it is none.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) left: i64,
    pub(crate) spent: QuotaSpent,
}

/// Room for records that is this write's until it is dropped.
pub(crate) struct Hold {
    metered: Arc<Metered>,
    amount: i64,
    pub(crate) room: Room,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.metered.state().records.release(self.amount);
    }
}

impl Meter {
    pub(crate) fn new(settings: QuotaSettings) -> Self {
        Self {
            settings,
            tenants: DashMap::new(),
        }
    }

    pub(crate) fn defaults(&self) -> &QuotaDefaults {
        &self.settings.defaults
    }

    fn metered(&self, tenant: TenantId) -> Arc<Metered> {
        let new = || Arc::new(Metered::new(tenant, &self.settings));
        let metered = match self.tenants.get(&tenant) {
            Some(found) => Arc::clone(&found),
            None => Arc::clone(&self.tenants.entry(tenant).or_insert_with(new)),
        };
        metered.state().touched = Instant::now();
        metered
    }

    /// So many records more, or fewer, and jobs, were committed.
    pub(crate) fn committed(&self, tenant: TenantId, records: i64, jobs: i64) {
        if let Some(metered) = self.tenants.get(&tenant) {
            let mut state = metered.state();
            state.records.add(records);
            state.jobs.add(jobs);
        }
    }
}

impl Engine {
    /// What is known of a tenant, asked of the database where that is long ago.
    async fn metered(&self, tenant: TenantId) -> Result<Arc<Metered>, EngineError> {
        let metered = self.inner.meter.metered(tenant);
        if metered.is_known() {
            return Ok(metered);
        }
        let loading = metered.loading.lock().await;
        if !metered.is_known() {
            let settled = self.settle(std::slice::from_ref(&metered)).await;
            let mut state = metered.state();
            match (settled, state.known) {
                // Old news is better than none: a database that is read only answers readers.
                (Err(_), Some(_)) => state.known = Some(Instant::now()),
                (settled, _) => settled?,
            }
        }
        drop(loading);
        Ok(metered)
    }

    /// Counts one request of a tenant.
    ///
    /// # Errors
    /// [`EngineError::Quota`], and then it is not counted.
    pub async fn api_call(&self, tenant: TenantId) -> Result<(), EngineError> {
        let metered = self.metered(tenant).await?;
        let now = fresh::now();
        let defaults = self.inner.meter.defaults();
        if let Some(spent) = metered.flow_spent(defaults, QuotaName::ApiCalls, now) {
            return Err(EngineError::Quota(spent));
        }
        metered.state().calls.add(now, 1);
        Ok(())
    }

    /// That a tenant's fuel is used up for now, if it is.
    pub(crate) async fn fuel_spent(
        &self,
        tenant: TenantId,
    ) -> Result<Option<QuotaSpent>, EngineError> {
        let metered = self.metered(tenant).await?;
        let defaults = self.inner.meter.defaults();
        Ok(metered.flow_spent(defaults, QuotaName::Fuel, fresh::now()))
    }

    /// How many runs tenants may have under way at once, unless something else was set for one.
    pub(crate) fn running_default(&self) -> Option<u64> {
        self.inner.meter.defaults().running
    }

    /// How many runs of the tenant may be under way at once, as far as this process knows.
    pub(crate) fn running_limit(&self, tenant: TenantId) -> Option<u64> {
        let metered = self.inner.meter.metered(tenant);
        let state = metered.state();
        state.limit(self.inner.meter.defaults(), QuotaName::Running)
    }

    /// Counts what a guest's call burnt.
    pub(crate) fn fuel_used(&self, tenant: TenantId, fuel: u64) {
        let metered = self.inner.meter.metered(tenant);
        metered.state().fuel.add(fresh::now(), fuel);
    }

    /// Keeps room for records free, at most so many; none where there is no limit. Where there is
    /// less room than wanted, there was none more in the database a moment ago.
    pub(crate) async fn records_hold(
        &self,
        tenant: TenantId,
        wanted: usize,
    ) -> Result<Option<Hold>, EngineError> {
        let metered = self.metered(tenant).await?;
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let Some(mut room) = self.room(&metered, QuotaName::Records, wanted).await? else {
            return Ok(None);
        };
        let mut state = metered.state();
        // Others may have taken some of it since it was looked at.
        let left = state.records.free(room.spent.limit).clamp(0, wanted);
        state.records.reserve(left);
        drop(state);
        room.left = left;
        Ok(Some(Hold {
            metered,
            amount: left,
            room,
        }))
    }

    /// Room for more runs to wait, as it is now; none where there is no limit.
    pub(crate) async fn jobs_room(&self, tenant: TenantId) -> Result<Option<Room>, EngineError> {
        let metered = self.metered(tenant).await?;
        self.room(&metered, QuotaName::Jobs, 1).await
    }

    async fn room(
        &self,
        metered: &Arc<Metered>,
        quota: QuotaName,
        wanted: i64,
    ) -> Result<Option<Room>, EngineError> {
        for count in 0..=COUNTS_MAX {
            let seen = metered.look(self.inner.meter.defaults(), quota, wanted);
            match seen {
                Look::Unlimited => return Ok(None),
                Look::Room(room) => return Ok(Some(room)),
                Look::OldRoom(room) => {
                    self.count_later(metered, quota);
                    return Ok(Some(room));
                }
                // Counts that commits fall into again and again refuse in the end.
                Look::Uncertain(Some(room)) if count == COUNTS_MAX => return Ok(Some(room)),
                Look::Uncertain(_) => self.count(metered, quota).await?,
            }
        }
        Err(EngineError::Internal("a count without an end".to_owned()))
    }

    fn count_later(&self, metered: &Arc<Metered>, quota: QuotaName) {
        let (engine, metered) = (self.clone(), Arc::clone(metered));
        tokio::spawn(async move {
            if let Err(error) = engine.count(&metered, quota).await {
                tracing::warn!(tenant.id = %metered.tenant, %error, "a quota cannot be counted");
            }
            if let Some(stock) = metered.state().stock(quota) {
                stock.is_counting = false;
            }
        });
    }

    /// Asks the database how much there is. Whoever finds another asking waits for that answer.
    async fn count(&self, metered: &Metered, quota: QuotaName) -> Result<(), EngineError> {
        let began = Instant::now();
        let counting = metered.counting.lock().await;
        let Some(mark) = metered.state().stock(quota).map(|stock| {
            let is_done = stock.is_counted_since(began);
            (!is_done).then(|| stock.mark())
        }) else {
            return Ok(());
        };
        if let Some(mark) = mark {
            let mut tx = crm_store::TenantTx::begin(self.store(), metered.tenant).await?;
            let there = match quota {
                QuotaName::Jobs => crm_store::jobs::jobs_open(&mut tx).await?,
                _ => crm_store::quotas::records_count(&mut tx).await?,
            };
            tx.commit().await?;
            if let Some(stock) = metered.state().stock(quota) {
                stock.counted(mark, there);
            }
        }
        drop(counting);
        Ok(())
    }

    /// All quotas of a tenant as they stand now, also in the database.
    pub(crate) async fn quotas_now(
        &self,
        tenant: TenantId,
    ) -> Result<Vec<QuotaUsage>, EngineError> {
        let metered = self.inner.meter.metered(tenant);
        self.settle(std::slice::from_ref(&metered)).await?;
        for quota in [QuotaName::Records, QuotaName::Jobs] {
            if !metered.is_good_to_show(quota) {
                self.count(&metered, quota).await?;
            }
        }
        let (defaults, now) = (self.inner.meter.defaults(), fresh::now());
        let mut tx = crm_store::TenantTx::begin(self.store(), tenant).await?;
        let kept = crm_store::plugins::component_bytes(&mut tx).await?;
        let running = crm_store::jobs::jobs_running(&mut tx, now).await?;
        tx.commit().await?;
        let quotas = QuotaName::ALL.into_iter();
        Ok(quotas
            .map(|quota| {
                let mut usage = metered.usage(defaults, quota, now);
                if let Some(used) = component_bytes(kept, quota) {
                    usage.used = used;
                }
                if quota == QuotaName::Running {
                    usage.used = running.max(0).unsigned_abs();
                }
                usage
            })
            .collect())
    }
}

/// How much of a quota for components is taken.
pub(crate) fn component_bytes(kept: ComponentBytes, quota: QuotaName) -> Option<u64> {
    match quota {
        QuotaName::ComponentBytes => Some(kept.total.max(0).unsigned_abs()),
        QuotaName::InterpreterBytes => Some(kept.interpreters.max(0).unsigned_abs()),
        QuotaName::Records
        | QuotaName::ApiCalls
        | QuotaName::Fuel
        | QuotaName::Jobs
        | QuotaName::Running => None,
    }
}

fn stock_spent(quota: QuotaName, limit: u64, stock: &Stock) -> QuotaSpent {
    QuotaSpent {
        quota,
        limit,
        used: stock.used().unwrap_or_default().max(0).unsigned_abs(),
        window_seconds: None,
        resets_at: None,
        retry_after_seconds: match quota {
            QuotaName::Jobs => RETRY_JOBS_SECONDS,
            _ => RETRY_RECORDS_SECONDS,
        },
    }
}
