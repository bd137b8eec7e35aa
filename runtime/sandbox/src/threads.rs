//! Threads that guests run on.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::engine::unavailable;
use crate::error::SandboxError;

/// A runtime that may be dropped where nobody may wait, as in async code.
pub(crate) struct Threads {
    handle: Handle,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// `start` is called on each of them.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the machine lacks threads.
    pub(crate) fn new(name: &str, count: usize, start: fn()) -> Result<Self, SandboxError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_name(name)
            .on_thread_start(start)
            .enable_all()
            .build()
            .map_err(unavailable)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for guests here would block, and panic inside of async code; each of them is
        // stopped by its limits or at its next yield.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
