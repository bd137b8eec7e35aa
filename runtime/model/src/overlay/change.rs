//! Changes of a tenant's model: what is asked for, what has to be written, and why not. Checks
//! what a change may touch; whether the result is a model is for compiling to say.

use serde_json::Value;

use super::edit::{FieldEdit, ModuleEdit, WorkflowEdit, WorkflowPatch, attributes};
use crate::Data;
use crate::definition::{
    FieldDefinition, ModuleDefinition, RoleDefinition, TeamDefinition, WorkflowDefinition,
};
use crate::model::ModelSource;
use crate::names::{FieldKey, ModuleSlug, RoleSlug, TeamSlug, UserId, WorkflowSlug};
use crate::roles::Member;
use crate::settings::Settings;
use crate::validate::holds_nul;
use crate::violation::{Violations, pointer_segment};

/// What somebody wants of a tenant's model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelChange {
    /// A module of the tenant's own, with its fields.
    ModuleAdd(ModuleDefinition),
    /// A merge patch (RFC 7396) of a module, without its fields; `field_order` lists keys.
    ModuleEdit(ModuleSlug, Data),
    /// A module of the tenant's own goes, with all that is in it. Whether it may have records is
    /// for those to look who can.
    ModuleRemove {
        module: ModuleSlug,
        with_records: bool,
    },
    /// A field of the tenant's own; at this place of the module's fields, counted from 0, or last.
    FieldAdd(ModuleSlug, Box<FieldDefinition>, Option<usize>),
    /// A merge patch of a field; `position` is its place, counted from 0.
    FieldEdit(ModuleSlug, FieldKey, Data),
    /// A field of the tenant's own goes, with its values.
    FieldRemove(ModuleSlug, FieldKey),
    /// A workflow of the tenant's own, live at once.
    WorkflowAdd(WorkflowDefinition),
    /// What is to be the next version of a workflow, the template's too, and live; with a word on
    /// what is new in it.
    WorkflowPublish(WorkflowDefinition, Option<String>),
    /// A workflow of the tenant's own goes, or the template's is again as the template has it.
    /// Its module is the one given.
    WorkflowRemove(WorkflowSlug, ModuleSlug),
    /// What is said of a workflow beside what stands in it.
    WorkflowEdit(WorkflowSlug, WorkflowPatch),
    /// A merge patch of the settings.
    Settings(Data),
    /// A role of the tenant's own.
    RoleAdd(RoleDefinition),
    /// A merge patch of a role, also of the template's.
    RoleEdit(RoleSlug, Data),
    /// A role of the tenant's own goes.
    RoleRemove(RoleSlug),
    /// Somebody has these roles from now on, and no others but those of the login; and these
    /// attributes.
    MemberPut(UserId, Member),
    /// Somebody has no roles any more but those of the login, and no attributes.
    MemberRemove(UserId),
    /// A team.
    TeamAdd(TeamDefinition),
    /// A merge patch of a team.
    TeamEdit(TeamSlug, Data),
    /// A team goes, and with it what was shared with it.
    TeamRemove(TeamSlug),
}

impl ModelChange {
    /// The module that the caller has to manage; none: the whole model.
    pub fn module(&self) -> Option<&ModuleSlug> {
        match self {
            Self::ModuleAdd(_) | Self::ModuleRemove { .. } | Self::Settings(_) => None,
            Self::RoleAdd(_) | Self::RoleEdit(..) | Self::RoleRemove(_) => None,
            Self::MemberPut(..) | Self::MemberRemove(_) => None,
            Self::TeamAdd(_) | Self::TeamEdit(..) | Self::TeamRemove(_) => None,
            Self::WorkflowEdit(..) => None,
            Self::ModuleEdit(module, _)
            | Self::FieldAdd(module, _, _)
            | Self::FieldEdit(module, _, _)
            | Self::FieldRemove(module, _) => Some(module),
            Self::WorkflowAdd(workflow) | Self::WorkflowPublish(workflow, _) => {
                Some(&workflow.module)
            }
            Self::WorkflowRemove(_, module) => Some(module),
        }
    }

    /// Whether it takes something away, so that a model which does not compile without it means
    /// a conflict with the rest, not a mistake in what was sent.
    pub fn is_removal(&self) -> bool {
        matches!(
            self,
            Self::ModuleRemove { .. } | Self::FieldRemove(..) | Self::WorkflowRemove(..)
        )
    }

    /// All that it says, to look names up in.
    pub fn text(&self) -> String {
        Value::Object(attributes_of(self)).to_string()
    }

    /// Whether it says anew who may do what.
    pub fn is_of_permissions(&self) -> bool {
        matches!(
            self,
            Self::RoleAdd(_)
                | Self::RoleEdit(..)
                | Self::RoleRemove(_)
                | Self::MemberPut(..)
                | Self::MemberRemove(_)
                | Self::TeamAdd(_)
                | Self::TeamEdit(..)
                | Self::TeamRemove(_)
        )
    }
}

/// One thing to write down.
#[derive(Clone, Debug, PartialEq)]
pub enum OverlayWrite {
    Module(ModuleDefinition),
    /// With its fields, edits and views; its records are for a task.
    ModuleGone(ModuleSlug),
    ModuleEdit(ModuleSlug, ModuleEdit),
    Field(ModuleSlug, Box<FieldDefinition>),
    /// Its values are for a task.
    FieldGone(ModuleSlug, FieldKey),
    FieldEdit(ModuleSlug, FieldKey, FieldEdit),
    /// The next version of a workflow, live from now on.
    Workflow {
        definition: WorkflowDefinition,
        version: u32,
        note: Option<String>,
    },
    /// Its versions stay, for the runs that began on them.
    WorkflowGone(WorkflowSlug),
    WorkflowEdit(WorkflowSlug, WorkflowEdit),
    Settings(Settings),
    Role(RoleDefinition),
    RoleGone(RoleSlug),
    Member(UserId, Member),
    MemberGone(UserId),
    Team(TeamDefinition),
    /// With what was shared with it.
    TeamGone(TeamSlug),
}

/// Why a change cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OverlayRefusal {
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(Violations),
}

impl OverlayRefusal {
    pub(crate) fn invalid(pointer: &str, code: &str, message: impl Into<String>) -> Self {
        Self::Invalid(Violations::one(pointer, code, message))
    }
}

impl From<Violations> for OverlayRefusal {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

/// Makes a change to what a model is compiled from, and says what has to be written for it to
/// last.
///
/// # Errors
/// See [`OverlayRefusal`]; the source is as it was then.
pub fn revise(
    source: &mut ModelSource,
    change: ModelChange,
) -> Result<Vec<OverlayWrite>, OverlayRefusal> {
    check_characters(&attributes_of(&change))?;
    match change {
        ModelChange::ModuleAdd(module) => super::modules::add(source, module),
        ModelChange::ModuleEdit(slug, patch) => super::modules::edit(source, slug, patch),
        ModelChange::ModuleRemove { module, .. } => super::modules::remove(source, module),
        ModelChange::FieldAdd(module, field, position) => {
            super::fields::add(source, module, *field, position)
        }
        ModelChange::FieldEdit(module, key, patch) => {
            super::fields::edit(source, module, key, patch)
        }
        ModelChange::FieldRemove(module, key) => super::fields::remove(source, module, key),
        ModelChange::WorkflowAdd(workflow) => super::workflows::add(source, workflow),
        ModelChange::WorkflowPublish(workflow, note) => {
            super::workflows::publish(source, workflow, note)
        }
        ModelChange::WorkflowRemove(slug, _) => super::workflows::remove(source, slug),
        ModelChange::WorkflowEdit(slug, patch) => super::workflows::edit(source, slug, patch),
        ModelChange::RoleAdd(role) => super::roles::add(source, role),
        ModelChange::RoleEdit(slug, patch) => super::roles::edit(source, slug, patch),
        ModelChange::RoleRemove(slug) => super::roles::remove(source, slug),
        ModelChange::MemberPut(user, member) => super::people::member_put(source, user, member),
        ModelChange::MemberRemove(user) => super::people::member_remove(source, user),
        ModelChange::TeamAdd(team) => super::people::team_add(source, team),
        ModelChange::TeamEdit(slug, patch) => super::people::team_edit(source, slug, patch),
        ModelChange::TeamRemove(slug) => super::people::team_remove(source, slug),
        ModelChange::Settings(patch) => {
            source.settings = source.settings.patched(&patch)?;
            Ok(vec![OverlayWrite::Settings(source.settings.clone())])
        }
    }
}

fn attributes_of(change: &ModelChange) -> Data {
    match change {
        ModelChange::ModuleAdd(module) => attributes(module),
        ModelChange::FieldAdd(_, field, _) => attributes(field.as_ref()),
        ModelChange::WorkflowAdd(workflow) | ModelChange::WorkflowPublish(workflow, _) => {
            attributes(workflow)
        }
        ModelChange::ModuleEdit(_, patch)
        | ModelChange::FieldEdit(_, _, patch)
        | ModelChange::RoleEdit(_, patch)
        | ModelChange::TeamEdit(_, patch)
        | ModelChange::Settings(patch) => patch.clone(),
        ModelChange::RoleAdd(role) => attributes(role),
        ModelChange::TeamAdd(team) => attributes(team),
        ModelChange::MemberPut(_, member) => member.attributes.clone(),
        ModelChange::ModuleRemove { .. }
        | ModelChange::FieldRemove(..)
        | ModelChange::RoleRemove(_)
        | ModelChange::WorkflowEdit(..)
        | ModelChange::WorkflowRemove(..)
        | ModelChange::TeamRemove(_)
        | ModelChange::MemberRemove(_) => Data::new(),
    }
}

/// Definitions are stored as `jsonb`, which holds any text but one with a NUL character.
pub(crate) fn check_characters(attributes: &Data) -> Result<(), Violations> {
    let mut violations = Violations::default();
    for (name, value) in attributes {
        if name.contains('\0') || holds_nul(value) {
            let pointer = format!("/{}", pointer_segment(name));
            violations.add(pointer, "characters", "holds a NUL character");
        }
    }
    violations.into_result()
}

/// A definition out of its attributes.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(
    attributes: Data,
) -> Result<T, OverlayRefusal> {
    serde_json::from_value(Value::Object(attributes))
        .map_err(|error| OverlayRefusal::invalid("", "shape", error.to_string()))
}
