//! What somebody may have meant who wrote a name that is none.

/// The name most like `wrong`, if one is alike at all: at most a third of its letters differ.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wrong.chars().count() / 3).max(1);
    names
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// The same as the end of a message: `; did you mean “status”?`, or nothing.
pub(crate) fn suggestion<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    // Names are short; a long text is no slip of the pen, and comparing it would take a while.
    if wrong.len() > crate::limits::NAME_MAX_CHARACTERS {
        return String::new();
    }
    nearest(wrong, names).map_or_else(String::new, |name| format!("; did you mean “{name}”?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = || ["status", "price", "cut"].into_iter();
        assert_eq!(nearest("sttaus", names()), Some("status"));
        assert_eq!(nearest("Price", names()), Some("price"));
        assert_eq!(nearest("cat", names()), Some("cut"));
        assert_eq!(nearest("colour", names()), None);
        assert_eq!(suggestion(&"x".repeat(64), names()), "");
    }
}
