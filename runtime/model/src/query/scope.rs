//! For whom and when a query is read: what of the model it may see, whose “me” and which “today”
//! it means. Never looks at records.

use chrono::{DateTime, Utc};

use crate::definition::FieldDefinition;
use crate::fields::FieldType;
use crate::model::{Model, Module};
use crate::names::ModuleSlug;
use crate::permission::{Action, Actor, Authority, permit};

/// For whom and when a query is read.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    model: &'a Model,
    actor: Option<&'a Actor>,
    now: DateTime<Utc>,
}

impl<'a> Scope<'a> {
    /// A person's: sees the modules that the person may read.
    pub fn person(model: &'a Model, actor: &'a Actor, now: DateTime<Utc>) -> Self {
        Self {
            model,
            actor: Some(actor),
            now,
        }
    }

    /// The host's own, for what a model itself asks (rollups): sees every module and is nobody.
    pub fn host(model: &'a Model, now: DateTime<Utc>) -> Self {
        Self {
            model,
            actor: None,
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
    pub(crate) fn module(&self, slug: &ModuleSlug) -> Option<&'a Module> {
        let may = |actor| permit(self.model, Authority::User(actor), Action::Read, slug).is_ok();
        self.model
            .module(slug)
            .filter(|_| self.actor.is_none_or(may))
    }

    /// A field of a module, unless it is out of use.
    pub(crate) fn field(
        &self,
        module: &'a Module,
        key: &str,
    ) -> Option<(&'a FieldDefinition, &'static dyn FieldType)> {
        fields(module).find(|(field, _)| field.key.as_str() == key)
    }
}

/// The fields of a module that are in use.
pub(crate) fn fields(
    module: &Module,
) -> impl Iterator<Item = (&FieldDefinition, &'static dyn FieldType)> {
    module.fields().filter(|(field, _)| !field.retired)
}
