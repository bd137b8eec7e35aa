//! Automations, compiled: which events start one, and what its steps are.

use crm_expression::Expression;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::configuration::schema_check;
use crate::definition::{Stay, WorkflowDefinition};
use crate::event::{Event, EventKind};
use crate::flow::{
    Await, Awaited, AwaitedEvent, Delay, Program, StepDefinition, StepKind, Stop, StopAs,
    Surroundings,
};
use crate::limits;
use crate::model::{InstalledPlugin, ModelError, Module, OwnWorkflow};
use crate::names::{FieldKey, ModuleSlug, PluginName, WorkflowSlug};
use crate::overlay::WorkflowEdit;
use crate::permission::RunAs;
use crate::schedule::Schedule;
use crate::turn::Priority;

/// A workflow whose module, fields, condition and actions are known to exist.
#[derive(Debug)]
pub struct Workflow {
    definition: WorkflowDefinition,
    condition: Option<Expression>,
    program: Program,
    schedule: Option<Schedule>,
    version: u32,
    run_as: RunAs,
    order: u32,
    is_paused: bool,
}

/// What workflows are compiled against: modules, plugins, and what the tenant says of workflows.
pub(crate) type Against<'a> = (
    &'a BTreeMap<ModuleSlug, Module>,
    &'a BTreeMap<PluginName, InstalledPlugin>,
    &'a BTreeMap<WorkflowSlug, WorkflowEdit>,
);

/// A model's workflows.
pub(crate) struct Compiled {
    /// In the order in which those that one event starts run.
    pub(crate) workflows: Vec<Arc<Workflow>>,
    /// The template's in whose place the tenant has put its own, as far as they go with the model.
    pub(crate) replaced: Vec<Arc<Workflow>>,
}

impl Compiled {
    pub(crate) fn all(
        of_template: Vec<WorkflowDefinition>,
        own: Vec<OwnWorkflow>,
        against: Against<'_>,
    ) -> Result<Self, ModelError> {
        let own: Vec<(u32, WorkflowDefinition)> =
            own.into_iter().filter_map(|own| own.live).collect();
        let is_own = |slug: &WorkflowSlug| own.iter().any(|(_, own)| own.slug == *slug);
        let (replaced, kept): (Vec<_>, Vec<_>) =
            of_template.into_iter().partition(|it| is_own(&it.slug));
        let (modules, plugins, _) = against;
        let replaced = replaced.into_iter().filter_map(|definition| {
            let compiled = Workflow::compile(definition, 0, modules, plugins);
            compiled.ok().map(Arc::new)
        });
        let replaced = replaced.collect();
        let kept = kept.into_iter().map(|definition| (0, definition));
        Ok(Self {
            workflows: Workflow::compile_all(kept.chain(own), against)?,
            replaced,
        })
    }
}

/// The step before all others of a workflow that starts when a field has kept its value: it waits
/// for so long, and where the field changes before, the run is over.
fn stayed(
    definition: &WorkflowDefinition,
    stay: &Stay,
    known: &BTreeSet<&FieldKey>,
) -> Result<StepDefinition, String> {
    let trigger = &definition.trigger;
    if trigger.on != EventKind::RecordUpdated || !trigger.fields.is_empty() {
        return Err("trigger/stays: goes with record_updated, without fields".to_owned());
    }
    let field = &stay.field;
    if !known.contains(field) {
        let module = &definition.module;
        return Err(format!("trigger/stays: “{module}” has no field “{field}”"));
    }
    if stay.seconds == 0 {
        return Err("trigger/stays/seconds: at least 1".to_owned());
    }
    let step = |kind| StepDefinition { id: None, kind };
    let left = Stop {
        end: StopAs::Done,
        message: Some(format!("“{field}” did not stay as it was")),
        outputs: serde_json::Map::new(),
    };
    Ok(step(StepKind::Await(Box::new(Await {
        what: Awaited::Event(AwaitedEvent {
            on: EventKind::RecordUpdated,
            module: None,
            link: None,
            fields: vec![field.clone()],
            condition: None,
            // It may have changed before the run begins.
            since_event: true,
        }),
        deadline: Some(Delay {
            seconds: Some(stay.seconds),
            until: None,
            business_hours: false,
        }),
        then: vec![step(StepKind::Stop(left))],
        otherwise: Vec::new(),
    }))))
}

impl Stay {
    /// Whether the field got its value with this event.
    fn begins_with(&self, event: &Event) -> bool {
        let value = event.after.as_ref();
        let value = value.and_then(|after| after.get(self.field.as_str()));
        let value = value.filter(|value| !value.is_null());
        let is_it = value.is_some_and(|value| self.value.as_ref().is_none_or(|it| it == value));
        let is_new = match event.kind {
            EventKind::RecordCreated => true,
            EventKind::RecordUpdated => event.changed_fields.contains(&self.field),
            _ => false,
        };
        is_it && is_new
    }
}

impl Workflow {
    fn compile_all(
        definitions: impl Iterator<Item = (u32, WorkflowDefinition)>,
        (modules, plugins, edits): Against<'_>,
    ) -> Result<Vec<Arc<Self>>, ModelError> {
        let mut slugs = BTreeSet::new();
        let mut workflows = Vec::new();
        for (version, definition) in definitions {
            let place = format!("workflows/{}", definition.slug);
            if !slugs.insert(definition.slug.clone()) {
                return Err(ModelError::new(place, "stands there twice"));
            }
            let edit = edits.get(&definition.slug);
            let mut workflow = Self::compile(definition, version, modules, plugins)
                .map_err(|message| ModelError::new(place.clone(), message))?;
            workflow.run_as = edit.map(|edit| edit.run_as).unwrap_or_default();
            workflow.is_paused = edit.is_some_and(|edit| edit.paused);
            let edited = edit.and_then(|edit| edit.order);
            workflow.order = edited.unwrap_or(workflow.order);
            if workflow.order > limits::WORKFLOW_MAX_ORDER {
                let most = limits::WORKFLOW_MAX_ORDER;
                let message = format!("order is at most {most}, not {}", workflow.order);
                return Err(ModelError::new(place, message));
            }
            workflows.push(Arc::new(workflow));
        }
        workflows.sort_by(|a, b| a.place().cmp(&b.place()));
        if workflows.len() > limits::MODEL_MAX_WORKFLOWS {
            let most = limits::MODEL_MAX_WORKFLOWS;
            return Err(ModelError::new(
                "workflows",
                format!("a model has at most {most}"),
            ));
        }
        Ok(workflows)
    }

    pub(crate) fn compile(
        definition: WorkflowDefinition,
        version: u32,
        modules: &BTreeMap<ModuleSlug, Module>,
        plugins: &BTreeMap<PluginName, InstalledPlugin>,
    ) -> Result<Self, String> {
        let Some(module) = modules.get(&definition.module) else {
            return Err(format!("there is no module “{}”", definition.module));
        };
        let known: BTreeSet<_> = module
            .definition()
            .fields
            .iter()
            .map(|field| &field.key)
            .collect();
        if let Some(field) = definition
            .trigger
            .fields
            .iter()
            .find(|key| !known.contains(key))
        {
            return Err(format!(
                "trigger: “{}” has no field “{field}”",
                definition.module
            ));
        }
        if !definition.trigger.fields.is_empty()
            && definition.trigger.on != EventKind::RecordUpdated
        {
            return Err("trigger: fields go with record_updated".to_owned());
        }
        let most = limits::CONCURRENCY_MAX;
        if let Some(concurrency) = definition.concurrency
            && !(1..=most).contains(&concurrency)
        {
            return Err(format!("concurrency is 1 to {most}, not {concurrency}"));
        }
        if let Some(form) = &definition.trigger.form {
            if definition.trigger.on != EventKind::StartedByHand {
                return Err("trigger/form: goes with started_by_hand".to_owned());
            }
            schema_check(form).map_err(|why| format!("trigger/form: {why}"))?;
        }
        let stays = definition.trigger.stays.as_ref();
        let first = stays
            .map(|stay| stayed(&definition, stay, &known))
            .transpose()?;
        let schedule = Schedule::compile(&definition.trigger, module)?;
        let is_of_record = definition.trigger.on != EventKind::RequestReceived
            && !matches!(schedule, Some(Schedule::Cron(_)));
        if definition.in_order && !is_of_record {
            return Err("in_order: what starts it is of no record".to_owned());
        }
        let surroundings = Surroundings {
            module: &definition.module,
            is_action: &|action| plugins.contains_key(action),
            is_module: &|module| modules.contains_key(module),
            has_field: &|module, field| {
                let mut fields = modules.get(module)?.definition().fields.iter();
                Some(fields.any(|it| it.key == *field))
            },
        };
        let program = Program::compile(first.as_ref(), &definition.steps, &surroundings)?;
        let condition = definition
            .condition
            .as_deref()
            .map(Expression::parse)
            .transpose()
            .map_err(|error| format!("condition: {error}"))?;
        Ok(Self {
            order: definition.order.unwrap_or(limits::WORKFLOW_DEFAULT_ORDER),
            definition,
            version,
            condition,
            program,
            schedule,
            run_as: RunAs::default(),
            is_paused: false,
        })
    }

    /// What the tenant says of it is what it says of that one.
    pub(crate) fn is_as(&mut self, live: &Self) {
        self.run_as = live.run_as;
        self.order = live.order;
        self.is_paused = live.is_paused;
    }

    /// Which of its versions it is; 0 for the template's own.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What its author wrote.
    pub fn definition(&self) -> &WorkflowDefinition {
        &self.definition
    }

    /// On whose word it runs: the tenant says so, whoever wrote the workflow.
    ///
    /// What no person causes, but a time or somebody outside, runs as itself.
    pub fn run_as(&self) -> RunAs {
        match self.definition.trigger.on.is_of_no_person() {
            true => RunAs::Itself,
            false => self.run_as,
        }
    }

    /// The times that start it; none where something else does.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// Whether the tenant has it rest: events start it no more, and its runs wait.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Its place among the workflows that one event starts: the tenant's word, else its author's.
    pub fn order(&self) -> u32 {
        self.order
    }

    fn place(&self) -> (u32, &WorkflowSlug) {
        (self.order, &self.definition.slug)
    }

    /// How urgent its runs are: its author's word, else what follows from what starts them.
    pub fn priority(&self, otherwise: Priority) -> Priority {
        self.definition.priority.unwrap_or(otherwise)
    }

    /// The action that its runs begin with; none where they begin with something else.
    pub fn begins_with(&self) -> Option<&PluginName> {
        let first = self.definition.steps.first()?;
        first.action().map(|step| &step.action)
    }

    /// What it does.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Whether it calls that action anywhere.
    pub fn calls(&self, action: &PluginName) -> bool {
        let mut actions = self.program.actions().iter();
        actions.any(|called| called.action == *action)
    }

    /// Whether the event starts it, as far as the trigger goes.
    pub fn is_triggered_by(&self, event: &Event) -> bool {
        !self.is_paused && self.would_be_triggered_by(event)
    }

    /// The same, whether or not it rests.
    pub fn would_be_triggered_by(&self, event: &Event) -> bool {
        let trigger = &self.definition.trigger;
        if let Some(stay) = &trigger.stays {
            return self.definition.module == event.module && stay.begins_with(event);
        }
        self.definition.module == event.module
            && trigger.on == event.kind
            && (trigger.fields.is_empty()
                || trigger
                    .fields
                    .iter()
                    .any(|field| event.changed_fields.contains(field)))
    }

    /// Whether its condition holds.
    ///
    /// # Errors
    /// A sentence, where the condition cannot be answered for this event.
    pub fn condition_holds(&self, event: &Event) -> Result<bool, String> {
        match &self.condition {
            None => Ok(true),
            Some(condition) => condition
                .evaluate_bool(&event.expression_context())
                .map_err(|error| format!("the workflow's condition failed: {error}")),
        }
    }
}
