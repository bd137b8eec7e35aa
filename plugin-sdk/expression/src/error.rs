//! Why an expression is refused or cannot be evaluated, in sentences for the person who wrote it.
//! Positions count characters from 1, as editors do.

use std::fmt::{Display, Formatter};

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The character, counted from 1.
    pub character: usize,
}

impl Position {
    /// From a byte offset in the source.
    pub(crate) fn at(source: &str, byte: usize) -> Self {
        let before = source
            .char_indices()
            .take_while(|(start, _)| *start < byte)
            .count();
        Self {
            character: before + 1,
        }
    }
}

/// What went wrong. The first three are about the source, and stay until it is changed; the
/// fourth is about the values it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Not an expression.
    #[error("{message}{}", Place(*.at))]
    Syntax {
        message: String,
        at: Option<Position>,
    },
    /// An expression of the underlying language that this product does not evaluate.
    #[error("{message}{}", Place(*.at))]
    Refused {
        message: String,
        at: Option<Position>,
    },
    /// One of [`crate::limits`] is exceeded.
    #[error("{message}")]
    Limit { message: String },
    /// The expression does not fit the values that it was given.
    #[error("{message}")]
    Evaluation { message: String },
}

struct Place(Option<Position>);

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(Position { character }) => write!(formatter, " (at character {character})"),
            None => Ok(()),
        }
    }
}

impl ExpressionError {
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::Limit {
            message: message.into(),
        }
    }

    pub(crate) fn evaluation(message: impl Into<String>) -> Self {
        Self::Evaluation {
            message: message.into(),
        }
    }
}
