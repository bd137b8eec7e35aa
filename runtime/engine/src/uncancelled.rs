//! Writes that come to their end also when the client who asked has gone.

use crate::EngineError;
use crate::audit::Origin;

/// Runs in a task of its own, which dropping this future does not stop, and which remembers where
/// the request came from.
pub(crate) async fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::spawn(Origin::current().scope(work))
        .await
        .map_err(|error| EngineError::Internal(error.to_string()))?
}
