//! What a run waits for that comes from outside of it: an event, somebody's word, the end of
//! another workflow's run.

use crm_expression::Expression;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::definition::{Delay, StepDefinition};
use super::program::{CompiledDelay, expression};
use super::template::Template;
use crate::effect::ROLE_START;
use crate::event::{Event, EventKind};
use crate::limits::{
    APPROVAL_TEXT_MAX_CHARACTERS, APPROVAL_TITLE_MAX_CHARACTERS, NOTIFICATION_MAX_PEOPLE,
};
use crate::names::{FieldKey, ModuleSlug, StepName, WorkflowSlug};

/// A step that waits until something comes, at most until a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Await {
    pub what: Awaited,
    /// Until when; [`crate::limits::AWAIT_DEFAULT_DAYS`] days unless given.
    pub deadline: Option<Delay>,
    /// Where it came, and went well.
    pub then: Vec<StepDefinition>,
    /// Where the deadline passed, and where the answer was no.
    pub otherwise: Vec<StepDefinition>,
}

/// What comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Awaited {
    Event(AwaitedEvent),
    Approval(Approval),
    Call(Call),
}

/// An event of the run's own record, or of one that points to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwaitedEvent {
    /// What happens to the record: created, updated, deleted or restored.
    pub on: EventKind,
    /// Its module, where that is not the workflow's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleSlug>,
    /// The field by which it points to the run's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<FieldKey>,
    /// One of these is another; none: whatever changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldKey>,
    /// Sees the event that came as `event`, `before`, `after` and `actor`; beside them `record`,
    /// `steps` and `now`, as everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Whether what happened between the run's own event and the moment at which the run gets here
    /// counts too; of its own record alone.
    #[serde(skip)]
    pub since_event: bool,
}

/// Somebody's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who may give it: names of people, and `role:manager`. The first word counts.
    pub by: Value,
    pub title: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub text: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
}

/// Who is asked too, where nobody has answered by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    pub after: Delay,
    /// As those who were asked first.
    pub by: Value,
}

/// The end of a run of another workflow, which it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// One that starts on `called`.
    pub workflow: WorkflowSlug,
    /// An expression that gives the id of the record that it is for; the run's own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// What it finds as `payload`: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

/// A step that waits, compiled.
#[derive(Debug)]
pub struct CompiledAwait {
    pub step: StepName,
    /// The module of the record that the run is about there.
    pub module: ModuleSlug,
    pub what: CompiledAwaited,
    pub(super) deadline: CompiledDelay,
    /// When others are asked too.
    pub(super) escalation: Option<CompiledDelay>,
}

/// What it waits for, compiled.
#[derive(Debug)]
pub enum CompiledAwaited {
    Event(EventWatch),
    /// An object of `by`, `title`, `text` and `escalate`.
    Approval(Template),
    Call {
        workflow: WorkflowSlug,
        record: Option<Template>,
        payload: Template,
    },
}

/// Which events a run waits for.
#[derive(Debug)]
pub struct EventWatch {
    pub on: EventKind,
    pub module: ModuleSlug,
    pub link: Option<FieldKey>,
    pub since_event: bool,
    fields: Vec<FieldKey>,
    condition: Option<Expression>,
}

impl CompiledAwaited {
    /// Compiles it; `module` is that of the record that the run is about there.
    pub(super) fn compile(
        place: &str,
        what: &Awaited,
        module: &ModuleSlug,
        has_field: &dyn Fn(&ModuleSlug, &FieldKey) -> Option<bool>,
    ) -> Result<Self, String> {
        match what {
            Awaited::Event(event) => {
                let place = format!("{place}/wait_for");
                EventWatch::compile(&place, event, module, has_field).map(Self::Event)
            }
            Awaited::Approval(approval) => {
                let place = format!("{place}/approval");
                let escalation = approval.escalate.as_ref();
                let whole = [
                    ("by", &approval.by),
                    ("title", &approval.title),
                    ("text", &approval.text),
                    ("escalate", escalation.map_or(&Value::Null, |it| &it.by)),
                ];
                let whole = whole.map(|(name, value)| (name.to_owned(), value.clone()));
                let whole = Value::Object(whole.into_iter().collect());
                let template = Template::compile(&place, &whole)?;
                if template.is_plain() {
                    Asked::read(&whole).map_err(|why| format!("{place}: {why}"))?;
                }
                Ok(Self::Approval(template))
            }
            Awaited::Call(call) => {
                let place = format!("{place}/call");
                let record = call.record.as_deref();
                let record = record.map(|source| {
                    expression(&format!("{place}/record"), source).map(Template::Expression)
                });
                let nothing = Value::Object(Map::new());
                let payload = call.payload.as_ref().unwrap_or(&nothing);
                if !payload.is_object() {
                    return Err(format!("{place}/payload: a JSON object"));
                }
                Ok(Self::Call {
                    workflow: call.workflow.clone(),
                    record: record.transpose()?,
                    payload: Template::compile(&format!("{place}/payload"), payload)?,
                })
            }
        }
    }
}

impl EventWatch {
    fn compile(
        place: &str,
        event: &AwaitedEvent,
        own: &ModuleSlug,
        has_field: &dyn Fn(&ModuleSlug, &FieldKey) -> Option<bool>,
    ) -> Result<Self, String> {
        let AwaitedEvent {
            on,
            module,
            link,
            fields,
            condition,
            since_event,
        } = event;
        let is_of_record = matches!(
            on,
            EventKind::RecordCreated
                | EventKind::RecordUpdated
                | EventKind::RecordDeleted
                | EventKind::RecordRestored
        );
        if !is_of_record {
            return Err(format!(
                "{place}/on: record_created, record_updated, record_deleted or record_restored"
            ));
        }
        let module = module.as_ref().unwrap_or(own);
        if link.is_none() && (module != own || *on == EventKind::RecordCreated) {
            return Err(format!(
                "{place}/link: the field of “{module}” by which the record that is waited for \
                 points to this one"
            ));
        }
        if !fields.is_empty() && *on != EventKind::RecordUpdated {
            return Err(format!("{place}/fields: go with record_updated"));
        }
        for field in link.iter().chain(fields) {
            match has_field(module, field) {
                Some(true) => {}
                Some(false) => return Err(format!("{place}: “{module}” has no field “{field}”")),
                None => return Err(format!("{place}: there is no module “{module}”")),
            }
        }
        let condition = condition.as_deref();
        let condition = condition.map(|source| expression(&format!("{place}/condition"), source));
        Ok(Self {
            on: *on,
            module: module.clone(),
            link: link.clone(),
            since_event: *since_event,
            fields: fields.clone(),
            condition: condition.transpose()?,
        })
    }

    /// Whether it is what is waited for; `context` is what the run sees, with the event in place of
    /// its own.
    ///
    /// # Errors
    /// Why the condition cannot be answered.
    pub(super) fn is_met(&self, event: &Event, context: &Value) -> Result<bool, String> {
        let changed = self.fields.is_empty()
            || (self.fields.iter()).any(|field| event.changed_fields.contains(field));
        match &self.condition {
            Some(condition) if changed => condition
                .evaluate_bool(context)
                .map_err(|error| error.to_string()),
            _ => Ok(changed),
        }
    }
}

/// What somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub by: Vec<String>,
    pub title: String,
    pub text: Option<String>,
    /// Who is asked later, beside them.
    pub escalate: Vec<String>,
}

impl Asked {
    /// Reads what a template of an approval was filled to.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(value: &Value) -> Result<Self, String> {
        let is_name = |name: &String| match name.strip_prefix(ROLE_START) {
            Some(role) => role.parse::<crate::RoleSlug>().is_ok(),
            None => name.parse::<crate::UserId>().is_ok(),
        };
        let names = |what: &str, value: Option<&Value>| {
            let names = match value {
                Some(Value::String(one)) => vec![one.clone()],
                Some(Value::Array(all)) => all
                    .iter()
                    .map(|one| one.as_str().map(str::to_owned))
                    .collect::<Option<Vec<_>>>()
                    .unwrap_or_default(),
                _ => Vec::new(),
            };
            let is_right = (1..=NOTIFICATION_MAX_PEOPLE).contains(&names.len());
            match is_right && names.iter().all(is_name) {
                true => Ok(names),
                false => Err(format!(
                    "{what}: 1 to {NOTIFICATION_MAX_PEOPLE} names of people, or of roles such as \
                     role:manager"
                )),
            }
        };
        let by = names("by", value.get("by"))?;
        let escalate = value.get("escalate").filter(|later| !later.is_null());
        let escalate = escalate.map(|later| names("escalate/by", Some(later)));
        let text = |name: &str, most: usize| match value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= most => Ok(Some(text.clone())),
            Some(_) => Err(format!("{name}: a text of at most {most} characters")),
        };
        let title = text("title", APPROVAL_TITLE_MAX_CHARACTERS)?;
        Ok(Self {
            by,
            title: title
                .filter(|title| !title.is_empty())
                .ok_or("title: what somebody is asked")?,
            text: text("text", APPROVAL_TEXT_MAX_CHARACTERS)?,
            escalate: escalate.transpose()?.unwrap_or_default(),
        })
    }
}
