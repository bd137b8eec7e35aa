//! What the tenant configured for the plugin as a whole, when it installed it.

use serde::de::DeserializeOwned;

use crate::host;
use crate::records::decode;
use crate::refusal::Refusal;

/// The configuration.
///
/// # Errors
/// [`Refusal::Invalid`] where it does not fit `T`.
pub fn get<T: DeserializeOwned>() -> Result<T, Refusal> {
    decode("the plugin's configuration", &host::config())
}
