//! Pieces of an expression written in the language itself, put in the place of what the evaluator
//! would do otherwise.

use bumpalo::Bump;
use rust_decimal::Decimal;
use zen_expression::functions::{ClosureFunction, FunctionKind};
use zen_expression::lexer::Lexer;
use zen_expression::parser::{Node, Parser};

use crate::error::ExpressionError;

/// What stands around a body, to have it parsed as the body of a loop: `#` means nothing outside.
const BEFORE: &str = "map([], ";
const AFTER: &str = ")";

/// `body` with `#[0]`, `#[1]`, … standing for the values, each of which is evaluated once:
/// `map([[value, value]], body)[0]`.
pub(crate) fn expand<'a>(
    bump: &'a Bump,
    body: &'static str,
    values: &[&'a Node<'a>],
) -> Result<&'a Node<'a>, ExpressionError> {
    let closure = closure(bump, body)?;
    let values: &'a Node<'a> = bump.alloc(Node::Array(bump.alloc_slice_copy(values)));
    let list: &'a Node<'a> = bump.alloc(Node::Array(bump.alloc_slice_copy(&[values])));
    let map = bump.alloc(Node::FunctionCall {
        kind: FunctionKind::Closure(ClosureFunction::Map),
        arguments: bump.alloc_slice_copy(&[list, closure]),
    });
    Ok(bump.alloc(Node::Member {
        node: map,
        property: number(bump, 0),
    }))
}

/// A number as a node.
pub(crate) fn number(bump: &Bump, number: u32) -> &Node<'_> {
    bump.alloc(Node::Number(Decimal::from(number)))
}

fn closure<'a>(bump: &'a Bump, body: &'static str) -> Result<&'a Node<'a>, ExpressionError> {
    let broken = |reason: String| ExpressionError::Syntax {
        message: format!("{body}: {reason}"),
        at: None,
    };
    let source = bump.alloc_str(&[BEFORE, body, AFTER].concat());
    let tokens = Lexer::new()
        .tokenize(bump, source)
        .map_err(|error| broken(error.to_string()))?;
    let tokens = tokens.into_bump_slice();
    let parsed = Parser::try_new(tokens, bump)
        .map_err(|error| broken(error.to_string()))?
        .standard()
        .parse();
    parsed.error().map_err(|error| broken(error.to_string()))?;
    match parsed.root {
        Node::FunctionCall {
            arguments: [_, closure],
            ..
        } => Ok(closure),
        _ => Err(broken("is not the body of a loop".to_owned())),
    }
}
