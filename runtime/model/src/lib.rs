//! The rules of the product, pure: no I/O, no async, no clock, no randomness. Time and ids are
//! arguments.
//!
//! A tenant's [`Model`] is compiled from a template's [`definition`] and the tenant's overlay.
//! Every change to a record starts as a [`Mutation`], needs a [`Permit`], and becomes a
//! [`ValidChange`], which only [`validate`] can make and which is all that the store writes.

pub mod activity;
pub mod api_key;
pub mod business_hours;
pub mod capability;
pub mod computed;
pub mod configuration;
pub mod definition;
pub mod derived;
pub mod effect;
pub mod event;
pub mod fields;
pub mod flow;
pub mod form;
pub mod hooks;
pub mod ids;
pub mod import;
pub mod key;
pub mod limits;
pub mod local_user;
pub mod mail;
pub mod manifest;
pub mod model;
pub mod mutation;
pub mod names;
pub mod operator;
pub mod overlay;
pub mod permission;
pub mod plan;
pub mod query;
pub mod quota;
pub mod reach;
pub mod relations;
pub mod roles;
pub mod run_source;
pub mod schedule;
pub mod settings;
pub mod sight;
pub mod stages;
pub mod subscription;
pub mod timeline;
pub mod turn;
pub mod validate;
pub mod view;
pub mod violation;
pub mod workflow;

mod choices;
mod module;
mod module_checks;
mod nearest;
mod order;
mod rules;
mod schema;
mod scope;
#[cfg(test)]
mod testing;

pub use activity::NewActivity;
pub use capability::{Capabilities, Grant};
pub use effect::Effect;
pub use event::{Cause, CauseLink, CausingEvent, Event, EventKind};
pub use ids::{
    ActivityId, ApiKeyId, AuditId, EventId, HookFailureId, ImportId, JobId, LocalUserId, RecordId,
    RunId, TaskId, TenantId, ViewId,
};
pub use manifest::{GuestClass, Manifest};
pub use model::{Model, ModelError, Module};
pub use mutation::Mutation;
pub use names::{
    FieldKey, ModuleSlug, PluginName, RoleSlug, StepName, TeamSlug, TemplateSlug, UserId,
    WorkflowSlug,
};
pub use permission::{Action, Actor, Authority, Denied, Permit};
pub use relations::{ReferenceRule, RollupUse};
pub use run_source::RunSource;
pub use turn::{Lane, Priority};
pub use validate::{Refusal, ValidChange};
pub use violation::{Violation, Violations};

/// The data of a record: a JSON object, keyed by field.
pub type Data = serde_json::Map<String, serde_json::Value>;
