//! Walks the parsed tree once: refuses what this product does not evaluate, and rewrites what
//! would depend on the machine (see [`crate::dates`]).

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use zen_expression::lexer::{ComparisonOperator, Operator};
use zen_expression::parser::{AstNodeError, Node, ParserResult};

use crate::dates;
use crate::error::{ExpressionError, Position};
use crate::expansion::expand;
use crate::limits::TREE_MAX_DEPTH;
use crate::syntax;

/// What surrounds a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Any value may meet this one: no dates.
    Value,
    /// Nothing but dates, or the outside, meets this one.
    Date,
    /// The right side of `in`, where a range costs nothing.
    Membership,
}

/// The walk's state.
pub(crate) struct Walk<'s, 'a> {
    source: &'s str,
    bump: &'a Bump,
    parsed: &'s ParserResult<'a>,
}

impl<'s, 'a> Walk<'s, 'a> {
    /// Checks the whole tree and gives the one to compile.
    pub(crate) fn run(
        source: &'s str,
        bump: &'a Bump,
        parsed: &'s ParserResult<'a>,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        Walk {
            source,
            bump,
            parsed,
        }
        .visit(parsed.root, 1, Place::Date)
    }

    pub(crate) fn bump(&self) -> &'a Bump {
        self.bump
    }

    pub(crate) fn refuse<T>(
        &self,
        node: &Node<'a>,
        message: impl Into<String>,
    ) -> Result<T, ExpressionError> {
        Err(ExpressionError::Refused {
            message: message.into(),
            at: self.position(node),
        })
    }

    /// Where the node stands. The parser keeps spans beside the tree, by the nodes' addresses.
    fn position(&self, node: &Node<'a>) -> Option<Position> {
        let address = std::ptr::from_ref(node) as usize;
        let metadata = self.parsed.metadata.as_ref()?.get(&address)?;
        Some(Position::at(self.source, metadata.span.0 as usize))
    }

    pub(crate) fn visit(
        &mut self,
        node: &'a Node<'a>,
        depth: usize,
        place: Place,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        if depth > TREE_MAX_DEPTH {
            return Err(ExpressionError::limit(format!(
                "the expression nests more than {TREE_MAX_DEPTH} levels deep"
            )));
        }
        if place != Place::Date && dates::is_date(node) {
            return self.refuse(
                node,
                "a date can only be compared with a date or turned into text or a number here: \
                 write `d(…).format('%Y-%m-%d')`, or `d(…)` on both sides",
            );
        }
        self.visit_inside(node, depth + 1, place)
    }

    fn visit_inside(
        &mut self,
        node: &'a Node<'a>,
        depth: usize,
        place: Place,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        let bump = self.bump;
        let rebuilt = match node {
            Node::Null
            | Node::Bool(_)
            | Node::Number(_)
            | Node::String(_)
            | Node::Pointer
            | Node::Identifier(_)
            | Node::Root => return Ok(node),
            Node::Error { error, node: inner } => return self.syntax_error(error, *inner, depth),
            Node::Assignments { .. } => return self.refuse(node, "an expression cannot assign"),
            // The evaluator counts its parts down from their number without looking.
            Node::TemplateString([]) => return Ok(bump.alloc(Node::String(""))),
            Node::TemplateString(parts) => Node::TemplateString(self.visit_all(parts, depth)?),
            Node::Array(items) => Node::Array(self.visit_all(items, depth)?),
            Node::Object(members) => {
                let mut rebuilt = BumpVec::with_capacity_in(members.len(), bump);
                for (key, value) in *members {
                    let key = self.visit(key, depth, Place::Value)?;
                    rebuilt.push((key, self.visit(value, depth, Place::Value)?));
                }
                Node::Object(rebuilt.into_bump_slice())
            }
            Node::Closure { body, alias } => Node::Closure {
                body: self.visit(body, depth, Place::Value)?,
                alias: *alias,
            },
            Node::Parenthesized(inner) => {
                let place = if place == Place::Membership {
                    Place::Value
                } else {
                    place
                };
                Node::Parenthesized(self.visit(inner, depth, place)?)
            }
            Node::Member { node, property } => Node::Member {
                node: self.visit(node, depth, Place::Value)?,
                property: self.visit(property, depth, Place::Value)?,
            },
            Node::Slice { node, from, to } => Node::Slice {
                node: self.visit(node, depth, Place::Value)?,
                from: from
                    .map(|from| self.visit(from, depth, Place::Value))
                    .transpose()?,
                to: to
                    .map(|to| self.visit(to, depth, Place::Value))
                    .transpose()?,
            },
            Node::Interval {
                left,
                right,
                left_bracket,
                right_bracket,
            } => {
                if place != Place::Membership {
                    self.check_range(node)?;
                }
                Node::Interval {
                    left: self.visit(left, depth, Place::Value)?,
                    right: self.visit(right, depth, Place::Value)?,
                    left_bracket: *left_bracket,
                    right_bracket: *right_bracket,
                }
            }
            Node::Conditional {
                condition,
                on_true,
                on_false,
            } => Node::Conditional {
                condition: self.visit(condition, depth, Place::Value)?,
                on_true: self.visit(on_true, depth, Place::Value)?,
                on_false: self.visit(on_false, depth, Place::Value)?,
            },
            Node::Unary { node, operator } => Node::Unary {
                node: self.visit(node, depth, Place::Value)?,
                operator: *operator,
            },
            Node::Binary {
                left,
                operator,
                right,
            } => {
                if let Some(body) = date_comparison(*operator, left, right) {
                    let left = self.visit(left, depth, Place::Date)?;
                    let right = self.visit(right, depth, Place::Date)?;
                    return expand(bump, body, &[left, right]);
                }
                let membership = matches!(
                    operator,
                    Operator::Comparison(ComparisonOperator::In | ComparisonOperator::NotIn)
                );
                let right_place = if membership {
                    Place::Membership
                } else {
                    Place::Value
                };
                Node::Binary {
                    left: self.visit(left, depth, Place::Value)?,
                    operator: *operator,
                    right: self.visit(right, depth, right_place)?,
                }
            }
            Node::FunctionCall { kind, arguments } => {
                return self.visit_function(node, kind, arguments, depth);
            }
            Node::MethodCall {
                kind,
                this,
                arguments,
            } => {
                return self.visit_method(node, kind, this, arguments, depth);
            }
        };
        Ok(bump.alloc(rebuilt))
    }

    pub(crate) fn visit_all(
        &mut self,
        nodes: &'a [&'a Node<'a>],
        depth: usize,
    ) -> Result<&'a [&'a Node<'a>], ExpressionError> {
        let mut rebuilt = BumpVec::with_capacity_in(nodes.len(), self.bump);
        for node in nodes {
            rebuilt.push(self.visit(node, depth, Place::Value)?);
        }
        Ok(rebuilt.into_bump_slice())
    }

    /// The first mistake in reading order: one inside comes before the one around it.
    fn syntax_error(
        &mut self,
        error: &AstNodeError<'a>,
        inner: Option<&'a Node<'a>>,
        depth: usize,
    ) -> Result<&'a Node<'a>, ExpressionError> {
        if let Some(inner) = inner {
            self.visit(inner, depth, Place::Date)?;
        }
        let (message, byte) = syntax::describe(error);
        Err(ExpressionError::Syntax {
            message,
            at: byte.map(|byte| Position::at(self.source, byte as usize)),
        })
    }
}

/// What the operator does if both its sides are dates.
fn date_comparison(operator: Operator, left: &Node<'_>, right: &Node<'_>) -> Option<&'static str> {
    let Operator::Comparison(operator) = operator else {
        return None;
    };
    let dates = dates::is_date(left) && dates::is_date(right);
    if dates {
        dates::comparison(operator)
    } else {
        None
    }
}
