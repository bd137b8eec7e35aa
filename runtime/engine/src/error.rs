//! Why a verb did not do what it was asked, by what the caller can do about it.

use crm_model::overlay::OverlayRefusal;
use crm_model::quota::QuotaSpent;
use crm_model::{Denied, ModelError, ModuleSlug, Refusal, Violations};
use crm_sandbox::{RunFailure, SandboxError};
use crm_store::StoreError;

use crate::write::Conflict;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model, the permissions or the record's version say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The record has another version than the caller names, with the fields in dispute.
    #[error("the record has version {current} by now, not {expected}")]
    Stale {
        expected: i64,
        current: i64,
        conflicts: Vec<Conflict>,
    },
    /// Values that only one record may have are taken.
    #[error("{0}")]
    Taken(Violations),
    /// Another request under the same key was faster: its answer is there now.
    #[error("the Idempotency-Key was used meanwhile")]
    KeyUsed,
    /// Another operation of an atomic batch was refused before.
    #[error("not tried, because another operation was refused")]
    NotTried,
    /// The definition does not make a model.
    #[error(transparent)]
    Definition(#[from] ModelError),
    /// There is no such thing, or none that the caller may see.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is there, and the caller may know, but not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// Others change the same thing too fast: try again.
    #[error("the record is changed by others too often; try again")]
    Contended,
    /// The tenant has used up what it may.
    #[error("{0}")]
    Quota(QuotaSpent),
    /// More is asked for at the moment than there is: try again.
    #[error("{0}")]
    Busy(&'static str),
    /// A component was refused.
    #[error(transparent)]
    Component(#[from] SandboxError),
    /// A component did not say what it had to.
    #[error(transparent)]
    Run(#[from] RunFailure),
    /// The database.
    #[error(transparent)]
    Store(StoreError),
    /// A bug or a broken installation.
    #[error("{0}")]
    Internal(String),
}

impl EngineError {
    /// The module does not exist for this caller.
    pub(crate) fn no_module(module: &ModuleSlug) -> Self {
        Denied::Invisible {
            module: module.clone(),
        }
        .into()
    }

    /// The input has this one mistake.
    pub(crate) fn invalid(violations: Violations) -> Self {
        Self::Refused(Refusal::Invalid(violations))
    }
}

impl From<Denied> for EngineError {
    fn from(denied: Denied) -> Self {
        Self::Refused(Refusal::Denied(denied))
    }
}

impl From<OverlayRefusal> for EngineError {
    fn from(refusal: OverlayRefusal) -> Self {
        match refusal {
            OverlayRefusal::NotFound(what) => Self::NotFound(what),
            OverlayRefusal::Conflict(message) => Self::Conflict(message),
            OverlayRefusal::Invalid(violations) => Self::invalid(violations),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(what) => Self::Conflict(format!("{what} exists already")),
            StoreError::KeyUsed => Self::KeyUsed,
            other => Self::Store(other),
        }
    }
}
