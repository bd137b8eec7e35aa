//! What starts runs, and what its runs call.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

use crate::definition::Enrolment;
use crate::event::EventKind;
use crate::flow::{Action, Program};
use crate::hooks::TemplateHooks;
use crate::model::{InstalledPlugin, Model};
use crate::names::{ModuleSlug, NameError, PluginName, TemplateSlug, WorkflowSlug};
use crate::permission::RunAs;
use crate::workflow::Workflow;

/// What starts runs. As text a workflow's name, or `template:` and a template's, or `webhook:` and a
/// webhook's id: no name has a colon, so no workflow passes for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RunSource {
    Workflow(WorkflowSlug),
    /// The `after-event` of the tenant's template.
    Template(TemplateSlug),
    /// A webhook that is told of records by itself: its runs call nothing, they send.
    Webhook(Uuid),
}

const TEMPLATE: &str = "template:";
const WEBHOOK: &str = "webhook:";

impl std::str::FromStr for RunSource {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(template) = text.strip_prefix(TEMPLATE) {
            return template.parse().map(Self::Template);
        }
        let id = text.strip_prefix(WEBHOOK).map(Uuid::try_parse);
        match id {
            Some(Ok(id)) => Ok(Self::Webhook(id)),
            // Not a name either.
            _ => text.parse().map(Self::Workflow),
        }
    }
}

impl TryFrom<String> for RunSource {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RunSource> for String {
    fn from(source: RunSource) -> Self {
        source.to_string()
    }
}

impl From<WorkflowSlug> for RunSource {
    fn from(workflow: WorkflowSlug) -> Self {
        Self::Workflow(workflow)
    }
}

impl std::fmt::Display for RunSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workflow(workflow) => workflow.fmt(formatter),
            Self::Template(template) => write!(formatter, "{TEMPLATE}{template}"),
            Self::Webhook(id) => write!(formatter, "{WEBHOOK}{id}"),
        }
    }
}

/// What the runs of a source do, and on whose word.
#[derive(Debug)]
pub struct RunFlow<'a> {
    model: &'a Model,
    source: FlowSource<'a>,
}

#[derive(Debug)]
enum FlowSource<'a> {
    Workflow(Arc<Workflow>),
    Template(&'a TemplateHooks, Program),
}

/// What a step of a run calls: which component, on whose word.
#[derive(Clone, Copy, Debug)]
pub struct RunStep<'a> {
    pub name: &'a PluginName,
    pub plugin: &'a InstalledPlugin,
    pub run_as: RunAs,
}

impl Model {
    /// What the runs of a source do.
    ///
    /// # Errors
    /// A sentence, where this model has no such source.
    pub fn run_flow(&self, source: &RunSource) -> Result<RunFlow<'_>, String> {
        let source = match source {
            RunSource::Workflow(slug) => {
                let gone = || format!("there is no workflow “{slug}” any more");
                FlowSource::Workflow(Arc::clone(self.workflow(slug).ok_or_else(gone)?))
            }
            RunSource::Template(slug) => {
                let hooks = self.hooks().filter(|_| self.template().slug == *slug);
                let gone = || format!("there is no hook of the template “{slug}” any more");
                let hooks = hooks.ok_or_else(gone)?;
                FlowSource::Template(hooks, Program::of_one(hooks.name.clone()))
            }
            RunSource::Webhook(id) => return Err(format!("the webhook {id} calls nothing")),
        };
        Ok(RunFlow {
            model: self,
            source,
        })
    }

    /// What the runs of a workflow do that began on another version than the live one.
    pub fn run_flow_of(&self, workflow: Arc<Workflow>) -> RunFlow<'_> {
        RunFlow {
            model: self,
            source: FlowSource::Workflow(workflow),
        }
    }
}

impl RunFlow<'_> {
    pub fn program(&self) -> &Program {
        match &self.source {
            FlowSource::Workflow(workflow) => workflow.program(),
            FlowSource::Template(_, program) => program,
        }
    }

    /// Whether the tenant has its runs wait.
    pub fn is_paused(&self) -> bool {
        match &self.source {
            FlowSource::Workflow(workflow) => workflow.is_paused(),
            FlowSource::Template(..) => false,
        }
    }

    /// Whether its runs of one record go one after the other.
    pub fn is_in_order(&self) -> bool {
        match &self.source {
            FlowSource::Workflow(workflow) => workflow.definition().in_order,
            FlowSource::Template(..) => false,
        }
    }

    /// How often a record goes through it.
    pub fn enrolment(&self) -> Enrolment {
        match &self.source {
            FlowSource::Workflow(workflow) => workflow.definition().enrolment,
            FlowSource::Template(..) => Enrolment::EveryTime,
        }
    }

    /// On whose word its records are looked up.
    pub fn run_as(&self) -> RunAs {
        match &self.source {
            FlowSource::Workflow(workflow) => workflow.run_as(),
            FlowSource::Template(..) => RunAs::Person,
        }
    }

    /// What an action of its program calls.
    ///
    /// # Errors
    /// A sentence, where this model has not what it calls.
    pub fn step<'s>(&'s self, action: &'s Action) -> Result<RunStep<'s>, String> {
        match &self.source {
            FlowSource::Template(hooks, _) => Ok(RunStep {
                name: &hooks.name,
                plugin: &hooks.plugin,
                run_as: RunAs::Person,
            }),
            FlowSource::Workflow(workflow) => {
                let plugin = self.model.plugin(&action.action);
                Ok(RunStep {
                    name: &action.action,
                    plugin: plugin.ok_or_else(|| {
                        format!("the action “{}” is not installed", action.action)
                    })?,
                    run_as: workflow.run_as(),
                })
            }
        }
    }

    /// What the first of its actions calls, in the order in which they are written.
    pub fn first(&self) -> Option<RunStep<'_>> {
        let first = self.program().actions().first()?;
        self.step(first).ok()
    }
}

impl Model {
    /// The template's `after-event`, where its manifest has it told of such an event.
    pub fn after_event(&self, module: &ModuleSlug, kind: EventKind) -> Option<RunSource> {
        let template = self.hooks()?;
        let is_told = template.hooks.after_event(module, kind);
        is_told.then(|| RunSource::Template(self.template().slug.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_workflow_passes_for_a_template() {
        let workflow: RunSource = "welcome".parse().unwrap();
        assert_eq!(workflow, RunSource::Workflow("welcome".parse().unwrap()));
        let template: RunSource = "template:hospital".parse().unwrap();
        assert_eq!(template, RunSource::Template("hospital".parse().unwrap()));
        let webhook = RunSource::Webhook(Uuid::from_u128(7));
        for source in [workflow, template, webhook] {
            assert_eq!(source.to_string().parse::<RunSource>().unwrap(), source);
            let json = serde_json::to_value(&source).unwrap();
            assert_eq!(json, source.to_string());
        }
        for text in [
            "template:",
            "template:No",
            "webhook:",
            "webhook:shipping",
            "other:hospital",
            "",
            ":hospital",
        ] {
            assert!(text.parse::<RunSource>().is_err(), "{text}");
        }
        assert!("template:hospital".parse::<WorkflowSlug>().is_err());
    }
}
