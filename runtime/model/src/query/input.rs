//! What a client sends for a list, from a body or from a URL, before any of it is understood.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::nearest::suggestion;
use crate::violation::{Violations, pointer_segment};

/// A list's parameters. Names of fields come as one text with commas or as a list of texts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryInput {
    #[serde(default)]
    pub filter: Option<Value>,
    #[serde(default)]
    pub sort: Option<Names>,
    #[serde(default)]
    pub fields: Option<Names>,
    #[serde(default)]
    pub expand: Option<Names>,
    #[serde(default)]
    pub q: Option<String>,
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub cursor: Option<String>,
    #[serde(default)]
    pub include: Option<String>,
    #[serde(default)]
    pub deleted: Option<String>,
    /// Conditions of the short form, `status=eq.new`: name and text.
    #[serde(skip)]
    pub short: Vec<(String, String)>,
}

/// Names, with commas between them or as a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Names {
    Text(String),
    List(Vec<String>),
}

impl Names {
    /// The names, one by one.
    pub fn list(&self) -> Vec<&str> {
        let trimmed = |name: &&str| !name.is_empty();
        match self {
            Self::Text(text) => text.split(',').map(str::trim).filter(trimmed).collect(),
            Self::List(names) => names.iter().map(|name| name.trim()).collect(),
        }
    }
}

/// Parameters of a URL that are not conditions.
pub(crate) const PARAMETERS: [&str; 9] = [
    "filter", "sort", "fields", "expand", "q", "limit", "cursor", "include", "deleted",
];

impl QueryInput {
    /// From the parameters of a URL, decoded.
    ///
    /// # Errors
    /// Parameters that stand there twice and texts that are not what they must be.
    pub fn from_parameters(
        parameters: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Violations> {
        let mut input = Self::default();
        let mut violations = Violations::default();
        let mut seen = Vec::new();
        for (name, text) in parameters {
            let pointer = format!("/{}", pointer_segment(&name));
            let is_parameter = PARAMETERS.contains(&name.as_str());
            if is_parameter && seen.contains(&name) {
                violations.add(pointer, "parameter", format!("“{name}” stands there twice"));
                continue;
            }
            match name.as_str() {
                "filter" => match serde_json::from_str(&text) {
                    Ok(filter) => input.filter = Some(filter),
                    Err(error) => {
                        violations.add(pointer, "shape", format!("filter is not JSON: {error}"));
                    }
                },
                "limit" => match text.parse() {
                    Ok(limit) => input.limit = Some(limit),
                    Err(_) => violations.add(pointer, "parameter", "limit is a whole number"),
                },
                "sort" => input.sort = Some(Names::Text(text)),
                "fields" => input.fields = Some(Names::Text(text)),
                "expand" => input.expand = Some(Names::Text(text)),
                "q" => input.q = Some(text),
                "cursor" => input.cursor = Some(text),
                "include" => input.include = Some(text),
                "deleted" => input.deleted = Some(text),
                _ => input.short.push((name.clone(), text)),
            }
            seen.push(name);
        }
        violations.into_result()?;
        Ok(input)
    }
}

/// A condition of the short form, `price` and `gte.100`, as JSON. Values of lists stand between
/// commas.
///
/// # Errors
/// A sentence about the text or, where it has no operator at all, about the parameter.
pub(crate) fn short_condition(name: &str, text: &str) -> Result<Value, String> {
    let (operator, value) = match text.split_once('.') {
        Some((operator, value)) => (operator, Some(value)),
        None => (text, None),
    };
    if !crate::operator::Operator::NAMES.contains(&operator) {
        let names = crate::operator::Operator::NAMES;
        let hint = suggestion(operator, names.into_iter());
        return Err(format!(
            "a condition is {name}=operator.value, such as {name}=eq.new; there is no operator \
             “{operator}”{hint}"
        ));
    }
    let mut condition = json!({ "field": name, "op": operator });
    let value = value.map(|value| match operator {
        "in" | "not_in" | "between" | "any" | "none" => {
            Value::from(value.split(',').map(str::trim).collect::<Vec<_>>())
        }
        _ => Value::from(value),
    });
    if let (Some(members), Some(value)) = (condition.as_object_mut(), value) {
        members.insert("value".to_owned(), value);
    }
    Ok(condition)
}

/// What is wrong with a parameter that is neither one of ours nor a field.
pub(crate) fn unknown_parameter<'n>(name: &str, fields: impl Iterator<Item = &'n str>) -> String {
    let hint = suggestion(name, PARAMETERS.into_iter().chain(fields));
    format!("there is no parameter or field “{name}”{hint}")
}
