//! The functions, methods and ranges that an expression may use.

use regex_lite::RegexBuilder;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use zen_expression::functions::{DateMethod, FunctionKind, InternalFunction, MethodKind};
use zen_expression::lexer::{ArithmeticOperator, Operator};
use zen_expression::parser::Node;

use crate::dates;
use crate::error::ExpressionError;
use crate::expansion::{expand, number};
use crate::limits::{PATTERN_COMPILED_MAX_BYTES, RANGE_MAX_ITEMS};
use crate::tree::{Place, Walk};

const CLOCK: &str = "an expression cannot read the clock: use `event.occurred_at`";

impl<'a> Walk<'_, 'a> {
    pub(crate) fn visit_function(
        &mut self,
        node: &'a Node<'a>,
        kind: &FunctionKind,
        arguments: &'a [&'a Node<'a>],
        depth: usize,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        match kind {
            FunctionKind::Internal(InternalFunction::Date) => {
                return self.visit_date(node, kind, arguments, depth);
            }
            FunctionKind::Internal(function) => self.check_function(node, *function, arguments)?,
            FunctionKind::Deprecated(function) => {
                let message = format!("`{function}` is not available: use `d(…)` and its methods");
                return self.refuse(node, message);
            }
            FunctionKind::Closure(_) => {}
        }
        let arguments = self.visit_all(arguments, depth)?;
        Ok(self.bump().alloc(Node::FunctionCall {
            kind: kind.clone(),
            arguments,
        }))
    }

    fn check_function(
        &self,
        node: &'a Node<'a>,
        function: InternalFunction,
        arguments: &[&'a Node<'a>],
    ) -> Result<(), ExpressionError> {
        match (function, arguments) {
            (InternalFunction::Rand, _) => self.refuse(
                node,
                "`rand` is not available: an expression gives the same each time",
            ),
            (InternalFunction::Keys | InternalFunction::Values, _) => self.refuse(
                node,
                format!("`{function}` is not available: members have no order"),
            ),
            // Its time and memory grow with the square of the text.
            (InternalFunction::FuzzyMatch, _) => self.refuse(node, "`fuzzyMatch` is not available"),
            (InternalFunction::Matches | InternalFunction::Extract, [_, pattern]) => {
                self.check_pattern(pattern)
            }
            _ => Ok(()),
        }
    }

    /// A pattern is written out, so that its size is known before anything is matched.
    fn check_pattern(&self, pattern: &'a Node<'a>) -> Result<(), ExpressionError> {
        let Node::String(text) = pattern else {
            return self.refuse(pattern, "the pattern has to be a string, written here");
        };
        match RegexBuilder::new(text)
            .size_limit(PATTERN_COMPILED_MAX_BYTES)
            .build()
        {
            Ok(_) => Ok(()),
            Err(error) => self.refuse(pattern, format!("the pattern cannot be used: {error}")),
        }
    }

    fn visit_date(
        &mut self,
        node: &'a Node<'a>,
        kind: &FunctionKind,
        arguments: &'a [&'a Node<'a>],
        depth: usize,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        let (value, zone) = match arguments {
            [] => return self.refuse(node, CLOCK),
            [Node::String(text), ..] if !dates::starts_like_date(text) => {
                return self.refuse(node, format!("`{text}` is not a date; {CLOCK}"));
            }
            [value] => (value, None),
            [value, zone] => (value, Some(self.visit(zone, depth, Place::Value)?)),
            _ => return self.refuse(node, "`d` takes a date and a time zone"),
        };
        let written = self.visit(value, depth, Place::Date)?;
        match zone {
            // One that starts like a date is the name of no zone.
            _ if matches!(written, Node::String(_)) => {
                let utc: &'a Node<'a> = self.bump().alloc(Node::String("UTC"));
                let arguments = self
                    .bump()
                    .alloc_slice_copy(&[written, zone.unwrap_or(utc)]);
                Ok(self.bump().alloc(Node::FunctionCall {
                    kind: kind.clone(),
                    arguments,
                }))
            }
            None if dates::is_date(value) => Ok(written),
            None => expand(self.bump(), dates::READ, &[written]),
            Some(zone) => expand(self.bump(), dates::READ_IN_ZONE, &[written, zone]),
        }
    }

    pub(crate) fn visit_method(
        &mut self,
        node: &'a Node<'a>,
        kind: &MethodKind,
        this: &'a Node<'a>,
        arguments: &'a [&'a Node<'a>],
        depth: usize,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        let MethodKind::DateMethod(method) = kind;
        if dates::reads_clock(*method) {
            return self.refuse(node, CLOCK);
        }
        if !dates::is_date(this) {
            let message = format!("`{method}` is a method of dates: write `d(…).{method}(…)`");
            return self.refuse(node, message);
        }
        let this = self.visit(this, depth, Place::Date)?;
        match method {
            DateMethod::Format => self.visit_format(node, this, arguments),
            DateMethod::Diff
            | DateMethod::IsSame
            | DateMethod::IsBefore
            | DateMethod::IsAfter
            | DateMethod::IsSameOrBefore
            | DateMethod::IsSameOrAfter => {
                self.visit_comparison(node, *method, this, arguments, depth)
            }
            _ => {
                let arguments = self.visit_all(arguments, depth)?;
                Ok(self.bump().alloc(Node::MethodCall {
                    kind: kind.clone(),
                    this,
                    arguments,
                }))
            }
        }
    }

    fn visit_format(
        &mut self,
        node: &'a Node<'a>,
        this: &'a Node<'a>,
        arguments: &[&'a Node<'a>],
    ) -> Result<&'a Node<'a>, ExpressionError> {
        match arguments {
            [] => expand(self.bump(), dates::FORMAT, &[this]),
            [format @ Node::String(text)] if dates::is_format(text) => {
                expand(self.bump(), dates::FORMAT_AS, &[this, *format])
            }
            _ => self.refuse(
                node,
                "`format` takes a string, written here, like '%Y-%m-%d'",
            ),
        }
    }

    fn visit_comparison(
        &mut self,
        node: &'a Node<'a>,
        method: DateMethod,
        this: &'a Node<'a>,
        arguments: &[&'a Node<'a>],
        depth: usize,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        let (other, unit) = match arguments {
            [other] => (*other, None),
            [other, Node::String(unit)] => (*other, Some(*unit)),
            _ => {
                let message =
                    format!("`{method}` takes a date and a unit, written here, like 'day'");
                return self.refuse(node, message);
            }
        };
        if !dates::is_date(other) {
            let message = format!("`{method}` compares with a date: write `d(…)` there");
            return self.refuse(other, message);
        }
        let Some((difference, unit_size)) = dates::difference(unit) else {
            return self.refuse(
                node,
                "the units are second, minute, hour, day, week, month and year",
            );
        };
        let other = self.visit(other, depth, Place::Date)?;
        let bump = self.bump();
        match dates::method_comparison(method, unit.is_some()) {
            Some(body) => {
                let unit = bump.alloc(Node::String(unit.unwrap_or_default()));
                expand(bump, body, &[this, other, unit])
            }
            None => expand(bump, difference, &[this, other, number(bump, unit_size)]),
        }
    }

    /// A range that could be looped over has two whole numbers, written out, not far apart.
    pub(crate) fn check_range(&self, node: &'a Node<'a>) -> Result<(), ExpressionError> {
        match range_items(node) {
            Some(items) if items <= RANGE_MAX_ITEMS => Ok(()),
            Some(_) => Err(ExpressionError::limit(format!(
                "a range outside of `in` has at most {RANGE_MAX_ITEMS} numbers"
            ))),
            None => self.refuse(
                node,
                "a range outside of `in` has whole numbers, written here",
            ),
        }
    }
}

/// How many numbers a range of two whole numbers has, ends included.
pub(crate) fn range_items(node: &Node<'_>) -> Option<u64> {
    let Node::Interval { left, right, .. } = node else {
        return None;
    };
    let (left, right) = (whole_number(left)?, whole_number(right)?);
    u64::try_from(right.checked_sub(left)?.checked_add(1)?.max(0)).ok()
}

fn whole_number(node: &Node<'_>) -> Option<i64> {
    match node {
        Node::Number(number) if number.is_integer() => number.to_i64(),
        Node::Unary {
            node: Node::Number(number),
            operator,
        } if *operator == Operator::Arithmetic(ArithmeticOperator::Subtract)
            && number.is_integer() =>
        {
            Decimal::ZERO.checked_sub(*number)?.to_i64()
        }
        _ => None,
    }
}
