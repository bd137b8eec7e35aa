//! What can be judged before parsing: length, brackets, assignments. The parser is recursive and
//! starts again on ranges and assignments, so whatever could make it slow or deep stops here.

use zen_expression::lexer::{Bracket, LexerError, Operator, Token, TokenKind};

use crate::error::{ExpressionError, Position};
use crate::limits::{
    BRACKETS_MAX_DEPTH, BRACKETS_WITH_RANGE_MAX_DEPTH, SOURCE_MAX_BYTES, SOURCE_MAX_TOKENS,
};

/// Refuses a source that is empty or too long.
pub(crate) fn check_source(source: &str) -> Result<(), ExpressionError> {
    if source.trim().is_empty() {
        return Err(ExpressionError::Syntax {
            message: "the expression is empty".to_owned(),
            at: None,
        });
    }
    if source.len() > SOURCE_MAX_BYTES {
        return Err(ExpressionError::limit(format!(
            "the expression has {} bytes, at most {SOURCE_MAX_BYTES} are allowed",
            source.len()
        )));
    }
    Ok(())
}

/// Refuses tokens that the parser should not see.
pub(crate) fn check_tokens(source: &str, tokens: &[Token<'_>]) -> Result<(), ExpressionError> {
    if tokens.len() > SOURCE_MAX_TOKENS {
        return Err(ExpressionError::limit(format!(
            "the expression has {} words and signs, at most {SOURCE_MAX_TOKENS} are allowed",
            tokens.len()
        )));
    }
    check_brackets(source, tokens)?;
    match tokens.iter().find(|token| is_assignment(token.kind)) {
        None => Ok(()),
        Some(token) => Err(ExpressionError::Refused {
            message: "an expression cannot assign; to compare, write `==`".to_owned(),
            at: Some(position(source, token)),
        }),
    }
}

fn is_assignment(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Operator(Operator::Assign | Operator::Semi))
}

fn is_opening(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Bracket(
            Bracket::LeftParenthesis | Bracket::LeftSquareBracket | Bracket::LeftCurlyBracket
        )
    )
}

fn position(source: &str, token: &Token<'_>) -> Position {
    Position::at(source, token.span.0 as usize)
}

/// Brackets have to be closed in order, and not too many be open. Beside a range, no bracket may
/// close where a value is expected (`[]`, `]1..2[`): the parser would take it for the start of a
/// range and try the rest of the source in two ways.
fn check_brackets(source: &str, tokens: &[Token<'_>]) -> Result<(), ExpressionError> {
    let has_range = tokens
        .iter()
        .any(|token| token.kind == TokenKind::Operator(Operator::Range));
    let max_depth = if has_range {
        BRACKETS_WITH_RANGE_MAX_DEPTH
    } else {
        BRACKETS_MAX_DEPTH
    };
    let mut depth = 0_usize;
    let mut value_expected = true;
    for token in tokens {
        let opening = is_opening(token.kind);
        if opening {
            depth += 1;
        } else if matches!(token.kind, TokenKind::Bracket(_)) {
            let at = Some(position(source, token));
            if depth == 0 {
                let message = format!("`{}` is not expected here", token.value);
                return Err(ExpressionError::Syntax { message, at });
            }
            if has_range && value_expected {
                let message = "empty or reversed brackets cannot stand beside a range".to_owned();
                return Err(ExpressionError::Refused { message, at });
            }
            depth -= 1;
        }
        if depth > max_depth {
            let more = if has_range { " beside a range" } else { "" };
            return Err(ExpressionError::limit(format!(
                "more than {max_depth} brackets are open{more} (at character {})",
                position(source, token).character
            )));
        }
        value_expected = opening || matches!(token.kind, TokenKind::Operator(_));
    }
    Ok(())
}

/// The lexer's complaint as a sentence.
pub(crate) fn lexer_error(source: &str, error: &LexerError) -> ExpressionError {
    let (message, byte) = match error {
        LexerError::UnexpectedSymbol { symbol, span } => {
            (format!("`{symbol}` is not expected here"), span.0 as usize)
        }
        LexerError::UnmatchedSymbol { position, .. } => {
            let at = *position as usize;
            let symbol = source
                .get(at..)
                .and_then(|rest| rest.chars().next())
                .unwrap_or(' ');
            (
                format!("`{symbol}` is not part of the language outside of strings"),
                at,
            )
        }
        LexerError::UnexpectedEof { .. } => (
            "the expression ends inside a string".to_owned(),
            source.len(),
        ),
    };
    ExpressionError::Syntax {
        message,
        at: Some(Position::at(source, byte)),
    }
}
