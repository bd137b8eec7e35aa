//! The functions, methods and ranges that an expression may use.

use regex_lite::RegexBuilder;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use zen_expression::functions::{DateMethod, FunctionKind, InternalFunction, MethodKind};
use zen_expression::lexer::{ArithmeticOperator, Operator};
use zen_expression::parser::Node;

use crate::dates;
use crate::error::ExpressionError;
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
                return self.visit_date(node, arguments, depth);
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
        let value = self.visit(value, depth, Place::Date)?;
        Ok(dates::date_call(self.bump(), value, zone))
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
        if *method == DateMethod::Format {
            return match arguments {
                [] => Ok(dates::format_call(self.bump(), this, arguments)),
                [Node::String(format)] if dates::is_format(format) => {
                    Ok(dates::format_call(self.bump(), this, arguments))
                }
                _ => self.refuse(
                    node,
                    "`format` takes a string, written here, like '%Y-%m-%d'",
                ),
            };
        }
        let arguments = match arguments {
            [other, rest @ ..] if dates::compares(*method) => {
                if !dates::is_date(other) {
                    let message = format!("`{method}` compares with a date: write `d(…)` there");
                    return self.refuse(other, message);
                }
                let mut all = vec![self.visit(other, depth, Place::Date)?];
                all.extend_from_slice(self.visit_all(rest, depth)?);
                self.bump().alloc_slice_copy(&all)
            }
            _ => self.visit_all(arguments, depth)?,
        };
        Ok(self.bump().alloc(Node::MethodCall {
            kind: kind.clone(),
            this,
            arguments,
        }))
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
