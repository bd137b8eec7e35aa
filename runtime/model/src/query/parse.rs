//! Reads filters as JSON: `{"field", "op", "value"}`, `{"and": […]}`, `{"or": […]}`,
//! `{"not": …}`, and `{"field", "op": "any" | "none", "where": …}` for relations to many. Finds
//! every mistake, each with a pointer into what was sent.

use serde_json::{Map, Value};

use super::conditions::{Ask, conditions};
use super::filter::Filter;
use super::scope::Scope;
use super::target::{End, Link, Way};
use crate::limits::{FILTER_MAX_CONDITIONS, FILTER_MAX_DEPTH};
use crate::model::Module;
use crate::nearest::suggestion;
use crate::operator::Operator;
use crate::violation::{Violations, pointer_segment};

/// Members of an object of a filter.
const MEMBERS: [&str; 7] = ["and", "or", "not", "field", "op", "value", "where"];

/// Reads one filter.
pub(crate) struct Parser<'a, 'v> {
    scope: Scope<'a>,
    violations: &'v mut Violations,
    conditions: usize,
}

impl Filter {
    /// Reads a filter over records of `module`. `pointer` is where it stands in what was sent.
    ///
    /// # Errors
    /// Every violation.
    pub fn parse(
        scope: Scope<'_>,
        module: &crate::ModuleSlug,
        value: &Value,
        pointer: &str,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let Some(module) = scope.module(module) else {
            return Err(Violations::one(
                pointer,
                "unknown_module",
                format!("there is no module “{module}”"),
            ));
        };
        let filter = Parser::new(scope, &mut violations).filter(module, value, pointer, 1);
        violations.into_result()?;
        Ok(filter.unwrap_or(Self::All(Vec::new())))
    }
}

impl<'a, 'v> Parser<'a, 'v> {
    pub(crate) fn new(scope: Scope<'a>, violations: &'v mut Violations) -> Self {
        Self {
            scope,
            violations,
            conditions: 0,
        }
    }

    /// None where something is wrong, which is then among the violations.
    pub(crate) fn filter(
        &mut self,
        module: &'a Module,
        value: &Value,
        pointer: &str,
        depth: usize,
    ) -> Option<Filter> {
        if depth > FILTER_MAX_DEPTH {
            let message = format!("a filter nests at most {FILTER_MAX_DEPTH} levels deep");
            return self.refuse(pointer, "too_deep", message);
        }
        let Value::Object(members) = value else {
            let message = "a filter is an object with field and op, or with and, or, not";
            return self.refuse(pointer, "shape", message);
        };
        self.check_members(members, pointer);
        let combined = ["and", "or", "not"]
            .into_iter()
            .find_map(|name| members.get(name).map(|inner| (name, inner)));
        match combined {
            Some((name, _)) if members.len() > 1 => {
                let message = format!("“{name}” stands alone in its object");
                self.refuse(pointer, "shape", message)
            }
            Some(("not", inner)) => {
                let inner = self.filter(module, inner, &format!("{pointer}/not"), depth + 1)?;
                Some(Filter::Not(Box::new(inner)))
            }
            Some((name, inner)) => self.list(module, name, inner, pointer, depth),
            None => self.condition(module, members, pointer, depth),
        }
    }

    fn check_members(&mut self, members: &Map<String, Value>, pointer: &str) {
        for name in members.keys() {
            if !MEMBERS.contains(&name.as_str()) {
                let hint = suggestion(name, MEMBERS.into_iter());
                let pointer = format!("{pointer}/{}", pointer_segment(name));
                self.add(
                    &pointer,
                    "unknown",
                    format!("a filter has no “{name}”{hint}"),
                );
            }
        }
    }

    fn list(
        &mut self,
        module: &'a Module,
        name: &str,
        inner: &Value,
        pointer: &str,
        depth: usize,
    ) -> Option<Filter> {
        let pointer = format!("{pointer}/{name}");
        let Value::Array(inner) = inner else {
            return self.refuse(
                &pointer,
                "shape",
                format!("“{name}” takes a list of filters"),
            );
        };
        let mut filters = Vec::new();
        for (index, one) in inner.iter().enumerate() {
            if self.conditions > FILTER_MAX_CONDITIONS {
                break;
            }
            filters.extend(self.filter(module, one, &format!("{pointer}/{index}"), depth + 1));
        }
        Some(match name {
            "and" => Filter::All(filters),
            _ => Filter::Any(filters),
        })
    }

    fn condition(
        &mut self,
        module: &'a Module,
        members: &Map<String, Value>,
        pointer: &str,
        depth: usize,
    ) -> Option<Filter> {
        self.conditions += 1;
        if self.conditions > FILTER_MAX_CONDITIONS {
            if self.conditions == FILTER_MAX_CONDITIONS + 1 {
                let message = format!("a filter has at most {FILTER_MAX_CONDITIONS} conditions");
                self.add(pointer, "too_many", message);
            }
            return None;
        }
        let name = self.text(members, "field", pointer);
        let operator = self.text(members, "op", pointer);
        let (name, operator) = (name?, operator?);
        let Ok(operator) = serde_json::from_value::<Operator>(Value::from(operator)) else {
            let known = Operator::NAMES;
            let hint = suggestion(operator, known.into_iter());
            let message = format!("there is no operator “{operator}”{hint}");
            return self.refuse(&format!("{pointer}/op"), "operator", message);
        };
        let named = match self.scope.follow(module, name) {
            Ok(named) => named,
            Err(message) => {
                return self.refuse(&format!("{pointer}/field"), "unknown_field", message);
            }
        };
        let to_many = match &named.end {
            End::Field {
                field, part: None, ..
            } => self
                .scope
                .link(field)
                .filter(|(link, _)| !link.way.is_to_one()),
            _ => None,
        };
        let inverse = matches!(
            &to_many,
            Some((
                Link {
                    way: Way::Inverse { .. },
                    ..
                },
                _
            ))
        );
        let filter = match to_many {
            Some((link, other)) if inverse || members.contains_key("where") => {
                self.related(link, other, operator, members, pointer, depth)?
            }
            _ => {
                let ask = Ask {
                    scope: self.scope,
                    named: &named,
                    name,
                    operator,
                    value: members.get("value"),
                    pointer,
                };
                if members.contains_key("where") {
                    let message = format!("“{name}” is no relation to many");
                    return self.refuse(&format!("{pointer}/where"), "shape", message);
                }
                conditions(&ask, self.violations)?
            }
        };
        Some(across(named.links, filter))
    }

    fn related(
        &mut self,
        link: Link,
        other: &'a Module,
        operator: Operator,
        members: &Map<String, Value>,
        pointer: &str,
        depth: usize,
    ) -> Option<Filter> {
        let negated = match operator {
            Operator::Any | Operator::IsNotEmpty => false,
            Operator::None | Operator::IsEmpty => true,
            _ => {
                let message = "a relation to many takes any, none, is_empty, is_not_empty";
                return self.refuse(&format!("{pointer}/op"), "operator", message);
            }
        };
        if members.contains_key("value") {
            let message = "a relation to many takes “where” with a filter, no value";
            return self.refuse(&format!("{pointer}/value"), "shape", message);
        }
        let filter = match members.get("where") {
            Some(inner) => self.filter(other, inner, &format!("{pointer}/where"), depth + 1)?,
            None => Filter::All(Vec::new()),
        };
        let related = Filter::Related {
            link,
            filter: Box::new(filter),
        };
        Some(if negated {
            Filter::Not(Box::new(related))
        } else {
            related
        })
    }

    fn text<'m>(
        &mut self,
        members: &'m Map<String, Value>,
        name: &str,
        pointer: &str,
    ) -> Option<&'m str> {
        match members.get(name) {
            Some(Value::String(text)) => Some(text),
            Some(_) => self.refuse(
                &format!("{pointer}/{name}"),
                "type",
                format!("“{name}” is a text"),
            ),
            None => self.refuse(pointer, "required", format!("a condition has “{name}”")),
        }
    }

    fn add(&mut self, pointer: &str, code: &str, message: impl Into<String>) {
        self.violations.add(pointer.to_owned(), code, message);
    }

    fn refuse<T>(&mut self, pointer: &str, code: &str, message: impl Into<String>) -> Option<T> {
        self.add(pointer, code, message);
        None
    }
}

/// Puts a condition behind relations to one. A negation goes outside: it holds too where there
/// is nothing at the other end.
fn across(links: Vec<Link>, filter: Filter) -> Filter {
    if links.is_empty() {
        return filter;
    }
    let (negated, inner) = match filter {
        Filter::Not(inner) => (true, *inner),
        other => (false, other),
    };
    let related = links
        .into_iter()
        .rev()
        .fold(inner, |filter, link| Filter::Related {
            link,
            filter: Box::new(filter),
        });
    if negated {
        Filter::Not(Box::new(related))
    } else {
        related
    }
}
