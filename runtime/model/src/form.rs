//! How values compare. Every type of field says which form its values have; the typed index,
//! filters, sorting and aggregates know forms, not types.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

use crate::key;
use crate::operator::Operator;

/// How values of a field, or of one part of it, compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Not at all: only whether there is one.
    Opaque,
    /// Text, in the order of people, without regard to case; equal only with the same case.
    Text,
    /// Text in the order of its bytes: options, ids, days, times of day.
    Exact,
    /// A whole JSON number, or an exact decimal in a JSON string.
    Number,
    /// A moment, RFC 3339.
    Moment,
    Boolean,
    /// A list of exact texts.
    List,
}

/// One part of a field's values: `amount` of a currency. Most types have one without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its member in the stored object; none: the value itself.
    pub name: Option<&'static str>,
    pub form: Form,
}

impl Part {
    /// The value itself.
    pub const fn whole(form: Form) -> Self {
        Self { name: None, form }
    }

    /// A member of the stored object.
    pub const fn member(name: &'static str, form: Form) -> Self {
        Self {
            name: Some(name),
            form,
        }
    }

    /// This part of a stored value.
    pub fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self.name {
            None => Some(value),
            Some(name) => value.get(name),
        }
    }
}

/// A value that can be compared with others of its form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Comparable {
    /// `Text`, `Exact`, and members of a `List`.
    Text(String),
    Number(Decimal),
    Moment(DateTime<Utc>),
    Boolean(bool),
}

impl Form {
    /// A stored value as what it compares as; none for what has not this form. Lists have none:
    /// their members compare.
    pub fn comparable(self, value: &Value) -> Option<Comparable> {
        match self {
            Self::Opaque | Self::List => None,
            Self::Text | Self::Exact => {
                value.as_str().map(|text| Comparable::Text(text.to_owned()))
            }
            Self::Number => number(value).map(Comparable::Number),
            Self::Moment => DateTime::parse_from_rfc3339(value.as_str()?)
                .ok()
                .map(|moment| Comparable::Moment(moment.with_timezone(&Utc))),
            Self::Boolean => value.as_bool().map(Comparable::Boolean),
        }
    }

    /// The key of a comparable value in the typed index.
    pub fn key(self, value: &Comparable) -> String {
        match (self, value) {
            (Self::Text, Comparable::Text(text)) => key::text(text),
            (_, Comparable::Text(text)) => key::exact(text),
            (_, Comparable::Number(number)) => key::number(*number),
            (_, Comparable::Moment(moment)) => key::moment(*moment),
            (_, Comparable::Boolean(truth)) => key::boolean(*truth),
        }
    }

    /// The keys of a stored value: one, or one for each member of a list; [`key::ABSENT`] where
    /// there is nothing.
    pub fn keys(self, value: Option<&Value>) -> Vec<String> {
        let mut keys: Vec<String> = match (self, value) {
            (_, None) => Vec::new(),
            (Self::List, Some(value)) => value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(key::exact)
                .collect(),
            (form, Some(value)) => form
                .comparable(value)
                .map(|comparable| form.key(&comparable))
                .into_iter()
                .collect(),
        };
        if keys.is_empty() {
            keys.push(key::ABSENT.to_owned());
        }
        keys.sort();
        keys.dedup();
        keys
    }

    /// What filters may ask of this form.
    pub const fn operators(self) -> &'static [Operator] {
        use Operator::{
            Any, Between, Contains, EndsWith, Eq, Gt, Gte, In, IsEmpty, IsMe, IsNotEmpty, Lt, Lte,
            Ne, None, NotIn, StartsWith, Within,
        };
        match self {
            Self::Opaque => &[IsEmpty, IsNotEmpty],
            Self::Text => &[
                Eq, Ne, Lt, Lte, Gt, Gte, In, NotIn, Between, Contains, StartsWith, EndsWith,
                IsEmpty, IsNotEmpty,
            ],
            Self::Exact => &[
                Eq, Ne, Lt, Lte, Gt, Gte, In, NotIn, Between, Contains, StartsWith, EndsWith,
                Within, IsMe, IsEmpty, IsNotEmpty,
            ],
            Self::Number => &[
                Eq, Ne, Lt, Lte, Gt, Gte, In, NotIn, Between, IsEmpty, IsNotEmpty,
            ],
            Self::Moment => &[
                Eq, Ne, Lt, Lte, Gt, Gte, In, NotIn, Between, Within, IsEmpty, IsNotEmpty,
            ],
            Self::Boolean => &[Eq, Ne, In, NotIn, IsEmpty, IsNotEmpty],
            Self::List => &[Contains, Any, None, In, NotIn, IsEmpty, IsNotEmpty],
        }
    }
}

/// A whole JSON number or a decimal in a JSON string.
pub fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::String(text) => Decimal::from_str_exact(text).ok(),
        Value::Number(number) => Decimal::from_str_exact(&number.to_string()).ok(),
        _ => None,
    }
}
