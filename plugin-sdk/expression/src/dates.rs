//! Dates without a clock and without a machine's time zone, so that the same input gives the same
//! output everywhere.
//!
//! The evaluator reads the clock in `d()`, in `d('Europe/Paris')` (a zone's name means "now
//! there"), in `isToday` and its like, and in all its older date functions. It asks for the
//! machine's zone wherever it has to make a date by itself: in `d(text)`, in the argument of
//! `isBefore` and `diff`, and when a date meets text in a comparison. In a guest there is nobody
//! to ask. So the first are refused; a date may stand only where it meets nothing but dates; and
//! the rest is rewritten, in the language itself (see [`crate::expansion`]).

use zen_expression::functions::{DateMethod, FunctionKind, InternalFunction, MethodKind};
use zen_expression::lexer::ComparisonOperator;
use zen_expression::parser::Node;

/// What a date's text starts with; no time zone's name does.
const DATE_STARTS: &str = "+-0123456789";
/// What `format` takes after a percent sign. Others make the formatter panic.
const FORMAT_LETTERS: &str = "YCymbBhdeaAwuUWGgVjDFHkIlPpMSTRZzsnt%";

/// `d(#[0])`: text that does not start like a date gives an invalid one, all others are UTC.
pub(crate) const READ: &str = "type(#[0]) == 'date' ? #[0] : d(type(#[0]) == 'string' and \
    not contains('+-0123456789', #[0][0] ?? '?') ? null : #[0], 'UTC')";
/// `d(#[0], #[1])`, likewise.
pub(crate) const READ_IN_ZONE: &str = "d(type(#[0]) == 'string' and \
    not contains('+-0123456789', #[0][0] ?? '?') ? null : #[0], #[1])";
/// `#[0].format()`: null, not the words "Invalid date", for what is not a date.
pub(crate) const FORMAT: &str = "#[0].isValid() ? #[0].format() : null";
/// `#[0].format(#[1])`, likewise.
pub(crate) const FORMAT_AS: &str = "#[0].isValid() ? #[0].format(#[1]) : null";

/// What the operator does between dates. An invalid date equals none and is in no order.
pub(crate) fn comparison(operator: ComparisonOperator) -> Option<&'static str> {
    Some(match operator {
        ComparisonOperator::Equal => "#[0].isValid() and #[1].isValid() and #[0] == #[1]",
        ComparisonOperator::NotEqual => "not (#[0].isValid() and #[1].isValid() and #[0] == #[1])",
        ComparisonOperator::LessThan => "#[0].isValid() and #[1].isValid() and #[0] < #[1]",
        ComparisonOperator::GreaterThan => "#[0].isValid() and #[1].isValid() and #[0] > #[1]",
        ComparisonOperator::LessThanOrEqual => "#[0].isValid() and #[1].isValid() and #[0] <= #[1]",
        ComparisonOperator::GreaterThanOrEqual => {
            "#[0].isValid() and #[1].isValid() and #[0] >= #[1]"
        }
        ComparisonOperator::In | ComparisonOperator::NotIn => return None,
    })
}

/// What the method does with its date, `#[0]`, another, `#[1]`, and a unit, `#[2]`.
pub(crate) fn method_comparison(method: DateMethod, has_unit: bool) -> Option<&'static str> {
    Some(match (method, has_unit) {
        (DateMethod::IsSame, false) => return comparison(ComparisonOperator::Equal),
        (DateMethod::IsBefore, false) => return comparison(ComparisonOperator::LessThan),
        (DateMethod::IsAfter, false) => return comparison(ComparisonOperator::GreaterThan),
        (DateMethod::IsSameOrBefore, false) => {
            return comparison(ComparisonOperator::LessThanOrEqual);
        }
        (DateMethod::IsSameOrAfter, false) => {
            return comparison(ComparisonOperator::GreaterThanOrEqual);
        }
        (DateMethod::IsSame, true) => {
            "#[0].isValid() and #[1].isValid() and \
             #[0].startOf(#[2]) <= #[1] and #[1] <= #[0].endOf(#[2])"
        }
        (DateMethod::IsBefore, true) => {
            "#[0].isValid() and #[1].isValid() and #[0].endOf(#[2]) < #[1]"
        }
        (DateMethod::IsAfter, true) => {
            "#[0].isValid() and #[1].isValid() and #[0].startOf(#[2]) > #[1]"
        }
        (DateMethod::IsSameOrBefore, true) => {
            "#[0].isValid() and #[1].isValid() and #[0].startOf(#[2]) <= #[1]"
        }
        (DateMethod::IsSameOrAfter, true) => {
            "#[0].isValid() and #[1].isValid() and #[0].endOf(#[2]) >= #[1]"
        }
        _ => return None,
    })
}

/// How a difference is counted, and in how many of what. Days and weeks have 24 hours each;
/// months are whole ones on the calendar.
pub(crate) fn difference(unit: Option<&str>) -> Option<(&'static str, u32)> {
    const OF_TIME: &str = "#[0].isValid() and #[1].isValid() ? \
        trunc((#[0].timestamp() - #[1].timestamp()) / #[2]) : null";
    // From the earlier date to the later, and one month less if that goes too far.
    const OF_MONTHS: &str = "#[0].isValid() and #[1].isValid() ? trunc(\
        map([#[0] < #[1] ? [#[0], #[1], -1] : [#[1], #[0], 1]], \
            map([[#[0], #[1], #[2], \
                  (#[1].year() - #[0].year()) * 12 + #[1].month() - #[0].month()]], \
                #[2] * (#[0].add(#[3], 'month') > #[1] ? #[3] - 1 : #[3]))[0])[0] / #[2]) : null";
    Some(match unit {
        None => (OF_TIME, 1),
        Some("second" | "seconds" | "s") => (OF_TIME, 1000),
        Some("minute" | "minutes" | "m") => (OF_TIME, 60_000),
        Some("hour" | "hours" | "h") => (OF_TIME, 3_600_000),
        Some("day" | "days" | "d") => (OF_TIME, 86_400_000),
        Some("week" | "weeks" | "w") => (OF_TIME, 604_800_000),
        Some("month" | "months" | "M") => (OF_MONTHS, 1),
        Some("quarter" | "quarters" | "qtr" | "q") => (OF_MONTHS, 3),
        Some("year" | "years" | "y") => (OF_MONTHS, 12),
        Some(_) => return None,
    })
}

/// Whether the node gives a date, by its form alone.
pub(crate) fn is_date(node: &Node<'_>) -> bool {
    match node {
        Node::Parenthesized(inner) => is_date(inner),
        Node::FunctionCall {
            kind: FunctionKind::Internal(InternalFunction::Date),
            ..
        } => true,
        Node::MethodCall {
            kind: MethodKind::DateMethod(method),
            ..
        } => matches!(
            method,
            DateMethod::Add
                | DateMethod::Sub
                | DateMethod::Set
                | DateMethod::StartOf
                | DateMethod::EndOf
                | DateMethod::Tz
        ),
        _ => false,
    }
}

/// Whether the method reads the clock.
pub(crate) fn reads_clock(method: DateMethod) -> bool {
    matches!(
        method,
        DateMethod::IsToday | DateMethod::IsTomorrow | DateMethod::IsYesterday
    )
}

/// Whether text could be a date rather than the name of a time zone.
pub(crate) fn starts_like_date(text: &str) -> bool {
    text.starts_with(|first: char| DATE_STARTS.contains(first))
}

/// Whether every percent sign of a format is followed by a letter that the formatter knows.
pub(crate) fn is_format(format: &str) -> bool {
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        let known = character != '%'
            || characters
                .next()
                .is_some_and(|letter| FORMAT_LETTERS.contains(letter));
        if !known {
            return false;
        }
    }
    true
}
