//! Threads that get out of the way: of a processor that others want too, they have a small share.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{get_out_of_the_way, let_others_go_first};

/// Elsewhere than on Linux the thread is one like others.
#[cfg(not(target_os = "linux"))]
pub(crate) fn get_out_of_the_way() {}

/// Elsewhere than on Linux the thread is one like others.
#[cfg(not(target_os = "linux"))]
pub(crate) fn let_others_go_first() {}
