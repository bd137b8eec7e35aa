//! The one place that reads the clock and makes ids; everything below takes them as arguments.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use uuid::Uuid;

/// Now, in whole microseconds: as PostgreSQL keeps it.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn now() -> DateTime<Utc> {
    let now = Utc::now();
    now.duration_trunc(TimeDelta::microseconds(1))
        .unwrap_or(now)
}

/// A fresh id that sorts after all that this process made before.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn id() -> Uuid {
    Uuid::now_v7()
}

/// A token that nobody can guess.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn token() -> Uuid {
    Uuid::new_v4()
}
