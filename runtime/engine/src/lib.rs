//! The verbs of the product. Reads like its sentence: a client's or a plugin's mutation goes
//! through [`write`], the one door, which asks the model and commits through the store; the
//! [`worker`] takes the jobs that follow, lets the sandbox run the plugin, and hands what it
//! answers to the same door.
//!
//! No SQL here, no wasmtime, no HTTP; no transaction is open while a guest runs.

pub mod activities;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod bootstrap;
pub mod copy;
pub mod customize;
pub mod effects;
pub mod explain;
pub mod export;
pub mod history;
pub mod import;
pub mod incoming;
pub mod login;
pub mod plans;
pub mod plugins;
pub mod publish;
pub mod query;
pub mod read;
pub mod receipt;
pub mod run_control;
pub mod run_keeping;
pub mod schedules;
pub mod search;
pub mod secret;
pub mod select;
pub mod sessions;
pub mod shares;
pub mod tasks;
pub mod timeline;
pub mod usage;
pub mod users;
pub mod views;
pub mod worker;
pub mod workflows;
pub mod write;

mod acts;
mod begin;
mod breaker;
mod components;
mod error;
mod field_remove;
mod fresh;
mod hook_failures;
mod hooks;
mod meter;
mod models;
mod module_remove;
mod password;
mod queue;
mod reach;
mod reindex;
mod run;
mod run_sight;
mod series;
mod time;
mod uncancelled;

pub use breaker::BreakerState;
pub use error::EngineError;
pub use meter::QuotaSettings;

pub use run::{PAUSED, trial};

use crm_model::limits::{OLDER_WORKFLOW_CACHE_MAX, PASSWORD_MAX_CONCURRENT};
use crm_model::{Model, TenantId, UserId};
use crm_sandbox::Sandbox;
use crm_store::Store;
use dashmap::DashSet;
use effects::{EffectSettings, Outside};
use meter::Meter;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};

/// What the verbs work with. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    /// The ways to other systems.
    outside: Outside,
    series: Arc<series::PluginSeries>,
    /// How long runs and their logs are kept at most.
    run_log_days: u32,
}

struct Inner {
    store: Store,
    sandbox: Arc<Sandbox>,
    models: moka::sync::Cache<TenantId, Arc<Model>>,
    /// Versions of workflows that runs began on, and that are not live any more.
    older_workflows: moka::sync::Cache<run::VersionKey, Arc<crm_model::workflow::Workflow>>,
    /// What tenants use up.
    meter: Meter,
    /// Which plugins and hooks run at the moment.
    breakers: breaker::Breakers,
    /// Hooks that failed lately.
    hook_failures: Arc<hook_failures::HookFailures>,
    /// Requests with an Idempotency-Key that this process works on.
    in_flight: DashSet<(TenantId, UserId, String)>,
    /// Who sends a component at the moment.
    uploads: Arc<plugins::Uploads>,
    /// Turns at hashing passwords.
    hashing: Arc<Semaphore>,
    /// Told after each commit that made jobs, so that this process's worker need not wait for
    /// its next look.
    jobs_waiting: Notify,
    /// The same for effects.
    effects_waiting: Notify,
    /// The same for tasks.
    tasks_waiting: Notify,
}

impl Engine {
    /// An engine on these connections and this sandbox, where tenants may use up as much as they
    /// like unless something was set for one.
    pub fn new(store: Store, sandbox: Arc<Sandbox>) -> Self {
        Self::limited(store, sandbox, QuotaSettings::default())
    }

    /// The same with these quotas.
    pub fn limited(store: Store, sandbox: Arc<Sandbox>, quotas: QuotaSettings) -> Self {
        let models = moka::sync::Cache::new(crm_model::limits::MODEL_CACHE_MAX_MODELS);
        Self {
            inner: Arc::new(Inner {
                store,
                sandbox,
                models,
                older_workflows: moka::sync::Cache::new(OLDER_WORKFLOW_CACHE_MAX),
                meter: Meter::new(quotas),
                breakers: breaker::Breakers::default(),
                hook_failures: Arc::default(),
                in_flight: DashSet::new(),
                uploads: Arc::default(),
                hashing: Arc::new(Semaphore::new(PASSWORD_MAX_CONCURRENT)),
                jobs_waiting: Notify::new(),
                effects_waiting: Notify::new(),
                tasks_waiting: Notify::new(),
            }),
            outside: Outside::default(),
            series: Arc::default(),
            run_log_days: crm_model::limits::RUN_LOG_DEFAULT_DAYS,
        }
    }

    /// The same with metrics for so many pairs of plugin and tenant.
    pub fn with_plugin_series(self, most: usize) -> Self {
        Self {
            series: Arc::new(series::PluginSeries::new(
                most,
                crm_model::limits::PLUGIN_SERIES_MAX_PLUGINS,
            )),
            ..self
        }
    }

    /// The same, keeping runs and their logs for so many days at most.
    pub fn with_run_log_days(self, run_log_days: u32) -> Self {
        Self {
            run_log_days,
            ..self
        }
    }

    /// How many days runs and their logs are kept at most.
    pub fn run_log_days(&self) -> u32 {
        self.run_log_days
    }

    /// The same with other ways to other systems than none.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the settings.
    pub fn with_effects(self, settings: EffectSettings) -> Result<Self, String> {
        Ok(Self {
            outside: Outside::new(settings)?,
            ..self
        })
    }

    pub(crate) fn outside(&self) -> &Outside {
        &self.outside
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    /// Whether the database takes no changes at the moment.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn is_read_only(&self) -> Result<bool, EngineError> {
        Ok(self.inner.store.is_read_only().await?)
    }

    /// Closes the connections; what runs gets errors.
    pub async fn close(&self) {
        self.inner.store.close().await;
    }
}
