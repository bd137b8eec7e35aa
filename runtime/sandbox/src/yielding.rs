//! Threads that get out of the way: of a processor that others want too, they have a small share.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{LastThreads, let_others_go_first};

/// Elsewhere than on Linux the threads are like others.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(crate) struct LastThreads;

#[cfg(not(target_os = "linux"))]
impl LastThreads {
    pub(crate) fn join(&self) {}

    pub(crate) fn look(&self) {}
}

/// Elsewhere than on Linux the thread is one like others.
#[cfg(not(target_os = "linux"))]
pub(crate) fn let_others_go_first() {}
