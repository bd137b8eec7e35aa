//! What a sandbox is made with. Every maximum defaults to its constant in
//! [`crm_model::limits`]; a test may choose a smaller one.

use crm_model::GuestClass;
use crm_model::limits::CODE_MEMORY_MAX_BYTES;

use crate::artifact::CodeCache;
use crate::class::{ClassLimits, CompileLimits, GuestLimits};
use crate::compile::CompileCommand;

/// How a [`crate::Sandbox`] is set up.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Threads of the guests' own runtime.
    pub threads: usize,
    /// Threads on which calls go on that take long; they get out of everybody's way.
    pub long_threads: usize,
    /// Calls that may hold an instance at once; further ones wait their turn.
    pub concurrency: u32,
    /// Where compiled code is kept between starts; none to compile anew at each start.
    pub cache: Option<CodeCache>,
    /// What compiles. None to compile in this process, without limits of memory and time: for
    /// tests, and where nobody else's components are taken.
    pub compiler: Option<CompileCommand>,
    /// What compiling one component may take; none for what its class may.
    pub compile_limits: Option<CompileLimits>,
    /// Compiled code that is kept in memory.
    pub code_max_bytes: u64,
    /// What one call may take.
    pub limits: GuestLimits,
    /// The same for a component that brings an interpreter.
    pub interpreter_limits: GuestLimits,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            threads: cores,
            // One core stays for those who answer, whatever guests compute.
            long_threads: cores.saturating_sub(1).max(1),
            // More than there are threads, so that guests that spin to their limits leave room
            // for others to be served in between.
            concurrency: 64,
            cache: None,
            compiler: None,
            compile_limits: None,
            code_max_bytes: CODE_MEMORY_MAX_BYTES,
            limits: ClassLimits::of(GuestClass::Standard).call,
            interpreter_limits: ClassLimits::of(GuestClass::Interpreter).call,
        }
    }
}
