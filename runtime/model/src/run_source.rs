//! What starts runs, and what its runs call.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

use crate::event::EventKind;
use crate::model::{InstalledPlugin, Model};
use crate::names::{ModuleSlug, NameError, PluginName, TemplateSlug, WorkflowSlug};
use crate::permission::RunAs;

/// What starts runs. As text a workflow's name, or `template:` and a template's: no name has a
/// colon, so no workflow passes for a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RunSource {
    Workflow(WorkflowSlug),
    /// The `after-event` of the tenant's template.
    Template(TemplateSlug),
}

const TEMPLATE: &str = "template:";

impl std::str::FromStr for RunSource {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix(TEMPLATE) {
            Some(template) => template.parse().map(Self::Template),
            None => text.parse().map(Self::Workflow),
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
        }
    }
}

/// What the runs of a source call: which component, configured how, on whose word.
#[derive(Clone, Debug)]
pub struct RunStep<'a> {
    pub name: &'a PluginName,
    pub plugin: &'a InstalledPlugin,
    pub config: Cow<'a, Value>,
    pub run_as: RunAs,
}

impl Model {
    /// What the runs of a source call.
    ///
    /// # Errors
    /// A sentence, where this model has no such source, or not what it calls.
    pub fn run_step(&self, source: &RunSource) -> Result<RunStep<'_>, String> {
        match source {
            RunSource::Workflow(slug) => self.workflow_step(slug),
            RunSource::Template(slug) => {
                let hooks = self.hooks().filter(|_| self.template().slug == *slug);
                let hooks = hooks
                    .ok_or_else(|| format!("there is no hook of the template “{slug}” any more"))?;
                Ok(RunStep {
                    name: &hooks.name,
                    plugin: &hooks.plugin,
                    config: Cow::Owned(json!({})),
                    run_as: RunAs::Person,
                })
            }
        }
    }

    fn workflow_step(&self, slug: &WorkflowSlug) -> Result<RunStep<'_>, String> {
        let mut workflows = self.workflows().iter();
        let workflow = workflows.find(|workflow| workflow.definition().slug == *slug);
        let step = workflow.and_then(|workflow| Some((workflow, workflow.steps().first()?)));
        let (workflow, step) =
            step.ok_or_else(|| format!("there is no workflow “{slug}” any more"))?;
        let plugin = self.plugin(&step.action);
        Ok(RunStep {
            name: &step.action,
            plugin: plugin
                .ok_or_else(|| format!("the action “{}” is not installed", step.action))?,
            config: Cow::Borrowed(&step.config),
            run_as: workflow.run_as(),
        })
    }

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
        for source in [workflow, template] {
            assert_eq!(source.to_string().parse::<RunSource>().unwrap(), source);
            let json = serde_json::to_value(&source).unwrap();
            assert_eq!(json, source.to_string());
        }
        for text in [
            "template:",
            "template:No",
            "other:hospital",
            "",
            ":hospital",
        ] {
            assert!(text.parse::<RunSource>().is_err(), "{text}");
        }
        assert!("template:hospital".parse::<WorkflowSlug>().is_err());
    }
}
