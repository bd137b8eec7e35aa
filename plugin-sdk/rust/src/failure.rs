//! How a run ends: with what it wants, or without.

use std::time::Duration;

use crate::effect::Effect;
use crate::mutation::Mutation;

/// What an action answers.
pub type Outcome = Result<Answer, Failure>;

/// What a run wants.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "an answer does nothing until it is returned"]
pub struct Answer {
    pub mutations: Vec<Mutation>,
    pub effects: Vec<Effect>,
}

impl Answer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One mutation more.
    pub fn with(mut self, mutation: Mutation) -> Self {
        self.mutations.push(mutation);
        self
    }

    /// One effect more.
    pub fn and(mut self, effect: impl Into<Effect>) -> Self {
        self.effects.push(effect.into());
        self
    }
}

impl From<Mutation> for Answer {
    fn from(mutation: Mutation) -> Self {
        Self::new().with(mutation)
    }
}

impl From<Vec<Mutation>> for Answer {
    fn from(mutations: Vec<Mutation>) -> Self {
        Self {
            mutations,
            effects: Vec::new(),
        }
    }
}

impl From<Effect> for Answer {
    fn from(effect: Effect) -> Self {
        Self::new().and(effect)
    }
}

/// Why there is nothing that a run wants.
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
