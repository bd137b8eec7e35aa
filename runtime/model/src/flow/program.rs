//! A workflow's steps, compiled: a list of instructions, so that where a run stands is a number.

use crm_expression::Expression;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::awaiting::{Await, Awaited, CompiledAwait, CompiledAwaited};
use super::definition::{ActionStep, Delay, ForEach, OnError, StepDefinition, StepKind, StopAs};
use super::template::Template;
use crate::limits::{
    AWAIT_DEFAULT_DAYS, FLOW_MAX_DEPTH, FLOW_MAX_WAYS, JOB_MAX_ATTEMPTS, RUN_MAX_STEPS,
    STEP_PAUSE_MAX_SECONDS, WORKFLOW_MAX_STEPS,
};
use crate::names::{FieldKey, ModuleSlug, PluginName, StepName};

/// What a run of a workflow does, one instruction after the other.
#[derive(Debug)]
pub struct Program {
    pub(super) code: Vec<Op>,
    actions: Vec<Action>,
    loops: Vec<Loop>,
    awaits: Vec<CompiledAwait>,
    /// Where steps begin that stand in no loop, in no way of a `parallel`, and take nothing back.
    entries: BTreeMap<StepName, usize>,
}

#[derive(Debug)]
pub(super) enum Op {
    /// Calls an action; goes on at the next instruction, or where its error is taken care of.
    Act(usize),
    /// Goes on there unless the condition holds.
    Unless {
        step: StepName,
        condition: Expression,
        to: usize,
    },
    /// Goes on where the value says.
    Switch {
        step: StepName,
        on: Expression,
        cases: Vec<(Value, usize)>,
        otherwise: usize,
    },
    Go(usize),
    /// Starts a thread at each of these; the one that did goes on when all have ended.
    Fork(Vec<usize>),
    /// The end of a way of a `parallel`, or of what takes back a step.
    End,
    /// Takes the next record and goes on; at `after` when there is none.
    Each {
        each: usize,
        after: usize,
    },
    Delay {
        step: StepName,
        delay: CompiledDelay,
    },
    /// Waits until it comes, and goes on; at `otherwise` where it does not, or the answer is no.
    Await {
        awaits: usize,
        otherwise: usize,
    },
    Stop {
        step: StepName,
        is_failure: bool,
        message: Option<String>,
        outputs: Option<Template>,
    },
}

#[derive(Debug)]
pub(super) struct CompiledDelay {
    pub(super) end: DelayEnd,
    /// And then until the next business hour.
    pub(super) business_hours: bool,
}

#[derive(Debug)]
pub(super) enum DelayEnd {
    For(Duration),
    Until(Expression),
}

/// An action of a program.
#[derive(Debug)]
pub struct Action {
    pub step: StepName,
    pub action: PluginName,
    /// As its author wrote it.
    pub written: Value,
    config: Template,
    /// Attempts, and the first pause between them.
    pub attempts: i32,
    pub pause: Option<Duration>,
    pub timeout: Option<Duration>,
    pub(super) on_error: Recovery,
    pub(super) undo: Option<usize>,
    /// The module whose records it is called on, where that is not the workflow's.
    pub module: Option<ModuleSlug>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    Fail,
    Continue,
    Go(usize),
}

/// Records that a program goes through.
#[derive(Debug)]
pub struct Loop {
    pub step: StepName,
    pub module: ModuleSlug,
    filter: Option<Template>,
    pub limit: u32,
}

impl Action {
    /// What the component is configured with, and whether expressions stand in it.
    pub fn config(&self) -> &Template {
        &self.config
    }
}

impl Loop {
    /// A filter of the API.
    pub fn filter(&self) -> Option<&Template> {
        self.filter.as_ref()
    }
}

/// What a program is compiled against.
pub struct Surroundings<'a> {
    pub module: &'a ModuleSlug,
    pub is_action: &'a dyn Fn(&PluginName) -> bool,
    pub is_module: &'a dyn Fn(&ModuleSlug) -> bool,
    /// Whether the module has such a field; none where there is no such module.
    pub has_field: &'a dyn Fn(&ModuleSlug, &FieldKey) -> Option<bool>,
}

impl Program {
    /// Compiles steps, `first` before all others, which no other sees; a sentence that begins with the place, where one cannot be right.
    pub(crate) fn compile(
        first: Option<&StepDefinition>,
        steps: &[StepDefinition],
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, String> {
        let mut compiler = Compiler {
            surroundings,
            program: Self {
                code: Vec::new(),
                actions: Vec::new(),
                loops: Vec::new(),
                awaits: Vec::new(),
                entries: BTreeMap::new(),
            },
            bound: 0,
            names: BTreeSet::new(),
            count: 0,
            depth: 0,
            modules: vec![surroundings.module.clone()],
            undo: Vec::new(),
        };
        if let Some(first) = first {
            compiler.steps("trigger", std::slice::from_ref(first))?;
            compiler.count = 0;
            compiler.names.clear();
        }
        compiler.steps("steps", steps)?;
        compiler.undo_sections()?;
        if compiler.count == 0 {
            return Err(format!("a workflow has 1 to {WORKFLOW_MAX_STEPS} steps"));
        }
        Ok(compiler.program)
    }

    /// A program that calls one action, configured with nothing.
    pub(crate) fn of_one(action: PluginName) -> Self {
        let nothing = Value::Object(serde_json::Map::new());
        let compiled = Action {
            step: StepName::first(),
            action,
            written: nothing.clone(),
            config: Template::Plain(nothing),
            attempts: JOB_MAX_ATTEMPTS,
            pause: None,
            timeout: None,
            on_error: Recovery::Fail,
            undo: None,
            module: None,
        };
        Self {
            code: vec![Op::Act(0)],
            actions: vec![compiled],
            loops: Vec::new(),
            awaits: Vec::new(),
            entries: BTreeMap::new(),
        }
    }

    /// The actions, in the order in which they are written.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    pub fn action(&self, index: usize) -> Option<&Action> {
        self.actions.get(index)
    }

    /// Where a step begins that a run may go over to from anywhere.
    pub(super) fn entry(&self, step: &StepName) -> Option<usize> {
        self.entries.get(step).copied()
    }

    /// The step that begins there, if a run may go over from it.
    pub(super) fn entry_at(&self, at: usize) -> Option<&StepName> {
        let mut entries = self.entries.iter();
        entries
            .find(|(_, entry)| **entry == at)
            .map(|(step, _)| step)
    }

    pub fn each(&self, index: usize) -> Option<&Loop> {
        self.loops.get(index)
    }

    pub fn awaits(&self, index: usize) -> Option<&CompiledAwait> {
        self.awaits.get(index)
    }

    /// Whether there is anything that more people are asked after a while.
    pub fn escalates(&self) -> bool {
        let mut awaits = self.awaits.iter();
        awaits.any(|compiled| compiled.escalation.is_some())
    }
}

struct Compiler<'a> {
    surroundings: &'a Surroundings<'a>,
    program: Program,
    names: BTreeSet<StepName>,
    count: usize,
    depth: usize,
    /// Ways of a `parallel`, and steps that take back, that it is in.
    bound: usize,
    /// The module whose records the steps are about, loops within loops.
    modules: Vec<ModuleSlug>,
    /// Steps that take back an action, which are compiled at the end.
    undo: Vec<(usize, String, Vec<StepDefinition>)>,
}

impl Compiler<'_> {
    fn here(&self) -> usize {
        self.program.code.len()
    }

    fn push(&mut self, op: Op) -> usize {
        self.program.code.push(op);
        self.program.code.len() - 1
    }

    /// Puts an instruction where a place was kept for it.
    fn put(&mut self, at: usize, op: Op) {
        if let Some(there) = self.program.code.get_mut(at) {
            *there = op;
        }
    }

    fn steps(&mut self, place: &str, steps: &[StepDefinition]) -> Result<(), String> {
        if self.depth > FLOW_MAX_DEPTH {
            return Err(format!(
                "{place}: steps stand at most {FLOW_MAX_DEPTH} deep in others"
            ));
        }
        self.depth += 1;
        for (index, step) in steps.iter().enumerate() {
            self.step(&format!("{place}/{index}"), step)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn step(&mut self, place: &str, step: &StepDefinition) -> Result<(), String> {
        self.count += 1;
        if self.count > WORKFLOW_MAX_STEPS {
            return Err(format!("a workflow has 1 to {WORKFLOW_MAX_STEPS} steps"));
        }
        let name = match &step.id {
            Some(id) => id.clone(),
            None => {
                let name = format!("step_{}", self.count).parse();
                name.map_err(|error| format!("{place}: {error}"))?
            }
        };
        if !self.names.insert(name.clone()) {
            return Err(format!("{place}: another step is called “{name}” too"));
        }
        if self.bound == 0 && self.modules.len() == 1 {
            let here = self.here();
            self.program.entries.insert(name.clone(), here);
        }
        match &step.kind {
            StepKind::Action(action) => self.act(place, name, action),
            StepKind::If {
                condition,
                then,
                otherwise,
            } => {
                let condition = expression(&format!("{place}/if"), condition)?;
                let unless = self.push(Op::End);
                self.steps(&format!("{place}/then"), then)?;
                let mut to = self.here();
                if !otherwise.is_empty() {
                    let over = self.push(Op::End);
                    to = self.here();
                    self.steps(&format!("{place}/else"), otherwise)?;
                    let end = self.here();
                    self.put(over, Op::Go(end));
                }
                let op = Op::Unless {
                    step: name,
                    condition,
                    to,
                };
                self.put(unless, op);
                Ok(())
            }
            StepKind::Switch {
                on,
                cases,
                otherwise,
            } => {
                let on = expression(&format!("{place}/switch"), on)?;
                ways(place, cases.len(), "cases")?;
                let switch = self.push(Op::End);
                let (mut starts, mut overs) = (Vec::new(), Vec::new());
                for (index, case) in cases.iter().enumerate() {
                    starts.push((case.is.clone(), self.here()));
                    self.steps(&format!("{place}/cases/{index}/then"), &case.then)?;
                    overs.push(self.push(Op::End));
                }
                let other = self.here();
                self.steps(&format!("{place}/else"), otherwise)?;
                let end = self.here();
                for over in overs {
                    self.put(over, Op::Go(end));
                }
                let op = Op::Switch {
                    step: name,
                    on,
                    cases: starts,
                    otherwise: other,
                };
                self.put(switch, op);
                Ok(())
            }
            StepKind::ForEach { each, body } => self.for_each(place, name, each, body),
            StepKind::Parallel(branches) => {
                ways(place, branches.len(), "ways")?;
                let fork = self.push(Op::End);
                let over = self.push(Op::End);
                let mut starts = Vec::new();
                self.bound += 1;
                for (index, branch) in branches.iter().enumerate() {
                    starts.push(self.here());
                    self.steps(&format!("{place}/parallel/{index}"), branch)?;
                    self.push(Op::End);
                }
                self.bound -= 1;
                let end = self.here();
                self.put(fork, Op::Fork(starts));
                self.put(over, Op::Go(end));
                Ok(())
            }
            StepKind::Delay(delay) => {
                let delay = delay_of(&format!("{place}/delay"), delay)?;
                self.push(Op::Delay { step: name, delay });
                Ok(())
            }
            StepKind::Await(wait) => self.awaits(place, name, wait),
            StepKind::Stop(stop) => {
                let is_failure = stop.end == StopAs::Failed;
                let outputs = Value::Object(stop.outputs.clone());
                let outputs = match stop.outputs.is_empty() {
                    true => None,
                    false if is_failure => {
                        return Err(format!("{place}/stop/outputs: go with `done`"));
                    }
                    false => Some(Template::compile(
                        &format!("{place}/stop/outputs"),
                        &outputs,
                    )?),
                };
                self.push(Op::Stop {
                    step: name,
                    is_failure,
                    message: stop.message.clone(),
                    outputs,
                });
                Ok(())
            }
        }
    }

    fn act(&mut self, place: &str, step: StepName, action: &ActionStep) -> Result<(), String> {
        if !(self.surroundings.is_action)(&action.action) {
            return Err(format!(
                "{place}: the action “{}” is not installed",
                action.action
            ));
        }
        if !action.config.is_object() {
            return Err(format!("{place}: config is a JSON object"));
        }
        let retry = action.retry;
        let attempts = retry.map_or(JOB_MAX_ATTEMPTS, |retry| {
            i32::try_from(retry.attempts).unwrap_or(i32::MAX)
        });
        if !(1..=JOB_MAX_ATTEMPTS).contains(&attempts) {
            return Err(format!(
                "{place}/retry/attempts: from 1 to {JOB_MAX_ATTEMPTS}"
            ));
        }
        let pause = retry.and_then(|retry| retry.pause_seconds);
        if pause.is_some_and(|pause| pause > STEP_PAUSE_MAX_SECONDS) {
            return Err(format!(
                "{place}/retry/pause_seconds: at most {STEP_PAUSE_MAX_SECONDS}"
            ));
        }
        if action.timeout_seconds == Some(0) {
            return Err(format!("{place}/timeout_seconds: at least 1"));
        }
        let config = Template::compile(&format!("{place}/config"), &action.config)?;
        let inner = self.modules.len() > 1;
        let index = self.program.actions.len();
        self.program.actions.push(Action {
            step,
            action: action.action.clone(),
            written: action.config.clone(),
            config,
            attempts,
            pause: pause.map(|pause| Duration::from_secs(u64::from(pause))),
            timeout: action
                .timeout_seconds
                .map(|seconds| Duration::from_secs(u64::from(seconds))),
            on_error: Recovery::Fail,
            undo: None,
            module: self.modules.last().filter(|_| inner).cloned(),
        });
        self.push(Op::Act(index));
        let on_error = match &action.on_error {
            OnError::Stop => Recovery::Fail,
            OnError::Continue => Recovery::Continue,
            OnError::Steps(steps) => {
                let over = self.push(Op::End);
                let start = self.here();
                self.steps(&format!("{place}/on_error/steps"), steps)?;
                let end = self.here();
                self.put(over, Op::Go(end));
                Recovery::Go(start)
            }
        };
        if let Some(compiled) = self.program.actions.get_mut(index) {
            compiled.on_error = on_error;
        }
        if !action.undo.is_empty() {
            if inner {
                return Err(format!(
                    "{place}/undo: what is done for each of many records is not taken back; put \
                     it into a workflow of its own"
                ));
            }
            let undo = (index, format!("{place}/undo"), action.undo.clone());
            self.undo.push(undo);
        }
        Ok(())
    }

    fn for_each(
        &mut self,
        place: &str,
        step: StepName,
        each: &ForEach,
        body: &[StepDefinition],
    ) -> Result<(), String> {
        if !(self.surroundings.is_module)(&each.module) {
            return Err(format!(
                "{place}/for_each: there is no module “{}”",
                each.module
            ));
        }
        let limit = each.limit.unwrap_or(RUN_MAX_STEPS);
        if limit == 0 || limit > RUN_MAX_STEPS {
            return Err(format!("{place}/for_each/limit: from 1 to {RUN_MAX_STEPS}"));
        }
        let filter = each.filter.as_ref();
        let filter = filter.map(|filter| Template::compile(&format!("{place}/filter"), filter));
        let index = self.program.loops.len();
        self.program.loops.push(Loop {
            step,
            module: each.module.clone(),
            filter: filter.transpose()?,
            limit,
        });
        let start = self.push(Op::End);
        self.modules.push(each.module.clone());
        self.steps(&format!("{place}/do"), body)?;
        self.modules.pop();
        self.push(Op::Go(start));
        let after = self.here();
        self.put(start, Op::Each { each: index, after });
        Ok(())
    }

    fn awaits(&mut self, place: &str, step: StepName, wait: &Await) -> Result<(), String> {
        let module = self.modules.last().unwrap_or(self.surroundings.module);
        let module = module.clone();
        let has_field = self.surroundings.has_field;
        let what = CompiledAwaited::compile(place, &wait.what, &module, has_field)?;
        let deadline = match &wait.deadline {
            Some(deadline) => delay_of(&format!("{place}/deadline"), deadline)?,
            None => CompiledDelay {
                end: DelayEnd::For(Duration::from_secs(AWAIT_DEFAULT_DAYS * 86_400)),
                business_hours: false,
            },
        };
        let escalation = match &wait.what {
            Awaited::Approval(approval) => approval.escalate.as_ref(),
            Awaited::Event(_) | Awaited::Call(_) => None,
        };
        let escalation = escalation.map(|it| {
            let place = format!("{place}/approval/escalate/after");
            delay_of(&place, &it.after)
        });
        let index = self.program.awaits.len();
        self.program.awaits.push(CompiledAwait {
            step,
            module,
            what,
            deadline,
            escalation: escalation.transpose()?,
        });
        let op = self.push(Op::End);
        self.steps(&format!("{place}/then"), &wait.then)?;
        let over = self.push(Op::End);
        let otherwise = self.here();
        self.steps(&format!("{place}/else"), &wait.otherwise)?;
        let end = self.here();
        self.put(over, Op::Go(end));
        let awaits = Op::Await {
            awaits: index,
            otherwise,
        };
        self.put(op, awaits);
        Ok(())
    }

    /// What takes back stands behind everything else, so that nobody walks into it.
    fn undo_sections(&mut self) -> Result<(), String> {
        self.push(Op::End);
        self.bound += 1;
        let mut done: BTreeMap<usize, usize> = BTreeMap::new();
        while let Some((action, place, steps)) = self.undo.pop() {
            done.insert(action, self.here());
            let nested = self.undo.len();
            self.steps(&place, &steps)?;
            self.push(Op::End);
            if self.undo.len() > nested {
                return Err(format!("{place}: what takes back is not taken back itself"));
            }
        }
        for (action, start) in done {
            if let Some(action) = self.program.actions.get_mut(action) {
                action.undo = Some(start);
            }
        }
        Ok(())
    }
}

pub(super) fn expression(place: &str, source: &str) -> Result<Expression, String> {
    Expression::parse(source).map_err(|error| format!("{place}: {error}"))
}

fn ways(place: &str, count: usize, what: &str) -> Result<(), String> {
    match (1..=FLOW_MAX_WAYS).contains(&count) {
        true => Ok(()),
        false => Err(format!("{place}: has 1 to {FLOW_MAX_WAYS} {what}")),
    }
}

fn delay_of(place: &str, delay: &Delay) -> Result<CompiledDelay, String> {
    let business_hours = delay.business_hours;
    let end = match (delay.seconds, &delay.until) {
        (Some(seconds), None) => DelayEnd::For(Duration::from_secs(u64::from(seconds))),
        (None, Some(until)) => DelayEnd::Until(expression(&format!("{place}/until"), until)?),
        (None, None) if business_hours => DelayEnd::For(Duration::ZERO),
        _ => return Err(format!("{place}: either `seconds` or `until`")),
    };
    Ok(CompiledDelay {
        end,
        business_hours,
    })
}
