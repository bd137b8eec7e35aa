//! For whom and when a query is read: what of the model it may see, whose “me” and which “today”
//! it means. Never looks at records.

use chrono::{DateTime, Utc};

use crate::capability::Grant;
use crate::definition::FieldDefinition;
use crate::fields::FieldType;
use crate::model::{Model, Module};
use crate::names::ModuleSlug;
use crate::permission::{Action, Actor, Authority, permit};
use crate::sight::Sight;

use super::filter::Filter;

/// For whom and when a query is read.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    model: &'a Model,
    actor: Option<&'a Actor>,
    grant: Option<&'a Grant>,
    now: DateTime<Utc>,
}

impl<'a> Scope<'a> {
    /// A person's: sees the modules that the person may read.
    pub fn person(model: &'a Model, actor: &'a Actor, now: DateTime<Utc>) -> Self {
        Self {
            model,
            actor: Some(actor),
            grant: None,
            now,
        }
    }

    /// A plugin's: sees what its grant names of what the person behind it sees; of everything
    /// where nobody is, because it runs as itself.
    pub fn plugin(
        model: &'a Model,
        grant: &'a Grant,
        actor: Option<&'a Actor>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            model,
            actor,
            grant: Some(grant),
            now,
        }
    }

    /// The host's own, for what a model itself asks (rollups): sees every module and is nobody.
    pub fn host(model: &'a Model, now: DateTime<Utc>) -> Self {
        Self {
            model,
            actor: None,
            grant: None,
            now,
        }
    }

    /// The model that names are looked up in.
    pub fn model(&self) -> &'a Model {
        self.model
    }

    pub(crate) fn actor(&self) -> Option<&'a Actor> {
        self.actor
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub(crate) fn time_zone(&self) -> chrono_tz::Tz {
        self.model.settings().time_zone
    }

    /// The module, if it exists for the reader.
    pub fn module(&self, slug: &ModuleSlug) -> Option<&'a Module> {
        let may = |actor| permit(self.model, Authority::User(actor), Action::Read, slug).is_ok();
        let granted = |grant: &Grant| grant.may_read_module(slug.as_str());
        self.model
            .module(slug)
            .filter(|_| self.actor.is_none_or(may))
            .filter(|_| self.grant.is_none_or(granted))
    }

    /// Which records of a module are there for the reader; none: all.
    pub fn reach(&self, module: &Module) -> Option<Filter> {
        let actor = self.actor?;
        self.model.reach(module, actor, Action::Read, self.now)
    }

    /// What the reader sees of a module.
    pub fn sight(&self, module: &'a Module) -> Sight<'a> {
        let sight = self.model.sight(module, self.actor);
        match self.grant {
            None => sight,
            Some(grant) => sight.narrowed(grant),
        }
    }

    /// A field of a module whose values the reader sees as they are: only by those are records
    /// looked up.
    pub(crate) fn field(
        &self,
        module: &'a Module,
        key: &str,
    ) -> Option<(&'a FieldDefinition, &'static dyn FieldType)> {
        self.sight(module).clear(key)
    }

    /// The names of those fields.
    pub(crate) fn fields(&self, module: &'a Module) -> Vec<&'a str> {
        let sight = self.sight(module);
        sight
            .clear_fields()
            .map(|field| field.key.as_str())
            .collect()
    }
}
