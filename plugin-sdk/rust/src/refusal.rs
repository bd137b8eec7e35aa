//! Why the host does not answer.

/// A question without an answer, with the reason as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The plugin was not granted this, or the person behind the event may not.
    Denied(String),
    /// The question makes no sense: no such module, field or operator.
    Invalid(String),
    /// A limit is reached.
    Limited(String),
    /// The host cannot answer now; end the run with [`crate::Failure::retry`].
    Unavailable(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Denied(reason)
        | Self::Invalid(reason)
        | Self::Limited(reason)
        | Self::Unavailable(reason)) = self;
        formatter.write_str(reason)
    }
}

impl std::error::Error for Refusal {}

/// So that `?` ends a run: tried again where the host was not there, given up otherwise.
impl From<Refusal> for crate::Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(reason) => Self::retry(std::time::Duration::ZERO, reason),
            other => Self::fail(other.to_string()),
        }
    }
}
