//! The sandbox on an author's machine: the host's own, with its limits, which keeps compiled code
//! from one command to the next, and has room for one call at a time.

use anyhow::Result;
use crm_sandbox::{GuestLimits, Sandbox, SandboxSettings};
use std::path::PathBuf;

use crate::code::sandbox_settings;

/// Calls that hold an instance at once; address space is taken for each.
const CONCURRENCY: u32 = 2;

/// A sandbox that runs components as a server does; under these limits, whatever class they are
/// of, if there are some.
///
/// # Errors
/// When the machine lacks address space or threads.
pub(crate) fn sandbox(limits: Option<GuestLimits>) -> Result<Sandbox> {
    let mut settings = match code_dir() {
        Some(directory) => sandbox_settings(&directory)?,
        None => SandboxSettings::default(),
    };
    // What is compiled here is the author's own.
    settings.compiler = None;
    settings.threads = 1;
    settings.concurrency = CONCURRENCY;
    if let Some(limits) = limits {
        settings.limits = limits;
        settings.interpreter_limits = limits;
    }
    Ok(Sandbox::new(settings)?)
}

/// Where code is kept from one command to the next: a folder for caches of this person's.
fn code_dir() -> Option<PathBuf> {
    let named = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    Some(caches.join("crm"))
}
