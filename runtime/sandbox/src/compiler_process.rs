//! The other side of [`crate::compile`]: a process that compiles one component and ends. It first
//! gives up what it does not need, so that a component that gets the better of the compiler finds
//! little.

use std::io::{Read, Write};
use wasmtime::Engine;

use crate::class::CompileLimits;
use crate::engine::code_config;

/// Reads a component from standard input and writes its code to standard output, under limits
/// that hold for the rest of this process's life. To be called first thing, from a process that
/// does nothing else.
///
/// # Errors
/// A sentence, for standard error; the process then ends with 1.
pub fn compile_in_this_process(limits: &CompileLimits) -> Result<(), String> {
    limit_this_process(limits)?;
    let mut component = Vec::new();
    std::io::stdin()
        .read_to_end(&mut component)
        .map_err(|error| format!("the component cannot be read: {error}"))?;
    let engine = Engine::new(&code_config()).map_err(|error| format!("{error:#}"))?;
    let code = engine
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    std::io::stdout()
        .write_all(&code)
        .map_err(|error| format!("the code cannot be written: {error}"))
}

#[cfg(unix)]
fn limit_this_process(limits: &CompileLimits) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let seconds = limits.time_max.as_millis().div_ceil(1_000);
    let seconds = u64::try_from(seconds)
        .unwrap_or(u64::MAX)
        .saturating_mul(threads);
    // Memory that is only reserved does not count as data, so threads cost what they use.
    for (resource, most) in [
        (Resource::Data, limits.memory_max_bytes),
        (Resource::Cpu, seconds),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            // At its maximum of processor time the system kills it without saying why.
            maximum: Some(most.saturating_add(1)),
        };
        setrlimit(resource, limit)
            .map_err(|error| format!("the compiler's limits cannot be set: {error}"))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn limit_this_process(_: &CompileLimits) -> Result<(), String> {
    Ok(())
}
