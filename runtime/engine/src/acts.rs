//! How changes of the model stand in the audit log: what they are called, what they are done to,
//! and how that looked before and after.

use crm_model::overlay::ModelChange;
use crm_model::{FieldKey, Model, ModuleSlug, RoleSlug, TeamSlug, UserId, WorkflowSlug};
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::Act;

/// A change that is about to be made.
pub(crate) struct ModelAct {
    action: &'static str,
    target: String,
    thing: Thing,
}

/// What a model has of it.
enum Thing {
    Module(ModuleSlug),
    Field(ModuleSlug, FieldKey),
    /// A version of it, which stays as it is.
    Workflow(WorkflowSlug),
    /// What the tenant says of it.
    WorkflowEdit(WorkflowSlug),
    Settings,
    Role(RoleSlug),
    Member(UserId),
    Team(TeamSlug),
}

impl ModelAct {
    pub(crate) fn of(change: &ModelChange) -> Self {
        let (action, thing) = match change {
            ModelChange::ModuleAdd(module) => ("module.added", Thing::Module(module.slug.clone())),
            ModelChange::ModuleEdit(module, _) => ("module.edited", Thing::Module(module.clone())),
            ModelChange::ModuleRemove { module, .. } => {
                ("module.removed", Thing::Module(module.clone()))
            }
            ModelChange::FieldAdd(module, field, _) => (
                "field.added",
                Thing::Field(module.clone(), field.key.clone()),
            ),
            ModelChange::FieldEdit(module, field, _) => {
                ("field.edited", Thing::Field(module.clone(), field.clone()))
            }
            ModelChange::FieldRemove(module, field) => {
                ("field.removed", Thing::Field(module.clone(), field.clone()))
            }
            ModelChange::WorkflowAdd(workflow) => {
                ("workflow.added", Thing::Workflow(workflow.slug.clone()))
            }
            ModelChange::WorkflowPublish(workflow, _) => {
                ("workflow.published", Thing::Workflow(workflow.slug.clone()))
            }
            ModelChange::WorkflowRemove(slug, _) => {
                ("workflow.removed", Thing::Workflow(slug.clone()))
            }
            ModelChange::WorkflowEdit(slug, _) => {
                ("workflow.edited", Thing::WorkflowEdit(slug.clone()))
            }
            ModelChange::Settings(_) => ("settings.edited", Thing::Settings),
            ModelChange::RoleAdd(role) => ("role.added", Thing::Role(role.slug.clone())),
            ModelChange::RoleEdit(role, _) => ("role.edited", Thing::Role(role.clone())),
            ModelChange::RoleRemove(role) => ("role.removed", Thing::Role(role.clone())),
            ModelChange::MemberPut(user, _) => ("member.put", Thing::Member(user.clone())),
            ModelChange::MemberRemove(user) => ("member.removed", Thing::Member(user.clone())),
            ModelChange::TeamAdd(team) => ("team.added", Thing::Team(team.slug.clone())),
            ModelChange::TeamEdit(team, _) => ("team.edited", Thing::Team(team.clone())),
            ModelChange::TeamRemove(team) => ("team.removed", Thing::Team(team.clone())),
        };
        let target = match &thing {
            Thing::Module(module) => format!("modules/{module}"),
            Thing::Field(module, field) => format!("modules/{module}/fields/{field}"),
            Thing::Role(role) => format!("roles/{role}"),
            Thing::Member(user) => format!("members/{user}"),
            Thing::Team(team) => format!("teams/{team}"),
            Thing::Workflow(slug) | Thing::WorkflowEdit(slug) => format!("workflows/{slug}"),
            Thing::Settings => "settings".to_owned(),
        };
        Self {
            action,
            target,
            thing,
        }
    }

    pub(crate) fn between(self, before: &Model, after: &Model) -> Act {
        Act {
            action: self.action,
            before: self.thing.within(before),
            after: self.thing.within(after),
            target: self.target,
        }
    }
}

impl Thing {
    fn within(&self, model: &Model) -> Option<Value> {
        match self {
            Self::Module(module) => model.module(module).and_then(|it| value(it.definition())),
            Self::Field(module, field) => {
                let fields = &model.module(module)?.definition().fields;
                value(fields.iter().find(|it| it.key == *field)?)
            }
            Self::Workflow(slug) => model.workflow(slug).and_then(|it| value(it.definition())),
            Self::WorkflowEdit(slug) => {
                let found = model.workflow(slug)?;
                let mut told = json!({ "run_as": found.run_as(), "order": found.order() });
                if let (Value::Object(told), true) = (&mut told, found.is_paused()) {
                    told.insert("paused".to_owned(), true.into());
                }
                Some(told)
            }
            Self::Role(role) => value(&model.role(role)?.definition),
            Self::Member(user) => value(model.members().get(user)?),
            Self::Team(team) => value(model.teams().get(team)?),
            Self::Settings => {
                let settings = model.settings();
                let zone = settings.time_zone.name();
                let mut told = json!({ "time_zone": zone, "language": settings.language });
                if let (Value::Object(told), Some(days)) = (&mut told, settings.run_log_days) {
                    told.insert("run_log_days".to_owned(), days.into());
                }
                Some(told)
            }
        }
    }
}

/// Whatever is written into a model can be written as JSON.
fn value(thing: &impl Serialize) -> Option<Value> {
    serde_json::to_value(thing).ok()
}
