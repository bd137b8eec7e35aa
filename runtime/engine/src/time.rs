//! Durations as leases and repetitions need them.

use chrono::TimeDelta;
use std::time::Duration;
use uuid::Uuid;

/// Doublings after which a pause grows no more.
const DOUBLINGS_MAX: u32 = 16;

/// To be added to a moment.
pub(crate) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// The pause before the next attempt: doubles with each from `first` up to `most`, plus up to a
/// half, so that what failed together does not come back together. The lease's token is the
/// random part: it is new with each lease.
pub(crate) fn pause((first, most): (Duration, Duration), attempt: i32, token: Uuid) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or_default();
    let base = first.saturating_mul(1 << doublings.min(DOUBLINGS_MAX));
    let base = base.min(most);
    let share = u32::from(token.as_bytes().first().copied().unwrap_or_default());
    base + base * share / 512
}
