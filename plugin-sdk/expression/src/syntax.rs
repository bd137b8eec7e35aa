//! The parser's complaints as sentences for the person who wrote the expression.

use zen_expression::parser::AstNodeError;

/// What the parser found wrong and at which byte of the source, where it knows.
pub(crate) fn describe(error: &AstNodeError<'_>) -> (String, Option<u32>) {
    match error {
        AstNodeError::UnknownBuiltIn { name, span } => {
            (format!("there is no function `{name}`"), Some(span.0))
        }
        AstNodeError::UnknownMethod { name, span } => {
            (format!("there is no method `{name}`"), Some(span.0))
        }
        AstNodeError::UnexpectedIdentifier {
            received,
            expected,
            span,
        }
        | AstNodeError::UnexpectedToken {
            received,
            expected,
            span,
        } => {
            let (expected, received) = (token_name(expected), token_name(received));
            (
                format!("{expected} is expected here, not {received}"),
                Some(span.0),
            )
        }
        AstNodeError::InvalidNumber { number, span } => (
            format!("`{number}` is not a number of at most 28 digits"),
            Some(span.0),
        ),
        AstNodeError::InvalidBoolean { boolean, span } => {
            (format!("`{boolean}` is not true or false"), Some(span.0))
        }
        AstNodeError::InvalidProperty { property, span } => {
            (format!("`{property}` cannot name a member"), Some(span.0))
        }
        // Its position counts tokens, not characters.
        AstNodeError::MissingToken { expected, .. } => {
            (format!("{} is missing", token_name(expected)), None)
        }
        AstNodeError::ExpectedProperty { span } => {
            ("the name of a member is missing".to_owned(), Some(span.0))
        }
        AstNodeError::ExpectedLiteral { span } | AstNodeError::UnexpectedEnd { span } => {
            ("a value is missing".to_owned(), Some(span.0))
        }
        AstNodeError::Custom { message, span } => {
            let mut message = (*message).to_owned();
            if let Some(first) = message.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            (message, Some(span.0))
        }
    }
}

/// The parser calls tokens by the names of their types.
fn token_name(name: &str) -> &str {
    match name {
        "Bracket" => "a bracket",
        "Operator" => "an operator",
        "UnaryOperator" => "a value",
        "Literal" | "Identifier" => "a name",
        "Number" => "a number",
        "Boolean" => "true or false",
        "QuotationMark" | "Backtick (`)" => "a quotation mark",
        "TemplateString" => "a part of a template string",
        "None" => "the end",
        other => other,
    }
}
