//! Dates without a clock and without a machine's time zone, so that the same input gives the same
//! output everywhere.
//!
//! The evaluator reads the clock in `d()`, in `d('Europe/Paris')` (a zone's name means "now
//! there"), in `isToday` and its like, and in all its older date functions. It reads the
//! machine's zone wherever it has to turn text into a date by itself: in `d(text)`, and when a
//! date meets text in a comparison. So the first are refused, `d(text)` is rewritten to
//! `d(text, 'UTC')` with anything that does not start like a date made null, and a date may stand
//! only where it meets nothing but dates.

use bumpalo::Bump;
use rust_decimal::Decimal;
use zen_expression::functions::{
    ClosureFunction, DateMethod, FunctionKind, InternalFunction, MethodKind,
};
use zen_expression::lexer::{ComparisonOperator, LogicalOperator, Operator};
use zen_expression::parser::Node;

/// What a date's text starts with; no time zone's name does.
const DATE_STARTS: &str = "+-0123456789";
/// What `format` takes after a percent sign. Others make the formatter panic.
const FORMAT_LETTERS: &str = "YCymbBhdeaAwuUWGgVjDFHkIlPpMSTRZzsnt%";

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

/// Whether the method compares its date with another.
pub(crate) fn compares(method: DateMethod) -> bool {
    matches!(
        method,
        DateMethod::Diff
            | DateMethod::IsSame
            | DateMethod::IsBefore
            | DateMethod::IsAfter
            | DateMethod::IsSameOrBefore
            | DateMethod::IsSameOrAfter
    )
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

/// `d(value)` and `d(value, zone)` without clock and machine's zone.
pub(crate) fn date_call<'a>(
    bump: &'a Bump,
    value: &'a Node<'a>,
    zone: Option<&'a Node<'a>>,
) -> &'a Node<'a> {
    let utc = || -> &'a Node<'a> { bump.alloc(Node::String("UTC")) };
    match (value, zone) {
        (Node::String(_), zone) => call_date(bump, &[value, zone.unwrap_or_else(utc)]),
        (date, None) if is_date(date) => date,
        (date, Some(zone)) if is_date(date) => call_date(bump, &[date, zone]),
        (_, Some(zone)) => {
            let guarded = with(bump, value, zone_name_as_null(bump));
            call_date(bump, &[guarded, zone])
        }
        (_, None) => {
            let element: &'a Node<'a> = bump.alloc(Node::Pointer);
            let read = call_date(bump, &[zone_name_as_null(bump), utc()]);
            let body = choose(bump, is_of_type(bump, "date"), element, read);
            with(bump, value, body)
        }
    }
}

/// `date.format(…)` that gives null, not the words "Invalid date", for what is not a date.
pub(crate) fn format_call<'a>(
    bump: &'a Bump,
    date: &'a Node<'a>,
    arguments: &'a [&'a Node<'a>],
) -> &'a Node<'a> {
    let method = |method, arguments| -> &'a Node<'a> {
        let kind = MethodKind::DateMethod(method);
        bump.alloc(Node::MethodCall {
            kind,
            this: bump.alloc(Node::Pointer),
            arguments,
        })
    };
    let valid = method(DateMethod::IsValid, &[]);
    let text = method(DateMethod::Format, arguments);
    with(
        bump,
        date,
        choose(bump, valid, text, bump.alloc(Node::Null)),
    )
}

/// `body` with `#` standing for `value`, which is evaluated once: `map([value], body)[0]`.
fn with<'a>(bump: &'a Bump, value: &'a Node<'a>, body: &'a Node<'a>) -> &'a Node<'a> {
    let list = bump.alloc(Node::Array(bump.alloc_slice_copy(&[value])));
    let closure = bump.alloc(Node::Closure { body, alias: None });
    let map = bump.alloc(Node::FunctionCall {
        kind: FunctionKind::Closure(ClosureFunction::Map),
        arguments: bump.alloc_slice_copy(&[&*list, &*closure]),
    });
    bump.alloc(Node::Member {
        node: map,
        property: bump.alloc(Node::Number(Decimal::ZERO)),
    })
}

/// `#`, but null if it is text that does not start like a date.
fn zone_name_as_null<'a>(bump: &'a Bump) -> &'a Node<'a> {
    let element: &'a Node<'a> = bump.alloc(Node::Pointer);
    let zero = bump.alloc(Node::Number(Decimal::ZERO));
    let first = bump.alloc(Node::Member {
        node: element,
        property: zero,
    });
    // Nothing is the first character of "", and of text that starts with a longer one.
    let first = bump.alloc(Node::Binary {
        left: first,
        operator: Operator::Logical(LogicalOperator::NullishCoalescing),
        right: bump.alloc(Node::String("?")),
    });
    let starts = call(
        bump,
        InternalFunction::Contains,
        &[bump.alloc(Node::String(DATE_STARTS)), first],
    );
    let not_date = bump.alloc(Node::Unary {
        node: starts,
        operator: Operator::Logical(LogicalOperator::Not),
    });
    let name = bump.alloc(Node::Binary {
        left: is_of_type(bump, "string"),
        operator: Operator::Logical(LogicalOperator::And),
        right: not_date,
    });
    choose(bump, name, bump.alloc(Node::Null), element)
}

fn is_of_type<'a>(bump: &'a Bump, name: &'static str) -> &'a Node<'a> {
    let element: &'a Node<'a> = bump.alloc(Node::Pointer);
    bump.alloc(Node::Binary {
        left: call(bump, InternalFunction::Type, &[element]),
        operator: Operator::Comparison(ComparisonOperator::Equal),
        right: bump.alloc(Node::String(name)),
    })
}

fn choose<'a>(
    bump: &'a Bump,
    condition: &'a Node<'a>,
    on_true: &'a Node<'a>,
    on_false: &'a Node<'a>,
) -> &'a Node<'a> {
    bump.alloc(Node::Conditional {
        condition,
        on_true,
        on_false,
    })
}

fn call_date<'a>(bump: &'a Bump, arguments: &[&'a Node<'a>]) -> &'a Node<'a> {
    call(bump, InternalFunction::Date, arguments)
}

fn call<'a>(
    bump: &'a Bump,
    function: InternalFunction,
    arguments: &[&'a Node<'a>],
) -> &'a Node<'a> {
    bump.alloc(Node::FunctionCall {
        kind: FunctionKind::Internal(function),
        arguments: bump.alloc_slice_copy(arguments),
    })
}
