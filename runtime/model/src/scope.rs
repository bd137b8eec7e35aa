//! What an expression of a module sees: `record`, `before`, `actor`, `now` and `today`. Names are
//! checked when the model is compiled; values are put together for each write, numbers as exact
//! numbers however they are stored. It never looks anything up.

use crm_expression::{Context, Expression, Input};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::Data;
use crate::definition::FieldDefinition;
use crate::fields::FieldType;
use crate::form::{self, Form};
use crate::ids::RecordId;
use crate::model::{Model, Module};
use crate::names::{FieldKey, ModuleSlug};
use crate::nearest::suggestion;
use crate::permission::Actor;
use crate::relations::is_to_one;
use crate::validate::Surroundings;

/// The record as it will be.
const RECORD: &str = "record";
/// The record as it was; null for a new one.
const BEFORE: &str = "before";
const ACTOR: &str = "actor";
const NOW: &str = "now";
const TODAY: &str = "today";
/// Members of `actor`.
const USER_ID: &str = "user_id";
const ROLES: &str = "roles";
/// The member of a related record that is not one of its fields.
const ID: &str = "id";

/// An expression all of whose names are known.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) expression: Expression,
    /// Fields of `record` that it reads.
    pub(crate) reads: BTreeSet<FieldKey>,
    /// Fields of `before` that it reads.
    pub(crate) reads_before: BTreeSet<FieldKey>,
    /// Relations of `record` behind which it looks.
    pub(crate) related: BTreeSet<FieldKey>,
}

impl Bound {
    /// Parses an expression of a module.
    ///
    /// # Errors
    /// A sentence about the first mistake.
    pub(crate) fn new(
        source: &str,
        module: &Module,
        modules: &BTreeMap<ModuleSlug, Module>,
    ) -> Result<Self, String> {
        let mut bound = Self {
            expression: Expression::parse(source).map_err(|error| error.to_string())?,
            reads: BTreeSet::new(),
            reads_before: BTreeSet::new(),
            related: BTreeSet::new(),
        };
        // A clone shares what it holds; the names are borrowed from it while the sets fill.
        let expression = bound.expression.clone();
        for path in expression.members() {
            bound.add(&path, module, modules)?;
        }
        Ok(bound)
    }

    fn add(
        &mut self,
        path: &[&str],
        module: &Module,
        modules: &BTreeMap<ModuleSlug, Module>,
    ) -> Result<(), String> {
        match path {
            [RECORD, field, rest @ ..] => {
                let field = known_field(module, field)?;
                if let ([member, deeper @ ..], true) = (rest, is_to_one(field))
                    && *member != ID
                {
                    check_related(field, member, deeper, modules)?;
                    self.related.insert(field.key.clone());
                }
                self.reads.insert(field.key.clone());
            }
            [BEFORE, field, rest @ ..] => {
                let field = known_field(module, field)?;
                if is_to_one(field) && !matches!(rest, [] | [ID]) {
                    return Err(format!(
                        "“before.{}” has only its id: the related record is read as it is now",
                        field.key
                    ));
                }
                self.reads_before.insert(field.key.clone());
            }
            [BEFORE | NOW | TODAY] | [ACTOR, USER_ID] | [ACTOR, ROLES, ..] => {}
            [RECORD] => return Err("name the fields of “record” that are meant".to_owned()),
            [ACTOR, ..] => return Err("“actor” has user_id and roles".to_owned()),
            [] => return Err("name what is meant, as in record.title".to_owned()),
            [other, ..] => {
                let names = [RECORD, BEFORE, ACTOR, NOW, TODAY];
                return Err(format!(
                    "there is no “{other}”: an expression sees {}",
                    names.join(", ")
                ));
            }
        }
        Ok(())
    }
}

fn known_field<'a>(module: &'a Module, name: &str) -> Result<&'a FieldDefinition, String> {
    let Some((field, _)) = module.field(name) else {
        let slug = &module.definition().slug;
        let keys = module.definition().fields.iter();
        let hint = suggestion(name, keys.map(|field| field.key.as_str()));
        return Err(format!("“{slug}” has no field “{name}”{hint}"));
    };
    if field.inverse_of.is_some() {
        return Err(format!("“{name}” is not stored: a rollup can look there"));
    }
    Ok(field)
}

/// What stands behind a relation, one step and no further.
fn check_related(
    relation: &FieldDefinition,
    member: &str,
    deeper: &[&str],
    modules: &BTreeMap<ModuleSlug, Module>,
) -> Result<(), String> {
    let Some(target) = relation.module.as_ref().and_then(|slug| modules.get(slug)) else {
        return Ok(());
    };
    let field = known_field(target, member)?;
    if is_to_one(field) && !deeper.is_empty() {
        return Err(format!(
            "“{}.{member}” is a relation of another record: an expression looks behind one \
             relation only",
            relation.key
        ));
    }
    Ok(())
}

/// All that expressions of one write see, beside the record.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) model: &'a Model,
    pub(crate) module: &'a Module,
    pub(crate) actor: &'a Actor,
    pub(crate) surroundings: &'a Surroundings<'a>,
}

impl<'a> Scene<'a> {
    /// The values for the module's expressions; none where it has none.
    pub(crate) fn context(&self, record: &Data, before: Option<&Data>) -> Option<Context> {
        let rules = self.module.rules();
        if rules.is_empty() {
            return None;
        }
        let at = self.surroundings.at;
        let zone = self.model.settings().time_zone;
        let now = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        let today = at.with_timezone(&zone).date_naive().to_string();
        let roles = self.model.roles_of(self.actor).into_iter();
        let roles = roles.map(|role| Input::Text(role.as_str()));
        let actor = vec![
            (USER_ID, Input::Text(self.actor.user_id.as_str())),
            (ROLES, Input::List(roles.collect())),
        ];
        let mut members = vec![
            (RECORD, Input::Object(Vec::new())),
            (ACTOR, Input::Object(actor)),
            (NOW, Input::Text(&now)),
            (TODAY, Input::Text(&today)),
        ];
        if before.is_some() {
            members.push((BEFORE, Input::Object(Vec::new())));
        }
        let mut context = Context::new(members).ok()?;
        self.fill(&mut context, RECORD, &rules.reads, record);
        if let Some(before) = before {
            self.fill(&mut context, BEFORE, &rules.reads_before, before);
        }
        Some(context)
    }

    fn fill(&self, context: &mut Context, name: &str, reads: &BTreeSet<FieldKey>, data: &Data) {
        for key in reads {
            self.set(context, name, key, data.get(key.as_str()));
        }
    }

    /// Gives a field of `record` its value, where expressions read it.
    pub(crate) fn set_record(&self, context: &mut Context, key: &FieldKey, value: Option<&Value>) {
        if self.module.rules().reads.contains(key) {
            self.set(context, RECORD, key, value);
        }
    }

    fn set(&self, context: &mut Context, name: &str, key: &FieldKey, value: Option<&Value>) {
        let Some((field, kind)) = self.module.field(key.as_str()) else {
            return;
        };
        let input = match value {
            Some(value) if is_to_one(field) => self.related(field, value),
            Some(value) => input(field, kind, value),
            None => Input::Json(&Value::Null),
        };
        // A number too large for exact arithmetic stays null: types refuse it, or it stands
        // somewhere inside of a json field.
        let _ = context.set(name, key.as_str(), &input);
    }

    /// The related record as an object, as far as its data are known.
    fn related<'v>(&self, relation: &FieldDefinition, value: &'v Value) -> Input<'v>
    where
        'a: 'v,
    {
        let Some(text) = value.as_str() else {
            return Input::Json(value);
        };
        let target = relation.module.as_ref();
        let target = target.and_then(|slug| self.model.module(slug));
        let id: Option<RecordId> = text.parse().ok();
        let data = id.and_then(|id| self.surroundings.related.get(&id));
        let mut members = Vec::new();
        if let (Some(target), Some(data)) = (target, data) {
            members.extend(target.fields().filter_map(|(field, kind)| {
                let key = field.key.as_str();
                Some((key, input(field, kind, data.get(key)?)))
            }));
        }
        members.push((ID, Input::Text(text)));
        Input::Object(members)
    }
}

/// A stored value with its numbers as numbers.
fn input<'v>(field: &FieldDefinition, kind: &dyn FieldType, value: &'v Value) -> Input<'v> {
    let parts = kind.parts(field);
    let is_number = |name: Option<&str>| {
        parts
            .iter()
            .any(|part| part.form == Form::Number && part.name == name)
    };
    let numeric = |name: Option<&str>, value: &'v Value| match form::number(value) {
        Some(number) if is_number(name) => Input::Number(number),
        _ => Input::Json(value),
    };
    match value {
        Value::Object(members) => Input::Object(
            members
                .iter()
                .map(|(name, member)| (name.as_str(), numeric(Some(name), member)))
                .collect(),
        ),
        other => numeric(None, other),
    }
}
