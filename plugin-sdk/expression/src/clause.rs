//! Conditions that a database can decide: the part of the language that compares one value of a
//! record at a time with what is known beforehand, joined by `and`, `or` and `not`.
//!
//! ```
//! use crm_expression::Clause;
//!
//! assert!(Clause::parse("record.region in user.regions and record.price < 100").is_ok());
//! assert!(Clause::parse("len(record.name) > 3").is_err());
//! ```

use bumpalo::Bump;
use serde_json::Value;
use zen_expression::lexer::{ComparisonOperator, Lexer, LogicalOperator, Operator};
use zen_expression::parser::{Node, Parser};

use crate::error::ExpressionError;
use crate::{Expression, tokens, unpanicking, value};

/// A condition as a tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// Every one holds.
    All(Vec<Clause>),
    /// One of them holds.
    Any(Vec<Clause>),
    Not(Box<Clause>),
    Compare {
        left: Operand,
        comparison: Comparison,
        right: Operand,
    },
    /// The operand is true.
    Holds(Operand),
}

/// What stands on a side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A member of the context, as a path: `record.price.amount`.
    Member(Vec<String>),
    /// A value that is written there.
    Value(Value),
}

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

impl Comparison {
    /// What it is with its sides exchanged; none for `in` and `not in`.
    pub const fn exchanged(self) -> Option<Self> {
        match self {
            Self::Equal | Self::NotEqual => Some(self),
            Self::Less => Some(Self::Greater),
            Self::LessOrEqual => Some(Self::GreaterOrEqual),
            Self::Greater => Some(Self::Less),
            Self::GreaterOrEqual => Some(Self::LessOrEqual),
            Self::In | Self::NotIn => None,
        }
    }
}

impl Clause {
    /// Parses a condition.
    ///
    /// # Errors
    /// As [`Expression::parse`], and where it does more than compare.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Expression::parse(source)?;
        unpanicking(|| {
            let bump = Bump::new();
            let tokens = Lexer::new()
                .tokenize(&bump, source)
                .map_err(|error| tokens::lexer_error(source, &error))?;
            let parser =
                Parser::try_new(&tokens, &bump).map_err(|error| ExpressionError::Syntax {
                    message: error.to_string(),
                    at: None,
                })?;
            clause(parser.standard().parse().root)
        })
    }

    /// Every operand.
    pub fn operands(&self) -> Vec<&Operand> {
        match self {
            Self::All(clauses) | Self::Any(clauses) => {
                clauses.iter().flat_map(Self::operands).collect()
            }
            Self::Not(clause) => clause.operands(),
            Self::Compare { left, right, .. } => vec![left, right],
            Self::Holds(operand) => vec![operand],
        }
    }
}

fn refused<T>(what: &str) -> Result<T, ExpressionError> {
    Err(ExpressionError::Refused {
        message: format!(
            "{what} cannot be looked for in records: compare one value of the record at a time, \
             with ==, !=, <, <=, >, >=, in, not in, joined by and, or, not"
        ),
        at: None,
    })
}

fn clause(node: &Node<'_>) -> Result<Clause, ExpressionError> {
    match node {
        Node::Parenthesized(inner) => clause(inner),
        Node::Unary {
            node,
            operator: Operator::Logical(LogicalOperator::Not),
        } => Ok(Clause::Not(Box::new(clause(node)?))),
        Node::Binary {
            left,
            operator: Operator::Logical(LogicalOperator::And),
            right,
        } => Ok(Clause::All(vec![clause(left)?, clause(right)?])),
        Node::Binary {
            left,
            operator: Operator::Logical(LogicalOperator::Or),
            right,
        } => Ok(Clause::Any(vec![clause(left)?, clause(right)?])),
        Node::Binary {
            left,
            operator: Operator::Comparison(operator),
            right,
        } => Ok(Clause::Compare {
            left: operand(left)?,
            comparison: comparison(*operator),
            right: operand(right)?,
        }),
        Node::Binary { .. } => refused("what is computed"),
        other => Ok(Clause::Holds(operand(other)?)),
    }
}

const fn comparison(operator: ComparisonOperator) -> Comparison {
    match operator {
        ComparisonOperator::Equal => Comparison::Equal,
        ComparisonOperator::NotEqual => Comparison::NotEqual,
        ComparisonOperator::LessThan => Comparison::Less,
        ComparisonOperator::LessThanOrEqual => Comparison::LessOrEqual,
        ComparisonOperator::GreaterThan => Comparison::Greater,
        ComparisonOperator::GreaterThanOrEqual => Comparison::GreaterOrEqual,
        ComparisonOperator::In => Comparison::In,
        ComparisonOperator::NotIn => Comparison::NotIn,
    }
}

fn operand(node: &Node<'_>) -> Result<Operand, ExpressionError> {
    match node {
        Node::Parenthesized(inner) => operand(inner),
        Node::Identifier(_) | Node::Member { .. } => {
            let mut path = Vec::new();
            members(node, &mut path)?;
            Ok(Operand::Member(path))
        }
        other => Ok(Operand::Value(constant(other)?)),
    }
}

fn members(node: &Node<'_>, path: &mut Vec<String>) -> Result<(), ExpressionError> {
    match node {
        Node::Identifier(name) => path.push((*name).to_owned()),
        Node::Member {
            node,
            property: Node::String(name),
        } => {
            members(node, path)?;
            path.push((*name).to_owned());
        }
        _ => return refused("what stands behind an index"),
    }
    Ok(())
}

fn constant(node: &Node<'_>) -> Result<Value, ExpressionError> {
    Ok(match node {
        Node::Null => Value::Null,
        Node::Bool(truth) => Value::Bool(*truth),
        Node::Number(number) => value::json_from_decimal(*number),
        Node::String(text) => Value::from(*text),
        Node::Unary {
            node: Node::Number(number),
            ..
        } => value::json_from_decimal(-*number),
        Node::Parenthesized(inner) => constant(inner)?,
        Node::Array(items) => {
            let items = items.iter().map(|item| constant(item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        _ => return refused("what is computed"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(path: &str) -> Operand {
        Operand::Member(path.split('.').map(str::to_owned).collect())
    }

    #[test]
    fn comparisons_are_read_as_a_tree() {
        let clause = Clause::parse("record.region in user.regions and not (record.price < 1.50)");
        let region = Clause::Compare {
            left: member("record.region"),
            comparison: Comparison::In,
            right: member("user.regions"),
        };
        let price = Clause::Compare {
            left: member("record.price"),
            comparison: Comparison::Less,
            right: Operand::Value(Value::from("1.50")),
        };
        let expected = Clause::All(vec![region, Clause::Not(Box::new(price))]);
        assert_eq!(clause.unwrap(), expected);
    }

    #[test]
    fn lists_and_bare_members_are_read() {
        let clause = Clause::parse("record.status in ['new', 'open'] or record.vip").unwrap();
        let list = Operand::Value(serde_json::json!(["new", "open"]));
        assert_eq!(
            clause.operands(),
            [&member("record.status"), &list, &member("record.vip")]
        );
    }

    #[test]
    fn what_is_computed_is_refused_in_a_sentence() {
        for source in [
            "record.a + 1 > 2",
            "len(record.name) > 3",
            "record.items[0] == 1",
            "record.a ? record.b : record.c",
            "some(record.items, # > 1)",
            "record.price > -record.cost",
        ] {
            let message = Clause::parse(source).unwrap_err().to_string();
            assert!(
                message.contains("cannot be looked for in records"),
                "{source}: {message}"
            );
        }
        assert!(Clause::parse("record.price > -1").is_ok());
        assert!(Clause::parse("record.price >").is_err());
    }
}
