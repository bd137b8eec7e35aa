//! How a run ends: with what it wants, or without.

use std::time::Duration;

use crate::effect::Effect;
use crate::host;
use crate::mutation::Mutation;
use crate::refusal::Refusal;

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

    /// A file goes with the mail that was added last. The name has no folders; the media type is
    /// as MIME writes it: `text/calendar; method=REQUEST`.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] where what was added last is no mail, and for a name or type that is
    /// none; [`Refusal::Limited`] for more bytes than an answer may have;
    /// [`Refusal::Denied`] where the plugin may not send mail.
    pub fn attach(self, name: &str, media_type: &str, content: &[u8]) -> Result<Self, Refusal> {
        let last = self.effects.len().checked_sub(1);
        let last = last.filter(|&last| matches!(self.effects.get(last), Some(Effect::Email(_))));
        let Some(last) = last.and_then(|last| u32::try_from(last).ok()) else {
            let reason = format!("“{name}” goes with a mail, and none was added before it");
            return Err(Refusal::Invalid(reason));
        };
        host::attach(last, (name, media_type), content)?;
        Ok(self)
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
