//! Text for people: sizes, and what a guest said, made fit to be stored and shown.

use std::borrow::Cow;
use std::fmt::{Display, Formatter, Result};

/// The longest sentence that is kept of what a guest said about a failure.
const SENTENCE_MAX_CHARACTERS: usize = 2_000;

/// A number of bytes, in the largest unit that leaves no remainder.
pub(crate) struct Bytes(pub(crate) usize);

impl Display for Bytes {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        const KIB: usize = 1 << 10;
        const MIB: usize = 1 << 20;
        match self.0 {
            size if size >= MIB && size % MIB == 0 => write!(formatter, "{} MiB", size / MIB),
            size if size >= KIB && size % KIB == 0 => write!(formatter, "{} KiB", size / KIB),
            size => write!(formatter, "{size} bytes"),
        }
    }
}

fn is_storable(character: char) -> bool {
    !character.is_control() || character == '\n' || character == '\t'
}

/// Control characters replaced: PostgreSQL stores no NUL, and a terminal obeys an escape.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_storable) {
        return Cow::Borrowed(text);
    }
    let replace = |character| {
        if is_storable(character) {
            character
        } else {
            '\u{fffd}'
        }
    };
    Cow::Owned(text.chars().map(replace).collect())
}

/// A guest's words about a failure: storable, and cut where they get too long.
pub(crate) fn sentence(text: &str) -> String {
    match text.char_indices().nth(SENTENCE_MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", storable(text.get(..end).unwrap_or_default())),
        None => storable(text).into_owned(),
    }
}

/// The longest beginning of `text` that fits into `max_bytes`, cut between two characters.
pub(crate) fn beginning(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_their_largest_unit() {
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(8 << 10).to_string(), "8 KiB");
        assert_eq!(Bytes(1_025).to_string(), "1025 bytes");
        assert_eq!(Bytes(0).to_string(), "0 bytes");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(storable("line\n\ttab"), "line\n\ttab");
        assert_eq!(storable("a\0b\u{1b}[2J"), "a\u{fffd}b\u{fffd}[2J");
    }

    #[test]
    fn a_sentence_is_cut_one_past_its_limit() {
        let at = "é".repeat(SENTENCE_MAX_CHARACTERS);
        assert_eq!(sentence(&at), at);
        assert_eq!(sentence(&format!("{at}é")), format!("{at}…"));
    }

    #[test]
    fn a_beginning_ends_between_two_characters() {
        assert_eq!(beginning("aéb", 2), "a");
        assert_eq!(beginning("aéb", 3), "aé");
        assert_eq!(beginning("aéb", 9), "aéb");
    }
}
