//! Where a run stands between its commits: kept as JSON with its job.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::program::{Action, Program, Recovery};
use crate::ids::{EventId, RecordId};
use crate::names::StepName;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its ways: one, more within a `parallel`.
    pub(super) threads: Vec<Thread>,
    /// What steps said, by their names; of a step that was taken more than once, the last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<StepName, Value>,
    /// Actions that were called.
    pub(super) steps: u32,
    /// Where the instructions are that take back what was done, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) undo: Vec<usize>,
    /// Why the run fails, once what was done is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failing: Option<String>,
    /// Events that are not what a way waits for, each as `<number of what it does>:<event>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dismissed: Vec<String>,
    next_thread: u32,
    /// One step is called, and none that follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    only: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Thread {
    pub(super) id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    /// The next instruction.
    pub(super) at: usize,
    /// Actions that it called, and what it waited for.
    #[serde(default)]
    acts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waits: Option<Waits>,
    /// Why the condition over what it waits for could not be answered, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unanswered: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rounds: Vec<Round>,
}

/// What a way waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Waits {
    Until(DateTime<Utc>),
    /// What comes from outside, at most until then.
    Result(DateTime<Utc>),
    /// So many of the ways that it started.
    Ways(usize),
}

/// A loop that a way is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) each: usize,
    /// The instruction that takes the next record.
    pub(super) start: usize,
    /// Records of the page that were not yet taken, the next one last.
    pub(super) rest: Vec<RecordId>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<String>,
    /// No page follows.
    pub(super) is_last: bool,
    pub(super) taken: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<RecordId>,
}

fn dismissed(work: u64, event: EventId) -> String {
    format!("{work}:{event}")
}

/// What an action said.
#[derive(Clone, Debug)]
pub struct Output {
    /// `done` or `skipped`.
    pub status: &'static str,
    /// Ids and modules of the records that it made.
    pub created: Vec<Value>,
    /// What it set on the record that it was called on.
    pub set: Value,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            threads: vec![Thread::new(0, None, 0)],
            outputs: BTreeMap::new(),
            steps: 0,
            undo: Vec::new(),
            failing: None,
            dismissed: Vec::new(),
            next_thread: 1,
            only: false,
        }
    }
}

impl Thread {
    fn new(id: u32, parent: Option<u32>, at: usize) -> Self {
        Self {
            id,
            parent,
            at,
            acts: 0,
            waits: None,
            unanswered: None,
            rounds: Vec::new(),
        }
    }

    /// The number of what it does next.
    pub(super) fn work(&self) -> u64 {
        u64::from(self.id) << u32::BITS | u64::from(self.acts)
    }

    /// What it waited for came.
    pub(super) fn came(&mut self, at: usize) {
        self.waits = None;
        self.unanswered = None;
        self.at = at;
        self.acts += 1;
    }

    /// The record that the innermost loop is at.
    pub(super) fn item(&self) -> Option<RecordId> {
        self.rounds.last().and_then(|round| round.item)
    }
}

impl Place {
    /// At one instruction alone.
    pub(super) fn only(at: usize) -> Self {
        Self {
            threads: vec![Thread::new(0, None, at)],
            only: true,
            ..Self::default()
        }
    }

    /// The same, in another version of the program; none where the next step is not there in it, or
    /// stands, in either, in a loop or in a way of a `parallel`, and where something may have to be
    /// taken back.
    pub fn moved(&self, from: &Program, to: &Program) -> Option<Self> {
        let [thread] = self.threads.as_slice() else {
            return None;
        };
        if !thread.rounds.is_empty() || !self.undo.is_empty() || self.failing.is_some() {
            return None;
        }
        let at = to.entry(from.entry_at(thread.at)?)?;
        let mut moved = self.clone();
        for thread in &mut moved.threads {
            thread.at = at;
        }
        Some(moved)
    }

    /// What steps said so far.
    pub fn outputs(&self) -> Value {
        json!(self.outputs)
    }

    /// How steps ended so far, and which records they made.
    pub fn made(&self) -> Value {
        let said = self.outputs.iter().map(|(step, said)| {
            let told = json!({ "status": said.get("status"), "created": said.get("created") });
            (step.to_string(), told)
        });
        Value::Object(said.collect())
    }

    /// A number for the next action of a way, which no other action of the run has; 0 for the
    /// first.
    pub fn work(&self, thread: u32) -> u64 {
        let mut threads = self.threads.iter();
        let found = threads.find(|other| other.id == thread);
        found.map_or(u64::from(thread) << u32::BITS, Thread::work)
    }

    /// The numbers of what its ways wait for that comes from outside.
    pub fn awaited(&self) -> Vec<u64> {
        let waiting = self.threads.iter();
        let waiting = waiting.filter(|thread| matches!(thread.waits, Some(Waits::Result(_))));
        waiting.map(Thread::work).collect()
    }

    /// Whether an event was looked at, and is not what the way waits for.
    pub(super) fn has_dismissed(&self, work: u64, event: EventId) -> bool {
        self.dismissed.contains(&dismissed(work, event))
    }

    pub(super) fn dismiss(&mut self, work: u64, events: Vec<EventId>) {
        let events = events.into_iter();
        self.dismissed
            .extend(events.map(|event| dismissed(work, event)));
    }

    /// Events that need not be told again, each as `<number of what waits>:<event>`: whoever takes
    /// them sees to it.
    pub fn take_dismissed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.dismissed)
    }

    /// A way waits for what comes from outside, and the outside knows.
    pub fn opened(&mut self, thread: u32, until: DateTime<Utc>) {
        if let Some(thread) = self.thread(thread) {
            thread.waits = Some(Waits::Result(until));
        }
    }

    /// What a step that waited was told.
    pub(super) fn told(&mut self, step: StepName, result: Value) {
        self.outputs.insert(step, result);
    }

    /// Actions that were called so far.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    pub(super) fn thread(&mut self, id: u32) -> Option<&mut Thread> {
        self.threads.iter_mut().find(|thread| thread.id == id)
    }

    /// A way of its own, which `parent` waits for.
    pub(super) fn start(&mut self, parent: Option<u32>, at: usize) {
        let id = self.next_thread;
        self.next_thread += 1;
        let mut thread = Thread::new(id, parent, at);
        let rounds = parent.and_then(|parent| self.thread(parent));
        // What it does is about the record that the loop around it is at, and no loop goes on
        // while it lasts.
        thread.rounds = rounds
            .map(|parent| parent.rounds.clone())
            .unwrap_or_default();
        self.threads.push(thread);
    }

    /// A way came to its end.
    pub(super) fn end(&mut self, id: u32) {
        let Some(index) = self.threads.iter().position(|thread| thread.id == id) else {
            return;
        };
        let ended = self.threads.remove(index);
        let Some(parent) = ended.parent.and_then(|parent| self.thread(parent)) else {
            return;
        };
        if let Some(Waits::Ways(left)) = &mut parent.waits {
            *left = left.saturating_sub(1);
            if *left == 0 {
                parent.waits = None;
            }
        }
    }

    /// An action was done.
    pub fn acted(&mut self, thread: u32, action: &Action, output: &Output) {
        let said = json!({
            "status": output.status,
            "created": output.created,
            "set": output.set,
        });
        self.outputs.insert(action.step.clone(), said);
        self.steps += 1;
        if self.failing.is_none() && !self.only {
            self.undo.extend(action.undo);
        }
        self.go(thread, None);
    }

    /// An action failed for good. Whether the run has anything to do yet.
    pub fn failed(&mut self, thread: u32, action: &Action, error: &str) -> bool {
        self.say_failed(action, error);
        match action.on_error {
            Recovery::Continue => self.go(thread, None),
            Recovery::Go(at) => self.go(thread, Some(at)),
            Recovery::Fail => {
                let has_more = self.failing.is_some() || !self.undo.is_empty();
                self.fail(format!("{}: {error}", action.step));
                return has_more;
            }
        }
        true
    }

    /// An action that failed is passed over, as where `on_error` says so.
    pub fn passed_over(&mut self, thread: u32, action: &Action, error: &str) {
        self.say_failed(action, error);
        self.go(thread, None);
    }

    fn say_failed(&mut self, action: &Action, error: &str) {
        let said = json!({ "status": "failed", "error": error });
        self.outputs.insert(action.step.clone(), said);
        self.steps += 1;
    }

    /// A way goes on, after the others.
    fn go(&mut self, thread: u32, at: Option<usize>) {
        if self.only {
            self.threads.clear();
        }
        let Some(index) = self.threads.iter().position(|other| other.id == thread) else {
            return;
        };
        let mut thread = self.threads.remove(index);
        thread.at = at.unwrap_or(thread.at + 1);
        thread.acts += 1;
        self.threads.push(thread);
    }

    /// The run fails; what is to be taken back is taken back first.
    pub(super) fn fail(&mut self, reason: String) {
        self.threads.clear();
        self.failing = Some(match self.failing.take() {
            None => reason,
            Some(first) => format!("{first}; and it could not be taken back as a whole: {reason}"),
        });
    }

    /// A page of records came.
    pub fn page(&mut self, thread: u32, records: Vec<RecordId>, cursor: Option<String>) {
        let round = self
            .thread(thread)
            .and_then(|thread| thread.rounds.last_mut());
        if let Some(round) = round {
            round.rest = records;
            round.rest.reverse();
            round.is_last = cursor.is_none();
            round.cursor = cursor;
        }
    }
}
