//! Filters, read and typed. Each is true or false of a record, never unknown: a condition on a
//! missing value is false, and `not` turns that round.
//!
//! So `ne`, `not_in` and `none` hold for records without a value, all others do not. Text is
//! equal only with the same case; order, `contains`, `starts_with` and `ends_with` ignore case.
//! A value is empty where it is missing, `""` or `[]`.

use super::target::{Kind, Link, Place, Target};
use crate::form::{Comparable, Form};
use crate::ids::RecordId;
use crate::key;
use crate::model::Module;
use crate::names::FieldKey;

/// A filter over records of one module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Every one holds; true where there is none.
    All(Vec<Filter>),
    /// One of them holds; false where there is none.
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Test(Condition),
    /// At least one record at the other end passes.
    Related {
        link: Link,
        filter: Box<Filter>,
    },
    /// The record is shared with one of these, see [`crate::reach::Subject`].
    Shared {
        subjects: Vec<String>,
        /// Not only to be read.
        to_change: bool,
    },
}

/// A question about one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    pub target: Target,
    pub test: Test,
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// It is there, and not `""` or `[]`.
    Present,
    /// One of these.
    OneOf(Vec<Comparable>),
    /// Between these. Texts are folded, see [`key::fold`].
    Range {
        from: Option<Bound>,
        to: Option<Bound>,
    },
    /// Part of the text; folded.
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    /// The list has at least one of these.
    Holds(Vec<String>),
}

/// An end of a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    pub value: Comparable,
    pub inclusive: bool,
}

/// Keys of the typed index that narrow a search down; not all records that have them pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    OneOf(Vec<String>),
    /// From and to, both included.
    Range(Option<String>, Option<String>),
}

/// The smallest key that is not the one of no value.
const FIRST_KEY: &str = "\u{1}";

impl Filter {
    /// All of these.
    pub fn and(filters: Vec<Filter>) -> Self {
        Self::All(filters)
    }

    /// Records of `module` whose relation `field` points to this record, or counts it among
    /// several. None where there is no such stored relation.
    pub fn points_to(module: &Module, field: &FieldKey, record: RecordId) -> Option<Self> {
        let (definition, _) = module.fields().find(|(known, _)| known.key == *field)?;
        if definition.kind != crate::fields::RELATION || definition.inverse_of.is_some() {
            return None;
        }
        let (form, test) = if definition.many {
            (Form::List, Test::Holds(vec![record.to_string()]))
        } else {
            let value = Comparable::Text(record.to_string());
            (Form::Exact, Test::OneOf(vec![value]))
        };
        let slug = &module.definition().slug;
        let target = Target {
            place: Place::Data {
                field: field.clone(),
                member: None,
            },
            form,
            kind: Kind::Record,
            slot: module
                .has_index(field)
                .then(|| crate::derived::slot(slug, field)),
            name: field.to_string(),
        };
        Some(Self::Test(Condition { target, test }))
    }

    /// Conditions that every passing record meets, where the typed index can find such records:
    /// slots and keys.
    pub fn narrowing(&self) -> Vec<(String, Keys)> {
        match self {
            Self::All(filters) => filters.iter().flat_map(Self::narrowing).collect(),
            Self::Test(condition) => condition.narrowing().into_iter().collect(),
            Self::Not(inner) => match inner.as_ref() {
                Self::Test(Condition {
                    target,
                    test: Test::Present,
                }) => target
                    .slot
                    .clone()
                    .map(|slot| (slot, Keys::OneOf(vec![key::ABSENT.to_owned()])))
                    .into_iter()
                    .collect(),
                _ => Vec::new(),
            },
            Self::Any(_) | Self::Related { .. } | Self::Shared { .. } => Vec::new(),
        }
    }

    /// The same without what was shared.
    pub fn unshared(&self) -> Self {
        let each = |filters: &[Self]| filters.iter().map(Self::unshared).collect();
        match self {
            Self::Shared { .. } => Self::Any(Vec::new()),
            Self::All(filters) => Self::All(each(filters)),
            Self::Any(filters) => Self::Any(each(filters)),
            other => other.clone(),
        }
    }

    /// Names of fields that conditions look at without the help of the typed index.
    pub fn unindexed(&self) -> Vec<&str> {
        match self {
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().flat_map(Self::unindexed).collect()
            }
            Self::Not(inner) => inner.unindexed(),
            Self::Related { filter, .. } => filter.unindexed(),
            Self::Shared { .. } => Vec::new(),
            Self::Test(Condition { target, .. }) => {
                let plain = matches!(target.place, Place::Data { .. }) && target.slot.is_none();
                plain.then_some(target.name.as_str()).into_iter().collect()
            }
        }
    }
}

impl Condition {
    fn narrowing(&self) -> Option<(String, Keys)> {
        let slot = self.target.slot.clone()?;
        let form = self.target.form;
        let keys = match &self.test {
            Test::Present => Keys::Range(Some(FIRST_KEY.to_owned()), None),
            Test::OneOf(values) => {
                let mut keys: Vec<String> = values.iter().map(|value| form.key(value)).collect();
                keys.sort();
                keys.dedup();
                Keys::OneOf(keys)
            }
            Test::Range { from, to } => {
                let key = |bound: &Bound| form.key(&bound.value);
                // The key of an empty text is that of no value, and it comes before all others.
                let may_be_empty =
                    matches!(form, Form::Text | Form::Exact) && self.target.kind != Kind::Day;
                let first = (!may_be_empty).then(|| FIRST_KEY.to_owned());
                Keys::Range(from.as_ref().map(key).or(first), to.as_ref().map(key))
            }
            Test::StartsWith(prefix) if form == Form::Text => {
                let from = key::text(prefix);
                let to = format!("{from}{}", char::MAX);
                Keys::Range(Some(from), Some(to))
            }
            Test::Holds(values) => {
                let mut keys: Vec<String> = values.iter().map(|value| key::exact(value)).collect();
                keys.sort();
                keys.dedup();
                Keys::OneOf(keys)
            }
            Test::StartsWith(_) | Test::Contains(_) | Test::EndsWith(_) => return None,
        };
        Some((slot, keys))
    }
}
