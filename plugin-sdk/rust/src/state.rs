//! A few values that the plugin keeps for the tenant from one run to the next. What a run writes
//! is committed with its mutations; if another run wrote the same key since this one read it,
//! the run is done again.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host;
use crate::records::decode;
use crate::refusal::Refusal;

/// The value under a key, if there is one.
///
/// # Errors
/// [`Refusal`]; `Invalid` also where the value does not fit `T`.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Refusal> {
    let entry = host::state_get(key)?;
    entry
        .map(|(value, _)| decode("the kept value", &value))
        .transpose()
}

/// A new value under a key.
///
/// # Errors
/// [`Refusal`].
pub fn set<T: Serialize>(key: &str, value: &T) -> Result<(), Refusal> {
    let text = serde_json::to_string(value)
        .map_err(|error| Refusal::Invalid(format!("the value cannot be kept: {error}")))?;
    host::state_set(key, &text)
}

/// No value under a key any more.
///
/// # Errors
/// [`Refusal`].
pub fn delete(key: &str) -> Result<(), Refusal> {
    host::state_delete(key)
}
