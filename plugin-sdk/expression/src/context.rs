//! What expressions are evaluated over, converted once for any number of them. Decimals that a
//! host keeps as text go in as numbers here, exactly; JSON could only carry them as text or as
//! floats.

use rust_decimal::Decimal;
use serde_json::Value;
use zen_expression::Variable;
use zen_expression::variable::Symbol;

use crate::error::ExpressionError;
use crate::value::variable_from_json;

/// A value on its way into a [`Context`].
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// As it stands: texts stay text.
    Json(&'a Value),
    Text(&'a str),
    /// An exact number.
    Number(Decimal),
    List(Vec<Input<'a>>),
    /// Members; of two with one name, the last counts.
    Object(Vec<(&'a str, Input<'a>)>),
}

/// The members that an expression may name. Belongs to one thread.
pub struct Context(pub(crate) Variable);

impl Context {
    /// The members of an object.
    ///
    /// # Errors
    /// Where a JSON number is out of the range of exact decimals.
    pub fn new(members: Vec<(&str, Input<'_>)>) -> Result<Self, ExpressionError> {
        variable(&Input::Object(members)).map(Self)
    }

    /// Gives a member of one of the context's objects a value: `set("record", "total", …)`.
    /// Does nothing where there is no such object.
    ///
    /// # Errors
    /// As [`Context::new`].
    pub fn set(
        &mut self,
        object: &str,
        member: &str,
        input: &Input<'_>,
    ) -> Result<(), ExpressionError> {
        let value = variable(input)?;
        let Variable::Object(members) = &self.0 else {
            return Ok(());
        };
        if let Some(Variable::Object(object)) = members.borrow().get_str(object) {
            object.borrow_mut().insert(Symbol::from(member), value);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values are records: they do not belong into logs.
        formatter.write_str("Context")
    }
}

fn variable(input: &Input<'_>) -> Result<Variable, ExpressionError> {
    Ok(match input {
        Input::Json(value) => variable_from_json(value)?,
        Input::Text(text) => Variable::String(Symbol::from(*text)),
        Input::Number(number) => Variable::Number(*number),
        Input::List(items) => {
            Variable::from_array(items.iter().map(variable).collect::<Result<_, _>>()?)
        }
        Input::Object(members) => Variable::from_object(
            members
                .iter()
                .map(|(name, member)| Ok((Symbol::from(*name), variable(member)?)))
                .collect::<Result<_, ExpressionError>>()?,
        ),
    })
}
