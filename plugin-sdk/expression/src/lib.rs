//! The product's one expression language: conditions of workflows, computed fields, and whatever
//! else a tenant writes as a formula. It is the language of `zen-expression` with exact decimals
//! and null-tolerant member access, under limits, and without anything that could make the same
//! input give another output: no clock, no randomness, no machine's time zone.
//!
//! Used by the host and, compiled to WebAssembly, by guests. It never does I/O and is synchronous.
//!
//! ```
//! use crm_expression::Expression;
//! use serde_json::json;
//!
//! let total = Expression::parse("number(after.quantity) * number(after.price)")?;
//! let value = total.evaluate(&json!({ "after": { "quantity": 3, "price": "0.10" } }))?;
//! assert_eq!(value, json!("0.30"));
//! # Ok::<(), crm_expression::ExpressionError>(())
//! ```

mod calls;
mod clause;
mod context;
mod cost;
mod dates;
#[cfg(target_family = "wasm")]
mod entropy;
mod error;
mod expansion;
pub mod limits;
mod syntax;
mod tokens;
mod tree;
mod value;

#[cfg(test)]
mod tests;

use bumpalo::Bump;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use zen_expression::compiler::Compiler;
use zen_expression::expression::Standard;
use zen_expression::lexer::Lexer;
use zen_expression::parser::Parser;
use zen_expression::{IsolateError, vm::VM};

pub use clause::{Clause, Comparison, Operand};
pub use context::{Context, Input};
pub use error::{ExpressionError, Position};
pub use rust_decimal::Decimal;

/// A parsed, checked and compiled expression. Cheap to clone; may be shared between threads.
#[derive(Clone, Debug)]
pub struct Expression {
    source: Arc<str>,
    compiled: zen_expression::Expression<Standard>,
    cost: Arc<cost::Cost>,
}

impl Expression {
    /// Parses and checks the source, once for any number of evaluations.
    ///
    /// # Errors
    /// What is wrong with the source and, where known, at which character.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        tokens::check_source(source)?;
        unpanicking(|| Self::parse_checked(source))
    }

    fn parse_checked(source: &str) -> Result<Self, ExpressionError> {
        let bump = Bump::new();
        let tokens = Lexer::new()
            .tokenize(&bump, source)
            .map_err(|error| tokens::lexer_error(source, &error))?;
        tokens::check_tokens(source, &tokens)?;
        let syntax = |message: String| ExpressionError::Syntax { message, at: None };
        let parser = Parser::try_new(&tokens, &bump).map_err(|error| syntax(error.to_string()))?;
        let parsed = parser.with_metadata().standard().parse();
        let root = tree::Walk::run(source, &bump, &parsed)?;
        if !parsed.is_complete {
            return Err(syntax("more follows where the expression ends".to_owned()));
        }
        let mut compiler = Compiler::new();
        compiler
            .compile(root)
            .map_err(|error| syntax(uncapitalized(&error.to_string())))?;
        Ok(Self {
            source: Arc::from(source),
            compiled: zen_expression::Expression::new_standard(compiler.get_bytecode().into()),
            cost: Arc::new(cost::Cost::of(parsed.root)),
        })
    }

    /// The source as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates over the members of `context`, a JSON object. A missing member is null. A whole
    /// number comes back as a JSON number, any other number as a decimal in a JSON string.
    ///
    /// # Errors
    /// When the values do not fit the expression, or are too large for it.
    pub fn evaluate(&self, context: &Value) -> Result<Value, ExpressionError> {
        self.evaluate_in(&Context(value::variable_from_json(context)?))
    }

    /// As [`Expression::evaluate`], over values that were converted before.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn evaluate_in(&self, context: &Context) -> Result<Value, ExpressionError> {
        self.cost.check(&context.0)?;
        unpanicking(|| {
            let context = context.0.shallow_clone();
            let result = self.compiled.evaluate_with(context, &mut VM::new());
            let variable = result.map_err(|error| evaluation_error(&error))?;
            Ok(value::json_from_variable(&variable))
        })
    }

    /// Evaluates a condition. Null counts as false, so that a missing member does not fail it.
    ///
    /// # Errors
    /// As [`Expression::evaluate`], and when the result is neither a truth value nor null.
    pub fn evaluate_bool(&self, context: &Value) -> Result<bool, ExpressionError> {
        self.evaluate(context).and_then(|value| truth(&value))
    }

    /// As [`Expression::evaluate_bool`], over values that were converted before.
    ///
    /// # Errors
    /// As [`Expression::evaluate_bool`].
    pub fn evaluate_bool_in(&self, context: &Context) -> Result<bool, ExpressionError> {
        self.evaluate_in(context).and_then(|value| truth(&value))
    }

    /// The members of the context that it names, each as a path: `record.price.amount` is
    /// `["record", "price", "amount"]`. What stands behind an index or a loop is left out, so a
    /// path may be shorter than what was written. An empty one is the whole context.
    pub fn members(&self) -> Vec<Vec<&str>> {
        let mut found = Vec::new();
        self.cost.members(&mut found);
        found
    }
}

fn truth(value: &Value) -> Result<bool, ExpressionError> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Null => Ok(false),
        other => Err(ExpressionError::evaluation(format!(
            "a condition has to give true or false, this one gives {}",
            kind(other)
        ))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The evaluator has arithmetic of its own that overflows by panic (`.add(n, 'quarter')`); a
/// worker's thread has to survive it. In a guest a panic is a trap, which the host survives.
fn unpanicking<T>(work: impl FnOnce() -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(ExpressionError::evaluation(
            "the evaluator gave up on this expression",
        ))
    })
}

fn uncapitalized(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

fn evaluation_error(error: &IsolateError) -> ExpressionError {
    use zen_expression::vm::VMError;
    let message = match error {
        IsolateError::VMError {
            source: VMError::OpcodeErr { opcode, message },
        } if message == "Unsupported type" => {
            format!(
                "{} (missing members are null: `??` gives them a value)",
                misfit(opcode)
            )
        }
        IsolateError::VMError {
            source: VMError::OpcodeErr { message, .. },
        } => uncapitalized(message),
        other => uncapitalized(&other.to_string()),
    };
    ExpressionError::Evaluation { message }
}

/// What the evaluator's step could not do with its operands.
fn misfit(opcode: &str) -> &'static str {
    match opcode {
        "Add" => "`+` takes two numbers or two texts",
        "Subtract" => "`-` takes two numbers",
        "Multiply" => "`*` takes two numbers",
        "Divide" => "`/` takes two numbers",
        "Modulo" => "`%` takes two numbers",
        "Exponent" => "`^` takes two numbers",
        "Negate" => "`-` takes a number",
        "Not" => "`not` takes true or false",
        "JumpIfTrue" | "JumpIfFalse" => "a condition has to be true or false",
        "Compare" => "only two numbers, or two dates, can be compared by size",
        "In" => "`in` looks into a list, a range or an object",
        "Begin" => "a loop goes over a list",
        _ => "the values do not fit the expression",
    }
}
