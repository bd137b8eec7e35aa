//! Rules as one person meets them: with their teams and attributes in the place of names.

use chrono::{DateTime, SecondsFormat, Utc};
use crm_expression::{Clause, Comparison, Operand};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::rules::Rule;
use super::{NOW, RECORD, TODAY, USER};
use crate::form::{Comparable, Form};
use crate::model::Model;
use crate::names::{ModuleSlug, UserId};
use crate::permission::{Action, Actor};
use crate::query::{Condition, Filter, Kind, Place, Scope, SystemField, Target, Test};

/// What one person is to a rule.
pub(super) struct Person<'a> {
    pub(super) model: &'a Model,
    pub(super) actor: &'a Actor,
    pub(super) now: DateTime<Utc>,
}

impl Person<'_> {
    /// An attribute of theirs; none where they do not have it.
    fn attribute(&self, name: &str) -> Option<Value> {
        match name {
            "id" => Some(Value::from(self.actor.user_id.as_str())),
            "roles" => {
                let roles = self.model.roles_of(self.actor).into_iter();
                Some(roles.map(|role| role.as_str()).collect())
            }
            "teams" => {
                let teams = self.model.teams_of(&self.actor.user_id);
                Some(teams.map(|team| team.slug.as_str()).collect())
            }
            other => {
                let member = self.model.members().get(&self.actor.user_id)?;
                let value = member.attributes.get(other)?;
                (!value.is_null()).then(|| value.clone())
            }
        }
    }

    fn value(&self, operand: &Operand) -> Option<Value> {
        let path = match operand {
            Operand::Value(value) => return Some(value.clone()),
            Operand::Member(path) => path,
        };
        let zone = self.model.settings().time_zone;
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [USER, name] => self.attribute(name),
            [TODAY] => Some(
                self.now
                    .with_timezone(&zone)
                    .date_naive()
                    .to_string()
                    .into(),
            ),
            [NOW] => Some(self.now.to_rfc3339_opts(SecondsFormat::AutoSi, true).into()),
            _ => None,
        }
    }

    /// All people in a team with them, and they.
    fn teammates(&self) -> BTreeSet<&UserId> {
        let teams = self.model.teams_of(&self.actor.user_id);
        let mut mates: BTreeSet<&UserId> = teams.flat_map(|team| &team.members).collect();
        mates.insert(&self.actor.user_id);
        mates
    }

    /// None where the rule needs what the person does not have.
    pub(super) fn filter(&self, module: &ModuleSlug, rule: &Rule) -> Option<Filter> {
        match rule {
            Rule::All => Some(Filter::All(Vec::new())),
            Rule::Own => Some(owned_by([&self.actor.user_id])),
            Rule::Team => Some(owned_by(self.teammates())),
            Rule::Where(clause) => {
                let wanted = self.condition(clause)?;
                let scope = Scope::host(self.model, self.now);
                Filter::parse(scope, module, &wanted, "").ok()
            }
        }
    }

    /// A clause as the API writes filters.
    fn condition(&self, clause: &Clause) -> Option<Value> {
        let all = |clauses: &[Clause]| -> Option<Value> {
            clauses.iter().map(|one| self.condition(one)).collect()
        };
        Some(match clause {
            Clause::All(clauses) => json!({ "and": all(clauses)? }),
            Clause::Any(clauses) => json!({ "or": all(clauses)? }),
            Clause::Not(inner) => json!({ "not": self.condition(inner)? }),
            Clause::Holds(operand) => match field_of(operand) {
                Some(field) => json!({ "field": field, "op": "eq", "value": true }),
                None => constant(self.value(operand)? == Value::Bool(true)),
            },
            Clause::Compare {
                left,
                comparison,
                right,
            } => self.comparison(left, *comparison, right)?,
        })
    }

    fn comparison(&self, left: &Operand, comparison: Comparison, right: &Operand) -> Option<Value> {
        match (field_of(left), field_of(right)) {
            (Some(field), None) => condition(&field, comparison, self.value(right)?),
            (None, Some(field)) => match comparison.exchanged() {
                Some(exchanged) => condition(&field, exchanged, self.value(left)?),
                // `user.region in record.regions`: the record has the list.
                None => {
                    let holds =
                        json!({ "field": field, "op": "any", "value": [self.value(left)?] });
                    Some(match comparison {
                        Comparison::NotIn => json!({ "not": holds }),
                        _ => holds,
                    })
                }
            },
            (None, None) => {
                compare(&self.value(left)?, comparison, &self.value(right)?).map(constant)
            }
            (Some(_), Some(_)) => None,
        }
    }
}

impl Person<'_> {
    /// None: all records.
    pub(super) fn reach(&self, module: &ModuleSlug, action: Action) -> Option<Filter> {
        let mut ways = Vec::new();
        for slug in self.model.roles_of(self.actor) {
            let Some(role) = self.model.role(slug) else {
                continue;
            };
            if !role.definition.allows(module.as_str(), action) {
                continue;
            }
            let rules = self.model.reaches().of(slug, module.as_str(), action)?;
            if rules.iter().any(|(_, rule)| *rule == Rule::All) {
                return None;
            }
            ways.extend(
                rules
                    .iter()
                    .filter_map(|(_, rule)| self.filter(module, rule)),
            );
        }
        // What is shared to be changed can be read too; what is shared is not deleted.
        if matches!(action, Action::Read | Action::Update) {
            ways.push(self.shared(action == Action::Update));
        }
        Some(Filter::Any(ways))
    }

    fn shared(&self, to_change: bool) -> Filter {
        let subjects = self.model.subjects_of(&self.actor.user_id);
        Filter::Shared {
            subjects: subjects.iter().map(|one| one.as_str().to_owned()).collect(),
            to_change,
        }
    }
}

/// The name of a record's value, as filters have it.
pub(super) fn field_of(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Member(path) => match path.split_first() {
            Some((first, rest)) if first == RECORD => Some(rest.join(".")),
            _ => None,
        },
        Operand::Value(_) => None,
    }
}

pub(super) fn condition(field: &str, comparison: Comparison, value: Value) -> Option<Value> {
    let operator = match (comparison, &value) {
        (Comparison::Equal, Value::Null) => {
            return Some(json!({ "field": field, "op": "is_empty" }));
        }
        (Comparison::NotEqual, Value::Null) => {
            return Some(json!({ "field": field, "op": "is_not_empty" }));
        }
        (_, Value::Null) => return None,
        (Comparison::Equal, _) => "eq",
        (Comparison::NotEqual, _) => "ne",
        (Comparison::Less, _) => "lt",
        (Comparison::LessOrEqual, _) => "lte",
        (Comparison::Greater, _) => "gt",
        (Comparison::GreaterOrEqual, _) => "gte",
        (Comparison::In, _) => "in",
        (Comparison::NotIn, _) => "not_in",
    };
    Some(json!({ "field": field, "op": operator, "value": value }))
}

/// What is the same for every record.
fn constant(truth: bool) -> Value {
    if truth {
        json!({ "and": [] })
    } else {
        json!({ "or": [] })
    }
}

/// Compares what is known beforehand. None for what has no order.
fn compare(left: &Value, comparison: Comparison, right: &Value) -> Option<bool> {
    let is_in = || right.as_array().map(|list| list.contains(left));
    match comparison {
        Comparison::Equal => Some(left == right),
        Comparison::NotEqual => Some(left != right),
        Comparison::In => is_in(),
        Comparison::NotIn => is_in().map(|is_in| !is_in),
        _ => None,
    }
}

fn owned_by<'a>(users: impl IntoIterator<Item = &'a UserId>) -> Filter {
    let users = users.into_iter();
    let users = users.map(|user| Comparable::Text(user.to_string()));
    Filter::Test(Condition {
        target: Target {
            place: Place::System(SystemField::OwnerId),
            form: Form::Exact,
            kind: Kind::User,
            slot: None,
            name: SystemField::OwnerId.name().to_owned(),
        },
        test: Test::OneOf(users.collect()),
    })
}
