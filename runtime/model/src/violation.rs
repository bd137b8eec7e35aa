//! What is wrong with an input, said completely: every violation, each with a JSON pointer.

use serde::{Deserialize, Serialize};

use crate::limits::VIOLATIONS_MAX_COUNT;

/// One thing that is wrong. `pointer` is a JSON pointer (RFC 6901) into the request's body,
/// `code` is stable, `message` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    pub pointer: String,
    pub code: String,
    pub message: String,
}

/// All that is wrong with one input; never empty when it is returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// A list of one.
    pub fn one(pointer: &str, code: &str, message: impl Into<String>) -> Self {
        let mut violations = Self::default();
        violations.add(pointer.to_owned(), code, message);
        violations
    }

    /// Adds one; the list stops growing at its limit.
    pub fn add(&mut self, pointer: String, code: &str, message: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX_COUNT {
            self.0.push(Violation {
                pointer,
                code: code.to_owned(),
                message: message.into(),
            });
        }
    }

    /// Adds those of another list.
    pub fn extend(&mut self, others: Self) {
        let room = VIOLATIONS_MAX_COUNT.saturating_sub(self.0.len());
        self.0.extend(others.0.into_iter().take(room));
    }

    /// Whether something at this pointer, or below it, was found already.
    pub(crate) fn touches(&self, pointer: &str) -> bool {
        self.0.iter().any(|violation| {
            violation
                .pointer
                .strip_prefix(pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the input's fields.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// `Ok` when nothing is wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl std::fmt::Display for Violations {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(
                formatter,
                "{separator}{}: {}",
                violation.pointer, violation.message
            )?;
        }
        Ok(())
    }
}

/// One segment of a JSON pointer, escaped.
pub fn pointer_segment(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}
