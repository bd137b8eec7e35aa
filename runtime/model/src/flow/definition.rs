//! What the author of a workflow writes: steps, and what leads from one to another.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::awaiting::{Approval, Await, Awaited, AwaitedEvent, Call};
use crate::names::{ModuleSlug, PluginName, StepName};

/// One step of a workflow: exactly one of an action, `if`, `switch`, `for_each`, `parallel`,
/// `delay`, `wait_for`, `approval`, `call` and `stop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StepText", into = "StepText")]
pub struct StepDefinition {
    /// What other steps call it; where it is left out, `step_` and its number, counted from 1 in
    /// the order in which they are written.
    pub id: Option<StepName>,
    pub kind: StepKind,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// Calls a component.
    Action(ActionStep),
    /// Takes the one way where the condition holds, and the other where it does not.
    If {
        condition: String,
        then: Vec<StepDefinition>,
        otherwise: Vec<StepDefinition>,
    },
    /// Takes the way of the first case whose value is that of the expression.
    Switch {
        on: String,
        cases: Vec<Case>,
        otherwise: Vec<StepDefinition>,
    },
    /// Does the same for each of many records, one after the other.
    ForEach {
        each: ForEach,
        body: Vec<StepDefinition>,
    },
    /// Takes several ways side by side, and goes on when all have come to their end.
    Parallel(Vec<Vec<StepDefinition>>),
    /// Waits for a time.
    Delay(Delay),
    /// Waits for something to come.
    Await(Box<Await>),
    /// Ends the run.
    Stop(Stop),
}

/// An action component and its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionStep {
    pub action: PluginName,
    /// An object. `{"$expression": "steps.find.created[0].id"}` in it stands for the expression's
    /// value.
    pub config: Value,
    pub retry: Option<Retry>,
    /// How long a call may take, where that is less than what the plugin may.
    pub timeout_seconds: Option<u32>,
    pub on_error: OnError,
    /// What takes back what it did, where the run fails after it: the steps that came last are
    /// taken back first.
    pub undo: Vec<StepDefinition>,
}

/// How often an action is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// All attempts together.
    pub attempts: u32,
    /// Before the second; doubles with each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_seconds: Option<u32>,
}

/// What happens when an action has failed for good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    #[default]
    Stop,
    /// The run goes on, as if nothing had been.
    Continue,
    /// These steps, and then on.
    Steps(Vec<StepDefinition>),
}

/// One way of a `switch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub is: Value,
    pub then: Vec<StepDefinition>,
}

/// Which records a `for_each` goes through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    pub module: ModuleSlug,
    /// A filter of the API; `{"$expression": …}` in it stands for a value. None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// At most so many; as many as a run may take unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How long to wait: `seconds` or `until`, or until business hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// An expression that gives a time, as RFC 3339, or a date, whose first moment in the
    /// tenant's zone is meant. One that has passed is not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// And then until the next business hour of the tenant's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub business_hours: bool,
}

/// How a run ends here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    #[serde(rename = "as")]
    pub end: StopAs,
    /// Why, for whoever looks at the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a run that called this one finds as `steps.<id>.outputs`. Expressions may stand in it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
}

/// How a `stop` ends its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopAs {
    Done,
    Failed,
}

impl StepDefinition {
    /// The action that it calls, if it calls one.
    pub fn action(&self) -> Option<&ActionStep> {
        match &self.kind {
            StepKind::Action(action) => Some(action),
            _ => None,
        }
    }

    /// What stands inside of it, with the member that it stands in.
    pub(crate) fn inner(&self) -> Vec<(String, &[Self])> {
        match &self.kind {
            StepKind::Action(action) => {
                let recover: &[Self] = match &action.on_error {
                    OnError::Steps(steps) => steps,
                    OnError::Stop | OnError::Continue => &[],
                };
                let undo = ("undo".to_owned(), action.undo.as_slice());
                vec![("on_error/steps".to_owned(), recover), undo]
            }
            StepKind::If {
                then, otherwise, ..
            } => vec![
                ("then".to_owned(), then.as_slice()),
                ("else".to_owned(), otherwise.as_slice()),
            ],
            StepKind::Switch {
                cases, otherwise, ..
            } => {
                let cases = cases.iter().enumerate();
                let cases = cases.map(|(index, case)| (format!("cases/{index}/then"), &*case.then));
                cases.chain([("else".to_owned(), &**otherwise)]).collect()
            }
            StepKind::ForEach { body, .. } => vec![("do".to_owned(), body.as_slice())],
            StepKind::Await(wait) => vec![
                ("then".to_owned(), wait.then.as_slice()),
                ("else".to_owned(), wait.otherwise.as_slice()),
            ],
            StepKind::Parallel(ways) => {
                let ways = ways.iter().enumerate();
                ways.map(|(index, way)| (format!("parallel/{index}"), &**way))
                    .collect()
            }
            StepKind::Delay(_) | StepKind::Stop(_) => Vec::new(),
        }
    }
}

/// All steps, also those inside of others, each with its place as a JSON pointer beneath
/// `steps`, in the order in which they are written.
pub fn all_steps(steps: &[StepDefinition]) -> Vec<(String, &StepDefinition)> {
    fn walk<'a>(
        place: &str,
        steps: &'a [StepDefinition],
        found: &mut Vec<(String, &'a StepDefinition)>,
    ) {
        for (index, step) in steps.iter().enumerate() {
            let place = format!("{place}/{index}");
            found.push((place.clone(), step));
            for (member, inner) in step.inner() {
                walk(&format!("{place}/{member}"), inner, found);
            }
        }
    }
    let mut found = Vec::new();
    walk("steps", steps, &mut found);
    found
}

/// A step as it is written: flat.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<StepName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<PluginName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_error: Option<OnError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<Vec<StepDefinition>>,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Vec<StepDefinition>>,
    #[serde(rename = "else", skip_serializing_if = "Option::is_none")]
    otherwise: Option<Vec<StepDefinition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cases: Option<Vec<Case>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_each: Option<ForEach>,
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    body: Option<Vec<StepDefinition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel: Option<Vec<Vec<StepDefinition>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<Delay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_for: Option<AwaitedEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Delay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Stop>,
}

const KINDS: &str = "action, if, switch, for_each, parallel, delay, wait_for, approval, call, stop";

impl TryFrom<StepText> for StepDefinition {
    type Error = String;

    fn try_from(mut text: StepText) -> Result<Self, String> {
        let id = text.id.take();
        let kind = text.take_kind()?;
        match text.left_over() {
            Some(member) => Err(format!("`{member}` does not go with a step of this kind")),
            None => Ok(Self { id, kind }),
        }
    }
}

impl StepText {
    fn take_kind(&mut self) -> Result<StepKind, String> {
        let kinds = [
            self.action.is_some(),
            self.condition.is_some(),
            self.switch.is_some(),
            self.for_each.is_some(),
            self.parallel.is_some(),
            self.delay.is_some(),
            self.wait_for.is_some(),
            self.approval.is_some(),
            self.call.is_some(),
            self.stop.is_some(),
        ];
        if kinds.into_iter().filter(|is_there| *is_there).count() != 1 {
            return Err(format!("a step has exactly one of: {KINDS}"));
        }
        if let Some(action) = self.action.take() {
            return Ok(StepKind::Action(ActionStep {
                action,
                config: self.config.take().unwrap_or_else(|| Map::new().into()),
                retry: self.retry.take(),
                timeout_seconds: self.timeout_seconds.take(),
                on_error: self.on_error.take().unwrap_or_default(),
                undo: self.undo.take().unwrap_or_default(),
            }));
        }
        if let Some(condition) = self.condition.take() {
            return Ok(StepKind::If {
                condition,
                then: self.then.take().ok_or("an `if` has a `then`")?,
                otherwise: self.otherwise.take().unwrap_or_default(),
            });
        }
        if let Some(on) = self.switch.take() {
            return Ok(StepKind::Switch {
                on,
                cases: self.cases.take().ok_or("a `switch` has `cases`")?,
                otherwise: self.otherwise.take().unwrap_or_default(),
            });
        }
        if let Some(each) = self.for_each.take() {
            let body = self.body.take().ok_or("a `for_each` has a `do`")?;
            return Ok(StepKind::ForEach { each, body });
        }
        let event = self.wait_for.take().map(Awaited::Event);
        let approval = self.approval.take().map(Awaited::Approval);
        let call = self.call.take().map(Awaited::Call);
        if let Some(what) = event.or(approval).or(call) {
            return Ok(StepKind::Await(Box::new(Await {
                what,
                deadline: self.deadline.take(),
                then: self.then.take().unwrap_or_default(),
                otherwise: self.otherwise.take().unwrap_or_default(),
            })));
        }
        let delay = self.delay.take().map(StepKind::Delay);
        let stop = self.stop.take().map(StepKind::Stop);
        let ways = self.parallel.take().map(StepKind::Parallel);
        ways.or(delay)
            .or(stop)
            .ok_or_else(|| format!("a step has exactly one of: {KINDS}"))
    }

    /// A member that nobody took.
    fn left_over(&self) -> Option<&'static str> {
        let members = [
            ("config", self.config.is_some()),
            ("retry", self.retry.is_some()),
            ("timeout_seconds", self.timeout_seconds.is_some()),
            ("on_error", self.on_error.is_some()),
            ("undo", self.undo.is_some()),
            ("then", self.then.is_some()),
            ("else", self.otherwise.is_some()),
            ("cases", self.cases.is_some()),
            ("do", self.body.is_some()),
            ("deadline", self.deadline.is_some()),
        ];
        let left = members.into_iter().find(|(_, is_there)| *is_there);
        left.map(|(member, _)| member)
    }
}

fn some<T>(steps: Vec<T>) -> Option<Vec<T>> {
    (!steps.is_empty()).then_some(steps)
}

impl From<StepDefinition> for StepText {
    fn from(step: StepDefinition) -> Self {
        let text = Self {
            id: step.id,
            ..Self::default()
        };
        match step.kind {
            StepKind::Action(action) => Self {
                action: Some(action.action),
                config: Some(action.config),
                retry: action.retry,
                timeout_seconds: action.timeout_seconds,
                on_error: (action.on_error != OnError::Stop).then_some(action.on_error),
                undo: some(action.undo),
                ..text
            },
            StepKind::If {
                condition,
                then,
                otherwise,
            } => Self {
                condition: Some(condition),
                then: Some(then),
                otherwise: some(otherwise),
                ..text
            },
            StepKind::Switch {
                on,
                cases,
                otherwise,
            } => Self {
                switch: Some(on),
                cases: Some(cases),
                otherwise: some(otherwise),
                ..text
            },
            StepKind::ForEach { each, body } => Self {
                for_each: Some(each),
                body: Some(body),
                ..text
            },
            StepKind::Parallel(ways) => Self {
                parallel: Some(ways),
                ..text
            },
            StepKind::Delay(delay) => Self {
                delay: Some(delay),
                ..text
            },
            StepKind::Await(wait) => {
                let text = Self {
                    deadline: wait.deadline,
                    then: some(wait.then),
                    otherwise: some(wait.otherwise),
                    ..text
                };
                match wait.what {
                    Awaited::Event(event) => Self {
                        wait_for: Some(event),
                        ..text
                    },
                    Awaited::Approval(approval) => Self {
                        approval: Some(approval),
                        ..text
                    },
                    Awaited::Call(call) => Self {
                        call: Some(call),
                        ..text
                    },
                }
            }
            StepKind::Stop(stop) => Self {
                stop: Some(stop),
                ..text
            },
        }
    }
}
