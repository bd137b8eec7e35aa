//! Secrets of the tenant, which no plugin ever sees.

use crate::host;
use crate::refusal::Refusal;

/// A text that stands for the secret in headers of the HTTP requests of this run; the host puts
/// the secret in its place on the way out.
///
/// # Errors
/// [`Refusal::Denied`] where the plugin was not granted it, [`Refusal::Invalid`] where there is
/// none of that name.
pub fn handle(name: &str) -> Result<String, Refusal> {
    host::secret(name)
}
