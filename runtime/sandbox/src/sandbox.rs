//! The sandbox itself: one engine, its compiled components by digest, and the guests' runtime.

use dashmap::DashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span, info_span};
use wasmtime::component::Linker;

use crate::call::{ActionCall, Room};
use crate::digest::Digest;
use crate::engine::{engine_start, unavailable};
use crate::error::SandboxError;
use crate::failure::RunFailure;
use crate::host::linker_new;
use crate::host::question::GuestHost;
use crate::inspect::component_inspect;
use crate::plugin::Plugin;
use crate::report::ActionReport;
use crate::settings::{GuestLimits, SandboxSettings};
use crate::store::GuestState;

/// Runs components. Guests have a runtime of their own, so that one that spins takes nothing
/// from those who answer requests.
pub struct Sandbox {
    linker: Linker<GuestState>,
    plugins: DashMap<Digest, Arc<Slot>>,
    room: Arc<Room>,
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// A component's place: locked by whoever compiles it, filled once.
#[derive(Default)]
struct Slot {
    compiling: Mutex<()>,
    plugin: OnceLock<Arc<Plugin>>,
}

impl Sandbox {
    /// Makes the engine, reserves its pool and starts the guests' runtime.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the machine lacks address space, threads or the cache
    /// directory.
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let engine = engine_start(&settings)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_name("guest")
            .enable_all()
            .build()
            .map_err(unavailable)?;
        Ok(Self {
            linker: linker_new(&engine).map_err(unavailable)?,
            plugins: DashMap::new(),
            room: Arc::new(Room::new(settings.limits, settings.concurrency)),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// The guests' runtime, for whoever runs a whole stage of work beside its guest calls there.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What one call may take.
    pub fn limits(&self) -> &GuestLimits {
        &self.room.limits
    }

    /// Inspects, compiles and links a component, or finds it loaded. Calls for the same bytes
    /// wait for each other and compile once.
    ///
    /// Blocks while it compiles, for seconds if the component is large: from async code call it
    /// through `spawn_blocking`.
    ///
    /// # Errors
    /// What [`component_inspect`] finds, or [`SandboxError::Compile`].
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, SandboxError> {
        let inspected = component_inspect(bytes)?;
        let digest = inspected.digest;
        let slot = Arc::clone(&self.plugins.entry(digest).or_default());
        let _compiling = slot
            .compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = slot.plugin.get() {
            return Ok(Arc::clone(plugin));
        }
        match Plugin::compile(&self.linker, inspected, bytes) {
            Ok(plugin) => Ok(Arc::clone(slot.plugin.get_or_init(|| Arc::new(plugin)))),
            Err(error) => {
                // What cannot be compiled takes no place.
                self.plugins
                    .remove_if(&digest, |_, slot| slot.plugin.get().is_none());
                Err(error)
            }
        }
    }

    /// The component of that digest, if it was loaded.
    pub fn loaded(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        self.plugins.get(digest)?.plugin.get().cloned()
    }

    /// Calls an action on the guests' runtime, in a fresh instance. What the guest does wrong is
    /// in the report; the call itself always comes back.
    pub async fn run_action(
        &self,
        plugin: &Arc<Plugin>,
        call: ActionCall,
        host: Box<dyn GuestHost>,
    ) -> ActionReport {
        let (room, plugin) = (Arc::clone(&self.room), Arc::clone(plugin));
        let span = call_span(&plugin);
        let task = async move { room.action(&plugin, &call, host).await };
        joined(self.handle.spawn(task.instrument(span)))
            .await
            .unwrap_or_else(ActionReport::not_run)
    }

    /// Like [`Sandbox::run_action`], on the caller's runtime: for callers that are on the guests'
    /// runtime already, and for no others, because a guest may keep its thread busy.
    pub async fn run_action_here(
        &self,
        plugin: &Plugin,
        call: &ActionCall,
        host: Box<dyn GuestHost>,
    ) -> ActionReport {
        self.room
            .action(plugin, call, host)
            .instrument(call_span(plugin))
            .await
    }

    /// Calls a template's `model` on the guests' runtime; JSON text, not yet read.
    ///
    /// # Errors
    /// As for an action; [`RunFailure::WrongWorld`] when it is none.
    pub async fn template_model(&self, plugin: &Arc<Plugin>) -> Result<String, RunFailure> {
        let (room, plugin) = (Arc::clone(&self.room), Arc::clone(plugin));
        let span = call_span(&plugin);
        let task = async move { room.template_model(&plugin).await };
        joined(self.handle.spawn(task.instrument(span))).await?
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Waiting for guests here would block, and panic inside of async code; each of them is
        // stopped by its limits or at its next yield.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn call_span(plugin: &Plugin) -> Span {
    let manifest = plugin.manifest();
    info_span!("guest_call", plugin.name = %manifest.name, plugin.version = %manifest.version)
}

async fn joined<T>(task: JoinHandle<T>) -> Result<T, RunFailure> {
    task.await.map_err(|error| {
        RunFailure::host(if error.is_panic() {
            "the sandbox failed"
        } else {
            "the sandbox is shutting down"
        })
    })
}
