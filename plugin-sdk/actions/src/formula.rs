//! Values from expressions.

use crm_expression::Expression;
use crm_plugin_sdk::Failure;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An expression of a configuration. One that cannot be read makes the configuration unreadable,
/// so a step fails by it before it does anything.
#[derive(Clone, Debug)]
pub struct Formula(Expression);

impl<'de> Deserialize<'de> for Formula {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        let parsed = Expression::parse(&source);
        parsed
            .map(Self)
            .map_err(|error| serde::de::Error::custom(format!("`{source}`: {error}")))
    }
}

impl Formula {
    /// From text that is no tenant's.
    ///
    /// # Errors
    /// Fails where the text is no expression.
    pub fn parse(source: &str) -> Result<Self, Failure> {
        let parsed = Expression::parse(source);
        parsed
            .map(Self)
            .map_err(|error| Failure::fail(format!("`{source}`: {error}")))
    }

    /// What it gives, a member of `context` being what its name stands for.
    ///
    /// # Errors
    /// Fails where the values do not fit the expression.
    pub fn value(&self, context: &Value) -> Result<Value, Failure> {
        let value = self.0.evaluate(context);
        value.map_err(|error| Failure::fail(format!("`{}`: {error}", self.0.source())))
    }

    /// Whether it holds. Null counts as no.
    ///
    /// # Errors
    /// As [`Formula::value`], and where it gives anything but true, false or null.
    pub fn holds(&self, context: &Value) -> Result<bool, Failure> {
        let holds = self.0.evaluate_bool(context);
        holds.map_err(|error| Failure::fail(format!("`{}`: {error}", self.0.source())))
    }
}

/// Field → expression.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Formulas(BTreeMap<String, Formula>);

impl Formulas {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What each gives, over the same context.
    ///
    /// # Errors
    /// Fails, naming the field, where one cannot be evaluated.
    pub fn values(&self, context: &Value) -> Result<Map<String, Value>, Failure> {
        let values = self.0.iter().map(|(field, formula)| {
            let value = formula.0.evaluate(context);
            let value = value.map_err(|error| Failure::fail(format!("field `{field}`: {error}")));
            Ok((field.clone(), value?))
        });
        values.collect()
    }

    /// Those of the values that `record` does not have already.
    ///
    /// # Errors
    /// As [`Formulas::values`].
    pub fn changes(
        &self,
        context: &Value,
        record: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Failure> {
        let mut values = self.values(context)?;
        values.retain(|field, value| *value != *record.get(field).unwrap_or(&Value::Null));
        Ok(values)
    }
}
