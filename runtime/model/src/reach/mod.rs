//! Which records of a module somebody reaches: their own, their teams', all, or those of which a
//! rule of a role holds; and those that were shared with them. It comes out as a [`Filter`], so
//! that one condition decides in lists, counts, aggregates and single reads alike.
//!
//! A rule is one of the words `own`, `team` and `all`, or an expression over `record` and `user`:
//! `record.region in user.regions`. Whatever a rule names of the user that they do not have makes
//! it hold of nothing, so that nobody reaches more for want of an attribute.

mod person;
mod rules;
mod subject;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use crate::model::{Model, Module};
use crate::names::{RoleSlug, UserId};
use crate::permission::{Action, Actor};
use crate::query::Filter;
use person::Person;
use rules::Rule;

pub(crate) use rules::Reaches;
pub use subject::{Subject, SubjectError};

const RECORD: &str = "record";
const USER: &str = "user";
const TODAY: &str = "today";
const NOW: &str = "now";

impl Model {
    /// Which records of a module somebody reaches for an action; none: all of them.
    pub fn reach(
        &self,
        module: &Module,
        actor: &Actor,
        action: Action,
        now: DateTime<Utc>,
    ) -> Option<Filter> {
        if self.reaches().is_empty() {
            return None;
        }
        let person = Person {
            model: self,
            actor,
            now,
        };
        let slug = &module.definition().slug;
        let of = |action| person.reach(slug, action);
        match action {
            Action::Read | Action::Export | Action::Manage | Action::Import => of(Action::Read),
            Action::Create => of(Action::Create),
            // Nobody changes what they do not see.
            Action::Update | Action::Delete | Action::Purge => match (of(Action::Read), of(action))
            {
                (Some(read), Some(own)) => Some(Filter::All(vec![read, own])),
                (read, own) => read.or(own),
            },
        }
    }

    /// The rules by which somebody reaches records of a module for an action, each with its role
    /// and as it was written; none: all records.
    pub fn reach_rules(
        &self,
        module: &Module,
        (actor, role): (&Actor, &RoleSlug),
        action: Action,
        now: DateTime<Utc>,
    ) -> Option<Vec<(String, Option<Filter>)>> {
        let slug = &module.definition().slug;
        let person = Person {
            model: self,
            actor,
            now,
        };
        let rules = self.reaches().of(role, slug.as_str(), action)?;
        let filter = |(text, rule): &(String, Rule)| (text.clone(), person.filter(slug, rule));
        Some(rules.iter().map(filter).collect())
    }

    /// Those that records can be shared with so that somebody reaches them.
    pub fn subjects_of(&self, user: &UserId) -> Vec<Subject> {
        let teams = self.teams_of(user).map(|team| Subject::team(&team.slug));
        std::iter::once(Subject::user(user)).chain(teams).collect()
    }
}
