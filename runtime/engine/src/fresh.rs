//! The one place that reads the clock and makes ids; everything below takes them as arguments.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use rand::TryRngCore;
use uuid::Uuid;

use crate::EngineError;

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

/// Random bytes of the operating system's, for a secret.
pub(crate) fn secret() -> Result<[u8; 32], EngineError> {
    let mut bytes = [0; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| EngineError::Internal(format!("no randomness: {error}")))?;
    Ok(bytes)
}
