//! What roles say of records: read, and checked against the model.

use chrono::DateTime;
use crm_expression::{Clause, Comparison, Operand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::person::{condition, field_of};
use super::{NOW, RECORD, TODAY, USER};
use crate::definition::{RecordRules, RoleDefinition};
use crate::limits::RECORD_RULES_MAX_COUNT;
use crate::model::Model;
use crate::names::{ModuleSlug, RoleSlug};
use crate::permission::Action;
use crate::query::{Filter, Scope};
use crate::roles::ANY;

const OWN: &str = "own";
const TEAM: &str = "team";
const ALL: &str = "all";

/// One rule of a role, compiled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    Own,
    Team,
    All,
    Where(Clause),
}

/// The rules of one role for one module, by action; with the text that each was written as.
#[derive(Clone, Debug, Default)]
struct Rules {
    by_action: BTreeMap<Action, Vec<(String, Rule)>>,
}

/// The rules of all roles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaches {
    roles: BTreeMap<RoleSlug, BTreeMap<String, Rules>>,
}

impl RecordRules {
    fn of(&self, action: Action) -> Option<&Vec<String>> {
        let own = match action {
            Action::Read => &self.read,
            Action::Create => &self.create,
            Action::Update => &self.update,
            Action::Delete | Action::Purge => &self.delete,
            Action::Manage | Action::Import | Action::Export => return None,
        };
        own.as_ref().or(self.read.as_ref())
    }
}

impl Reaches {
    /// Reads the rules of roles. Names of fields are looked up later, in the whole model.
    pub(crate) fn compile<'a>(
        roles: impl Iterator<Item = &'a RoleDefinition>,
    ) -> Result<Self, (RoleSlug, String)> {
        let mut reaches = Self::default();
        for role in roles {
            let refused = |message: String| (role.slug.clone(), message);
            let mut compiled = BTreeMap::new();
            for (module, rules) in &role.records {
                let rules = Rules::compile(module, rules).map_err(refused)?;
                compiled.insert(module.clone(), rules);
            }
            if !compiled.is_empty() {
                reaches.roles.insert(role.slug.clone(), compiled);
            }
        }
        Ok(reaches)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// What a role says of an action on records of the module; none: all of them.
    pub(super) fn of(
        &self,
        role: &RoleSlug,
        module: &str,
        action: Action,
    ) -> Option<&[(String, Rule)]> {
        let rules = self.roles.get(role)?;
        let rules = rules.get(module).or_else(|| rules.get(ANY))?;
        rules.by_action.get(&action).map(Vec::as_slice)
    }

    /// The expressions, each with the role and the module that it stands in.
    fn clauses(&self) -> impl Iterator<Item = (&RoleSlug, &String, &String, &Clause)> {
        self.roles.iter().flat_map(|(role, modules)| {
            modules.iter().flat_map(move |(module, rules)| {
                let rules = rules.by_action.values().flatten();
                rules.filter_map(move |(text, rule)| match rule {
                    Rule::Where(clause) => Some((role, module, text, clause)),
                    _ => None,
                })
            })
        })
    }
}

impl Rules {
    fn compile(module: &str, rules: &RecordRules) -> Result<Self, String> {
        let mut compiled = Self::default();
        for action in Action::ALL {
            let Some(texts) = rules.of(action) else {
                continue;
            };
            if texts.is_empty() || texts.len() > RECORD_RULES_MAX_COUNT {
                return Err(format!(
                    "has 1 to {RECORD_RULES_MAX_COUNT} rules for records of “{module}”, or none \
                     at all; to close the module, take its permissions away"
                ));
            }
            let rules = texts.iter().map(|text| {
                let rule = Rule::parse(text).map_err(|message| {
                    format!("has a rule “{text}” for records of “{module}”: {message}")
                })?;
                match &rule {
                    Rule::Where(_) if module == ANY => Err(format!(
                        "has an expression for records of every module: “{text}” needs the name \
                         of one"
                    )),
                    _ => Ok((text.clone(), rule)),
                }
            });
            let rules = rules.collect::<Result<Vec<_>, String>>()?;
            compiled.by_action.insert(action, rules);
        }
        Ok(compiled)
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            OWN => Self::Own,
            TEAM => Self::Team,
            ALL => Self::All,
            expression => {
                let clause = Clause::parse(expression).map_err(|error| error.to_string())?;
                check_names(&clause)?;
                Self::Where(clause)
            }
        })
    }
}

/// That names begin with something that a rule sees.
fn check_names(clause: &Clause) -> Result<(), String> {
    for operand in clause.operands() {
        let Operand::Member(path) = operand else {
            continue;
        };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [RECORD, _, ..] | [USER, _] | [TODAY | NOW] => {}
            [USER, ..] => return Err("name one attribute: user.region".to_owned()),
            [other] | [other, ..] => {
                return Err(format!(
                    "a rule sees record, user, today and now, not “{other}” (or one of the words \
                     own, team, all)"
                ));
            }
            [] => return Err("name what is meant, as in record.region".to_owned()),
        }
    }
    Ok(())
}

impl Model {
    /// Reads every expression of the roles' rules against the whole model.
    pub(crate) fn check_reaches(&self) -> Result<(), String> {
        for (role, module, text, clause) in self.reaches().clauses() {
            let refused = |message: String| {
                format!("role “{role}” has a rule “{text}” for records of “{module}”: {message}")
            };
            let slug: ModuleSlug = module
                .parse()
                .map_err(|_| refused("no module".to_owned()))?;
            for (field, comparison) in comparisons(clause).map_err(refused)? {
                self.check_comparison(&slug, &field, comparison)
                    .map_err(refused)?;
            }
        }
        Ok(())
    }

    /// That the field is there and takes the comparison, whatever it will be compared with.
    fn check_comparison(
        &self,
        module: &ModuleSlug,
        field: &str,
        comparison: Option<(Comparison, Option<&Value>)>,
    ) -> Result<(), String> {
        let scope = Scope::host(self, DateTime::UNIX_EPOCH);
        let wanted = match comparison {
            None => Some(json!({ "field": field, "op": "is_not_empty" })),
            Some((comparison, Some(value))) => condition(field, comparison, value.clone()),
            Some((comparison, None)) => condition(field, comparison, Value::from("")),
        };
        let wanted = wanted.ok_or("null is neither in a list nor larger than anything")?;
        let Err(violations) = Filter::parse(scope, module, &wanted, "") else {
            return Ok(());
        };
        let is_known = comparison.is_some_and(|(_, value)| value.is_some());
        // What an attribute will be is not known yet; that there is such a field and operator is.
        let violation = violations.as_slice().iter().find(|violation| {
            is_known || ["unknown_field", "operator"].contains(&violation.code.as_str())
        });
        violation.map_or(Ok(()), |violation| Err(violation.message.clone()))
    }
}

/// A comparison, and with which value where that is written down.
type Compared<'c> = (Comparison, Option<&'c Value>);

fn written(operand: &Operand) -> Option<&Value> {
    match operand {
        Operand::Value(value) => Some(value),
        Operand::Member(_) => None,
    }
}

/// Every field that a clause looks at, and how.
fn comparisons(clause: &Clause) -> Result<Vec<(String, Option<Compared<'_>>)>, String> {
    match clause {
        Clause::All(clauses) | Clause::Any(clauses) => {
            let mut found = Vec::new();
            for clause in clauses {
                found.extend(comparisons(clause)?);
            }
            Ok(found)
        }
        Clause::Not(inner) => comparisons(inner),
        Clause::Holds(operand) => Ok(field_of(operand)
            .map(|field| (field, Some((Comparison::Equal, Some(&Value::Bool(true))))))
            .into_iter()
            .collect()),
        Clause::Compare {
            left,
            comparison,
            right,
        } => match (field_of(left), field_of(right)) {
            (Some(_), Some(_)) => Err("compare a record's value with something of the user, \
                     or with a value that you write down, not with another of its own"
                .to_owned()),
            (Some(field), None) => Ok(vec![(field, Some((*comparison, written(right))))]),
            (None, Some(field)) => Ok(vec![(
                field,
                comparison
                    .exchanged()
                    .map(|exchanged| (exchanged, written(left))),
            )]),
            (None, None) => Ok(Vec::new()),
        },
    }
}
