//! How a run ends without mutations.

use std::time::Duration;

use crate::mutation::Mutation;

/// What an action answers.
pub type Outcome = Result<Vec<Mutation>, Failure>;

/// Why there are no mutations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try again, not before that long.
    Retry { after: Duration, reason: String },
    /// Give up, with a message that the tenant's people can read.
    Fail(String),
    /// Nothing to do for this event; counts as done.
    Skip(String),
}

impl Failure {
    /// Try again, not before that long.
    pub fn retry(after: Duration, reason: impl Into<String>) -> Self {
        Self::Retry {
            after,
            reason: reason.into(),
        }
    }

    /// Give up, with a message that the tenant's people can read.
    pub fn fail(message: impl Into<String>) -> Self {
        Self::Fail(message.into())
    }

    /// Nothing to do for this event.
    pub fn skip(message: impl Into<String>) -> Self {
        Self::Skip(message.into())
    }
}
