//! JSON in which expressions stand for values: `{"$expression": "steps.find.created[0].id"}`.

use crm_expression::Expression;
use serde_json::{Map, Value};

/// The only member of an object that stands for an expression's value.
pub(crate) const EXPRESSION: &str = "$expression";

/// JSON, compiled.
#[derive(Debug)]
pub enum Template {
    /// No expression stands in it.
    Plain(Value),
    Expression(Expression),
    List(Vec<Template>),
    Object(Vec<(String, Template)>),
}

impl Template {
    /// Compiles JSON; a sentence that begins with the place, where an expression is wrong.
    pub(crate) fn compile(place: &str, value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::Object(members) => match expression_of(members) {
                Some(Value::String(source)) => Self::Expression(
                    Expression::parse(source).map_err(|error| format!("{place}: {error}"))?,
                ),
                Some(_) => return Err(format!("{place}/{EXPRESSION}: is a text")),
                None => {
                    let compiled: Result<Vec<_>, String> = members
                        .iter()
                        .map(|(name, member)| {
                            let member = Self::compile(&format!("{place}/{name}"), member)?;
                            Ok((name.clone(), member))
                        })
                        .collect();
                    let compiled = compiled?;
                    match compiled.iter().all(|(_, member)| member.is_plain()) {
                        true => Self::Plain(value.clone()),
                        false => Self::Object(compiled),
                    }
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let compiled: Result<Vec<_>, String> = items
                    .map(|(index, item)| Self::compile(&format!("{place}/{index}"), item))
                    .collect();
                let compiled = compiled?;
                match compiled.iter().all(Self::is_plain) {
                    true => Self::Plain(value.clone()),
                    false => Self::List(compiled),
                }
            }
            other => Self::Plain(other.clone()),
        })
    }

    /// Whether it is the same whatever happened.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// The JSON; a sentence, where an expression cannot be evaluated.
    ///
    /// # Errors
    /// As [`Expression::evaluate`], as a sentence.
    pub fn fill(&self, context: &Value) -> Result<Value, String> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Expression(expression) => expression
                .evaluate(context)
                .map_err(|error| format!("`{}`: {error}", expression.source()))?,
            Self::List(items) => {
                let items = items.iter().map(|item| item.fill(context));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Self::Object(members) => {
                let members = members.iter();
                let members =
                    members.map(|(name, member)| Ok((name.clone(), member.fill(context)?)));
                Value::Object(members.collect::<Result<Map<_, _>, String>>()?)
            }
        })
    }
}

fn expression_of(members: &Map<String, Value>) -> Option<&Value> {
    members.get(EXPRESSION).filter(|_| members.len() == 1)
}

/// Where expressions stand in JSON, as JSON pointers beneath `pointer`.
pub(crate) fn expressions_in(pointer: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if expression_of(members).is_some() => {
            found.push(pointer.to_owned());
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                expressions_in(&format!("{pointer}/{name}"), member, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                expressions_in(&format!("{pointer}/{index}"), item, found);
            }
        }
        _ => {}
    }
}
