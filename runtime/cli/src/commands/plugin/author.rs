//! The sandbox on an author's machine: the host's own, with its limits, and room for one call at
//! a time.

use anyhow::Result;
use crm_sandbox::{GuestLimits, Sandbox, SandboxSettings};

/// Calls that hold an instance at once; address space is taken for each.
const CONCURRENCY: u32 = 2;

/// A sandbox that runs components as a server does.
///
/// # Errors
/// When the machine lacks address space or threads.
pub(crate) fn sandbox(limits: GuestLimits) -> Result<Sandbox> {
    Ok(Sandbox::new(SandboxSettings {
        threads: 1,
        concurrency: CONCURRENCY,
        limits,
        ..SandboxSettings::default()
    })?)
}
