//! Cells that a spreadsheet would take for formulas. An export puts an apostrophe before them,
//! an import takes it away again, so that nothing is lost on the way.
//! <https://owasp.org/www-community/attacks/CSV_Injection>

use std::borrow::Cow;

/// Whether values of this type are written by people as they like. Numbers, dates, phone numbers
/// and ids have forms of their own, which may begin with a sign and are no formula.
pub(super) fn is_free_text(kind: &str) -> bool {
    !matches!(
        kind,
        "integer"
            | "decimal"
            | "percent"
            | "currency"
            | "rating"
            | "boolean"
            | "date"
            | "datetime"
            | "time"
            | "duration"
            | "phone"
            | "relation"
            | "rollup"
            | "geo_point"
    )
}

fn would_run(text: &str) -> bool {
    text.trim_start_matches('\'')
        .starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A text as it stands in a cell.
pub(super) fn guarded(text: &str) -> Cow<'_, str> {
    match would_run(text) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

/// The text that such a cell stands for.
pub(super) fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if would_run(text) => text,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        for text in [
            "=1+1", "+x", "-x", "@x", "'=x", "''-x", "'quoted'", "plain", "", "\tx",
        ] {
            let cell = guarded(text);
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{cell}");
            assert_eq!(unguarded(&cell), text);
        }
    }

    #[test]
    fn signs_of_numbers_are_no_formulas() {
        assert!(is_free_text("text") && is_free_text("select"));
        assert!(!is_free_text("decimal") && !is_free_text("phone"));
    }
}
