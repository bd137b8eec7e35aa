//! When two texts are the same although they are written otherwise.

use crm_plugin_sdk::json;
use serde::Deserialize;
use serde_json::Value;

/// Digits of a phone number that count, from its end: what stands before them is how to dial out.
const PHONE_DIGITS: usize = 9;
/// Fewer are an extension or a mistake.
const PHONE_MIN_DIGITS: usize = 6;

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Likeness {
    Email,
    Phone,
    Name,
    /// Any text, without regard to case and spaces.
    Text,
}

impl Likeness {
    /// Texts with the same key are the same; none for what says nothing.
    pub(crate) fn key(self, text: &str) -> Option<String> {
        let key = match self {
            Self::Email => text.trim().to_lowercase(),
            Self::Phone => {
                let digits = digits(text);
                let from = digits.len().saturating_sub(PHONE_DIGITS);
                let enough = digits.len() >= PHONE_MIN_DIGITS;
                enough.then(|| digits.chars().skip(from).collect())?
            }
            Self::Name => {
                let mut words = words(text);
                words.sort_unstable();
                words.join(" ")
            }
            Self::Text => words(text).join(" "),
        };
        (!key.is_empty()).then_some(key)
    }

    /// A filter that finds all records with the same key that are easily found, and some others.
    pub(crate) fn filter(self, field: &str, text: &str) -> Option<Value> {
        let key = self.key(text)?;
        let (operator, value) = match self {
            // It has no regard to case.
            Self::Email => ("starts_with", key),
            Self::Phone => {
                let from = key.len().saturating_sub(PHONE_MIN_DIGITS);
                ("ends_with", key.chars().skip(from).collect())
            }
            Self::Name | Self::Text => {
                let longest = words(text).into_iter().max_by_key(String::len)?;
                ("contains", longest)
            }
        };
        Some(json!({ "field": field, "op": operator, "value": value }))
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|character: char| !character.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_is_the_same() {
        for (likeness, one, other) in [
            (Likeness::Email, "Ada@Example.com ", "ada@example.com"),
            (Likeness::Phone, "+41 44 123 45 67", "044 123 45 67"),
            (Likeness::Phone, "+41441234567", "0041 44/123-4567"),
            (Likeness::Name, "Lovelace, Ada", "ada LOVELACE"),
            (Likeness::Text, "Acme  Ltd.", "ACME Ltd"),
        ] {
            assert!(likeness.key(one).is_some());
            assert_eq!(likeness.key(one), likeness.key(other), "{one}");
        }
        for (likeness, one, other) in [
            (Likeness::Email, "ada@example.com", "ada@example.org"),
            (Likeness::Phone, "+41 44 123 45 67", "+41 44 123 45 68"),
            (Likeness::Name, "Ada Lovelace", "Ada Byron"),
            (Likeness::Text, "Acme Ltd", "Ltd Acme"),
        ] {
            assert_ne!(likeness.key(one), likeness.key(other), "{one}");
        }
    }

    #[test]
    fn what_says_nothing_has_no_key() {
        for (likeness, text) in [
            (Likeness::Email, " "),
            (Likeness::Phone, "12 34"),
            (Likeness::Name, "–"),
            (Likeness::Text, ""),
        ] {
            assert_eq!(likeness.key(text), None);
            assert_eq!(likeness.filter("field", text), None);
        }
    }
}
