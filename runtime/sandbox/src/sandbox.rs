//! The sandbox itself: one engine, its compiled components by digest, and the guests' runtime.

use crm_model::{Data, GuestClass, ModuleSlug};
use futures::FutureExt;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::task::coop::consume_budget;
use tracing::{Instrument, Span, info_span};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::artifact::Artifacts;
use crate::call::{ActionCall, Room};
use crate::class::GuestLimits;
use crate::clock::Clock;
use crate::compile::Compiler;
use crate::digest::Digest;
use crate::engine::{unavailable, wasmtime_config};
use crate::error::SandboxError;
use crate::failure::RunFailure;
use crate::hook::{HookReport, HookRoom, SaveCall};
use crate::host::linker_new;
use crate::host::question::GuestHost;
use crate::inspect::component_inspect;
use crate::plan::LimitOverrides;
use crate::plugin::Plugin;
use crate::probation::Probation;
use crate::report::ActionReport;
use crate::settings::SandboxSettings;
use crate::store::GuestState;
use crate::threads::Threads;
use crate::yielding::{get_out_of_the_way, let_others_go_first};

/// Runs components. Guests have a runtime of their own, so that one that spins takes nothing
/// from those who answer requests.
pub struct Sandbox {
    threads: Threads,
    /// Of hooks.
    hook_threads: Threads,
    /// Of calls that take long.
    long_threads: Threads,
    /// Of calls on probation.
    burst_threads: Threads,
    linker: Linker<GuestState>,
    clock: Arc<Clock>,
    /// By digest, as much as fits. A call holds its plugin, so what is evicted stays until its
    /// last call has ended.
    plugins: Cache<Digest, Arc<Plugin>>,
    compiler: Compiler,
    artifacts: Option<Artifacts>,
    room: Arc<Room>,
    hooks: Arc<HookRoom>,
    probation: Arc<Probation>,
}

impl Sandbox {
    /// Makes the engine, reserves its pool and starts the guests' runtime.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the machine lacks address space, threads or the cache
    /// directory.
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let engine = Engine::new(&wasmtime_config(&settings)).map_err(unavailable)?;
        let artifacts = settings.cache.map(|cache| Artifacts::open(cache, &engine));
        Ok(Self {
            threads: Threads::new("guest", settings.threads, let_others_go_first)?,
            hook_threads: Threads::new("hook", settings.threads, || {})?,
            long_threads: Threads::new("long-guest", settings.long_threads, get_out_of_the_way)?,
            burst_threads: Threads::new("burst-guest", 1, get_out_of_the_way)?,
            linker: linker_new(&engine).map_err(unavailable)?,
            clock: Arc::new(Clock::start(engine.clone())?),
            plugins: plugins_new(settings.code_max_bytes),
            compiler: Compiler::new(settings.compiler, settings.compile_limits),
            artifacts: artifacts.transpose()?,
            room: Arc::new(Room::new(
                settings.limits,
                settings.interpreter_limits,
                settings.concurrency,
            )),
            hooks: Arc::new(HookRoom::new()),
            probation: Arc::new(Probation::new()),
        })
    }

    /// The guests' runtime, for whoever runs a whole stage of work beside its guest calls there.
    pub fn handle(&self) -> &Handle {
        self.threads.handle()
    }

    /// What a call of that component may take; what a plan says that goes past a cap does not
    /// count.
    pub fn limits_of(&self, plugin: &Plugin, plan: &LimitOverrides) -> GuestLimits {
        let limits = *self.room.limits_of(plugin.manifest().class);
        limits.with(plan).unwrap_or(limits)
    }

    /// What a call of a component of that class may take, without a plan.
    pub fn class_limits(&self, class: GuestClass) -> GuestLimits {
        *self.room.limits_of(class)
    }

    /// A component that is ready to be called: the one in memory, else linked from what is kept
    /// of it on disk, else inspected, compiled and linked. Calls for the same bytes wait for each
    /// other and compile once.
    ///
    /// Blocks while it compiles, for seconds if the component is large: from async code call it
    /// through `spawn_blocking`.
    ///
    /// # Errors
    /// What [`component_inspect`] finds, [`SandboxError::OverLimit`] and
    /// [`SandboxError::Compile`] from compiling.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, SandboxError> {
        let digest = Digest::of(bytes);
        let load = || match self.kept(&digest) {
            Some(plugin) => Ok(plugin),
            None => self.compiled(bytes),
        };
        let loaded = self.plugins.try_get_with(digest, load);
        loaded.map_err(|error| SandboxError::clone(&error))
    }

    /// The component of that digest, if it is in memory.
    pub fn loaded(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        self.plugins.get(digest)
    }

    /// The component of that digest, if it is in memory or on disk, so that its bytes are not
    /// needed. Blocks while it reads, for some milliseconds.
    pub fn known(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        let kept = || self.kept(digest);
        self.plugins.optionally_get_with(*digest, kept)
    }

    /// How many guests run now: not those that are ready and wait to be called.
    pub fn running(&self) -> usize {
        self.clock.count()
    }

    /// Lets go of what does not fit into memory now, instead of soon.
    pub fn tidy(&self) {
        self.plugins.run_pending_tasks();
    }

    /// From disk. What cannot be linked there counts as not there.
    fn kept(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        let (inspected, code) = self.artifacts.as_ref()?.read(digest)?;
        let plugin = Plugin::link(&self.linker, &self.clock, inspected, &code);
        plugin
            .inspect_err(|error| tracing::warn!(component.digest = %digest, %error, "kept code"))
            .ok()
            .map(Arc::new)
    }

    fn compiled(&self, bytes: &[u8]) -> Result<Arc<Plugin>, SandboxError> {
        let inspected = component_inspect(bytes)?;
        let class = inspected.manifest.class;
        let code = self.compiler.compile(self.linker.engine(), bytes, class)?;
        if let Some(artifacts) = &self.artifacts {
            artifacts.write(&inspected, &code);
        }
        Plugin::link(&self.linker, &self.clock, inspected, &code).map(Arc::new)
    }

    /// Calls an action, or a template's `after-event`, on the guests' runtime, in a fresh
    /// instance. What the guest does wrong is in the report; the call itself always comes back.
    pub async fn run_action(
        &self,
        plugin: &Arc<Plugin>,
        call: impl Into<Arc<ActionCall>>,
        host: Box<dyn GuestHost>,
    ) -> ActionReport {
        self.action(plugin, call.into(), host, Some(self.handle().clone()))
            .await
            .unwrap_or_else(ActionReport::not_run)
    }

    /// Like [`Sandbox::run_action`], on the caller's runtime until the call is long: for
    /// callers that are on the guests' runtime already.
    pub async fn run_action_here(
        &self,
        plugin: &Arc<Plugin>,
        call: impl Into<Arc<ActionCall>>,
        host: Box<dyn GuestHost>,
    ) -> ActionReport {
        self.action(plugin, call.into(), host, None)
            .await
            .unwrap_or_else(ActionReport::not_run)
    }

    /// A call that begins on the caller's thread, unless others are said.
    fn action(
        &self,
        plugin: &Arc<Plugin>,
        call: Arc<ActionCall>,
        host: Box<dyn GuestHost>,
        begins_on: Option<Handle>,
    ) -> impl Future<Output = Result<ActionReport, RunFailure>> + Send + 'static {
        let (room, plugin) = (Arc::clone(&self.room), Arc::clone(plugin));
        let is_long = Arc::<AtomicBool>::default();
        let (told, is_likely_long) = (Arc::clone(&is_long), plugin.is_likely_long());
        let probation = Arc::clone(&self.probation);
        let bursts = probation.bursts(call.tenant, plugin.digest());
        let long = self.long_threads.handle().clone();
        let elsewhere = match &bursts {
            Some(_) => Some(self.burst_threads.handle().clone()),
            None => is_likely_long.then(|| long.clone()),
        };
        let task = async move {
            let is_long = Arc::clone(&told);
            let report = room.action(&plugin, &call, host, is_long, bursts.as_ref());
            let report = report.await;
            let was_long = told.load(Ordering::Relaxed);
            plugin.ended(was_long);
            let was_stopped = report.outcome.as_ref().is_err_and(RunFailure::is_stop);
            if let (true, Some(tenant)) = (was_stopped, call.tenant) {
                probation.stopped(tenant, plugin.digest(), was_long, bursts.as_ref());
            }
            report
        };
        // No span of its own: an attempt's says which component is called, and one more would take
        // a tenth of the time that the call takes.
        let task = task.in_current_span();
        async move {
            match (elsewhere, begins_on) {
                (Some(elsewhere), _) => joined(elsewhere.spawn(task)).await,
                (None, Some(threads)) => {
                    let task = unless_long(task, is_long, long);
                    joined(threads.spawn(task)).await?
                }
                (None, None) => unless_long(task, is_long, long).await,
            }
        }
    }

    /// Calls a template's `model` on the guests' runtime; JSON text, not yet read.
    ///
    /// # Errors
    /// As for an action; [`RunFailure::WrongWorld`] when it is none.
    pub async fn template_model(&self, plugin: &Arc<Plugin>) -> Result<String, RunFailure> {
        let (room, plugin) = (Arc::clone(&self.room), Arc::clone(plugin));
        let span = call_span(&plugin);
        let task = async move { room.template_model(&plugin).await };
        joined(self.handle().spawn(task.instrument(span))).await?
    }
}

impl Sandbox {
    /// Calls a template's `before-save` in a fresh instance. What the guest does wrong is in the
    /// report; the call itself always comes back.
    ///
    /// It begins on the caller's thread, because most hooks are over in less time than it takes
    /// to change over to another; once it is long it goes on on the hooks' runtime.
    pub async fn before_save(
        &self,
        plugin: &Arc<Plugin>,
        call: impl Into<Arc<SaveCall>>,
    ) -> HookReport {
        let call = call.into();
        let (room, hooks) = (Arc::clone(&self.room), Arc::clone(&self.hooks));
        let (span, plugin) = (call_span(plugin), Arc::clone(plugin));
        let is_long = Arc::<AtomicBool>::default();
        let told = Arc::clone(&is_long);
        let task = async move {
            let limits = room.limits_of(plugin.manifest().class).with(&call.plan);
            match limits {
                Ok(limits) => hooks.before_save(&plugin, &limits, &call, told).await,
                Err(error) => HookReport::not_run(RunFailure::host(error)),
            }
        };
        // Whoever asks about many records lets others go first now and then.
        consume_budget().await;
        unless_long(
            task.instrument(span),
            is_long,
            self.hook_threads.handle().clone(),
        )
        .await
        .unwrap_or_else(HookReport::not_run)
    }

    /// Calls a template's `migrate` on one record's data, which an older version of the template
    /// is the model of: the data for this version, or none where they stay as they are.
    ///
    /// # Errors
    /// [`RunFailure::Fail`] with what the template says; else as for an action.
    pub async fn migrate(
        &self,
        plugin: &Arc<Plugin>,
        module: ModuleSlug,
        from_version: semver::Version,
        data: Data,
    ) -> Result<Option<Data>, RunFailure> {
        let (room, hooks) = (Arc::clone(&self.room), Arc::clone(&self.hooks));
        let (span, plugin) = (call_span(plugin), Arc::clone(plugin));
        let task = async move {
            let of = (&module, &from_version, &data);
            let limits = room.limits_of(plugin.manifest().class);
            hooks.migrate(&plugin, limits, of).await
        };
        joined(self.hook_threads.handle().spawn(task.instrument(span))).await?
    }
}

/// Loaded components, weighed by their code in KiB.
fn plugins_new(code_max_bytes: u64) -> Cache<Digest, Arc<Plugin>> {
    /// What a component takes beside its code.
    const BESIDE_BYTES: usize = 64 << 10;
    Cache::builder()
        .max_capacity(code_max_bytes >> 10)
        .weigher(|_, plugin: &Arc<Plugin>| {
            u32::try_from((plugin.code_bytes() + BESIDE_BYTES) >> 10).unwrap_or(u32::MAX)
        })
        // A component that is loaded is called next, whatever was called often before.
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

/// A call on the caller's thread, and elsewhere once it is long:
/// most are over in less time than it takes to change over, and the others are in the way.
async fn unless_long<T: Send + 'static>(
    call: impl Future<Output = T> + Send + 'static,
    is_long: Arc<AtomicBool>,
    elsewhere: Handle,
) -> Result<T, RunFailure> {
    let mut call = Box::pin(AssertUnwindSafe(call).catch_unwind());
    let begun = poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if is_long.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let ended = match begun.await {
        Some(ended) => ended,
        None => joined(elsewhere.spawn(call)).await?,
    };
    ended.map_err(|_| RunFailure::host(PANICKED))
}

const PANICKED: &str = "the sandbox failed";

fn call_span(plugin: &Plugin) -> Span {
    let manifest = plugin.manifest();
    info_span!("guest_call", plugin.name = %manifest.name, plugin.version = %manifest.version)
}

async fn joined<T>(task: JoinHandle<T>) -> Result<T, RunFailure> {
    task.await.map_err(|error| {
        RunFailure::host(if error.is_panic() {
            PANICKED
        } else {
            "the sandbox is shutting down"
        })
    })
}
